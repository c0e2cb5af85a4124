"""GitHub's comments and checks in memory, told by the real outbox in its real words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from daybreak.environment.installation import Installation
from daybreak.merge.rows import Entry
from daybreak.merge.rules import EntryState as E
from daybreak.talk.gandalf.delivery import GithubDelivery
from daybreak.talk.gandalf.reports import Reports
from daybreak.talk.github.checks import Check
from daybreak.talk.github.client import Reaction
from daybreak.talk.github.errors import GithubUnreachable
from daybreak.talk.outbox import Sender


@dataclass
class Page:
    """Comments by pull request and id, and the last check of each commit; answers are lost."""

    trouble: Callable[[str], bool]
    comments: dict[int, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    checks: dict[str, Check] = field(default_factory=dict)

    def comment(self, number: int, body: str, *, marker: str, known: int | None = None) -> int:
        self._lost()
        there = known or next(iter(self.comments[number]), None) or len(self.comments) * 1000 + 1
        self.comments[number][there] = body
        self._lost()
        return there

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

    def __init__(self, installation: Installation, trouble: Callable[[str], bool]) -> None:
        self.page = Page(trouble)
        self.sender = Sender(installation.outbox, [GithubDelivery(self.page, Reports(installation))])

    def flush(self) -> None:
        """Send what is due."""
        self.sender.flush()

    def wrong(self, number: int, entry: Entry) -> list[str]:
        """What of a pull request's end was not told."""
        found = []
        bodies = list(self.page.comments[number].values())
        if len(bodies) != 1 or entry.sha[:12] not in bodies[0]:
            found.append(f"#{number}: {len(bodies)} comments say how it went")
        check = self.page.checks.get(entry.sha)
        outcome = {E.LANDED: "success", E.TRIED: "success", E.REJECTED: "failure"}.get(entry.state, "error")
        if check is None or (check.outcome != outcome and entry.state is not E.TRIED):
            found.append(f"#{number} is {entry.state}, and its check says {check and check.outcome}")
        return found
