"""GitHub's comments and checks in memory, told by the real outbox in its real words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from daybreak.environment.installation import Installation
from daybreak.merge.rows import Entry
from daybreak.merge.rules import EntryState as E
from daybreak.registry.clock import Clock
from daybreak.talk.desk import STALE
from daybreak.talk.gandalf.delivery import COMMENT, GithubDelivery
from daybreak.talk.gandalf.reconcile import told_once
from daybreak.talk.gandalf.reports import Reports
from daybreak.talk.github.checks import Check
from daybreak.talk.github.client import Reaction, Said
from daybreak.talk.github.errors import GithubUnreachable
from daybreak.talk.outbox import Sender

#: Our own login.
ME = "gandalf"


@dataclass
class Comment:
    """One of ours.

    :param unseen: its answer was lost, and GitHub shows it only after the next look.
    """

    number: int
    marker: str
    body: str
    at: datetime
    unseen: bool = False
    edited: bool = False


@dataclass
class Page:
    """Comments by id, oldest first, and the last check of each commit; answers are lost."""

    trouble: Callable[[str], bool]
    happened: Counter[str]
    clock: Clock
    comments: dict[int, Comment] = field(default_factory=dict)
    checks: dict[str, Check] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    def comment(self, number: int, body: str, *, marker: str, known: int | None = None) -> int:
        self._lost()
        if known not in self.comments:
            known, *others = self._look(number, marker) or [None]
            for each in others:
                del self.comments[each]
        if known is None:
            known = next(self._ids)
            self.comments[known] = made = Comment(number, marker, body, self.clock(), unseen=True)
            self._lost()
            made.unseen = False
            self.happened["told twice"] += len(self.marked(number, marker)) > 1
        elif self.comments[known].body != body:
            self.comments[known].body, self.comments[known].edited = body, True
            self._lost()
        return known

    def me(self) -> str:
        return ME

    def commented_since(self, at: datetime) -> list[Said]:
        self._lost()
        return [
            Said(each.number, number, ME, f"{each.body}\n\n<!-- daybreak:{each.marker} -->", each.at)
            for number, each in self.comments.items()
            if each.at >= at and not (each.unseen or each.edited)
        ]

    def only(self, number: int, *, marker: str, known: int) -> int:
        self._lost()
        found = self._look(number, marker)
        others = [each for each in found if each != known and known in found]
        for each in others:
            del self.comments[each]
        self.happened["told once"] += len(others)
        return len(others)

    def marked(self, number: int, marker: str) -> list[int]:
        """All that are there, seen or not."""
        return [n for n, each in self.comments.items() if (each.number, each.marker) == (number, marker)]

    def _look(self, number: int, marker: str) -> list[int]:
        """What GitHub shows; the next look sees more."""
        there = self.marked(number, marker)
        seen = [each for each in there if not self.comments[each].unseen]
        for each in there:
            self.comments[each].unseen = False
        return seen

    def check(self, commit: str, check: Check) -> None:
        self.checks[commit] = check
        self._lost()

    def add_label(self, number: int, label: str) -> None:
        raise AssertionError("merges are merge commits here")

    def close(self, number: int) -> None:
        raise AssertionError("merges are merge commits here")

    def react(self, comment: int, reaction: Reaction) -> None:
        raise AssertionError("nobody says anything here")

    def _lost(self) -> None:
        if self.trouble("GitHub away"):
            raise GithubUnreachable("GitHub does not answer")


class Told:
    """The sender, and what it brought."""

    def __init__(
        self, installation: Installation, trouble: Callable[[str], bool], happened: Counter[str]
    ) -> None:
        self.installation, self.page = installation, Page(trouble, happened, installation.clock)
        self.sender = Sender(installation.outbox, [GithubDelivery(self.page, Reports(installation))])

    def flush(self) -> None:
        """Send what is due."""
        self.sender.flush()

    def once(self) -> None:
        """As the caretaker does: of what is there twice, one is deleted."""
        page, since = self.page, self.installation.clock() - STALE
        with suppress(GithubUnreachable):  # it comes again
            told_once(self.installation.outbox, page, page.commented_since(since))

    def wrong(self, number: int, entry: Entry) -> list[str]:
        """What of a pull request's end was not told."""
        found = []
        bodies = [self.page.comments[each].body for each in self.page.marked(number, COMMENT)]
        if len(bodies) != 1 or entry.sha[:12] not in bodies[0]:
            found.append(f"#{number}: {len(bodies)} comments say how it went")
        check = self.page.checks.get(entry.sha)
        outcome = {E.LANDED: "success", E.TRIED: "success", E.REJECTED: "failure"}.get(entry.state, "error")
        if check is None or (check.outcome != outcome and entry.state is not E.TRIED):
            found.append(f"#{number} is {entry.state}, and its check says {check and check.outcome}")
        return found
