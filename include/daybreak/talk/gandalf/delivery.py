"""Brings to GitHub what stands in the outbox for a pull request: its one comment, the check, answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from daybreak.merge.announce import comment_on
from daybreak.registry.outbox import Outgoing
from daybreak.talk.gandalf.reports import Reports
from daybreak.talk.github.checks import Check
from daybreak.talk.github.client import Reaction
from daybreak.talk.github.errors import GithubRefused, GithubUnreachable, NotPermitted, NotThere, RateLimited
from daybreak.talk.outbox import Later, Undeliverable

#: Marks the one comment of a pull request; an answer's ends with what was answered.
COMMENT, ANSWER = "merge", "answer"
#: The label of a pull request that is on main as other commits: GitHub cannot see that it is merged.
MERGED = "merged-by-gandalf"


def message_of(number: int, marker: str) -> str:
    """The key in the outbox of what a comment with that marker says."""
    return comment_on(number) if marker == COMMENT else marker.removeprefix(f"{ANSWER}:")


class Writes(Protocol):
    """What is told GitHub (:class:`daybreak.talk.github.client.Client`)."""

    def comment(self, number: int, body: str, *, marker: str, known: int | None = None) -> int:
        """Write the comment with that marker, or edit it; gives its id."""

    def add_label(self, number: int, label: str) -> None:
        """Put a label on a pull request."""

    def close(self, number: int) -> None:
        """Close it."""

    def check(self, commit: str, check: Check) -> None:
        """Set what stands beside a commit."""

    def react(self, comment: int, reaction: Reaction) -> None:
        """Answer a comment with a reaction."""


class GithubDelivery:
    """A :class:`daybreak.talk.outbox.Delivery` to one repository."""

    to = ("github:",)

    def __init__(self, github: Writes, reports: Reports) -> None:
        self.github, self.reports = github, reports
        self._ways: dict[str, Callable[[Outgoing], Any]] = {
            "merge_comment": self._comment, "merge_check": self._check, "merge_answer": self._answer,
            "merge_reaction": self._react,
        }  # fmt: skip

    def send(self, outgoing: Outgoing) -> Any:
        """See :class:`daybreak.talk.outbox.Delivery`."""
        try:
            return self._ways[outgoing.payload["kind"]](outgoing)
        except RateLimited as wait:
            raise Later(str(wait), wait.after) from wait
        except (GithubUnreachable, NotPermitted) as wait:
            raise Later(str(wait)) from wait
        except (GithubRefused, NotThere) as never:
            raise Undeliverable(str(never)) from never

    def _comment(self, outgoing: Outgoing) -> dict[str, int]:
        number, known = outgoing.payload["pr"], (outgoing.reference or {}).get("comment")
        if self.reports.closes(outgoing.payload):
            self.github.add_label(number, MERGED)
            self.github.close(number)
        body = self.reports.comment(outgoing.payload)
        return {"comment": self.github.comment(number, body, marker=COMMENT, known=known)}

    def _check(self, outgoing: Outgoing) -> None:
        self.github.check(*self.reports.check(outgoing.payload))

    def _answer(self, outgoing: Outgoing) -> dict[str, int]:
        payload = outgoing.payload
        known = (outgoing.reference or {}).get("comment")
        marker = f"{ANSWER}:{payload['request']}"
        return {"comment": self.github.comment(payload["pr"], payload["body"], marker=marker, known=known)}

    def _react(self, outgoing: Outgoing) -> None:
        try:
            self.github.react(outgoing.payload["comment"], outgoing.payload["reaction"])
        except NotThere:
            pass  # whoever wrote the comment took it back
