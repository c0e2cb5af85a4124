"""What must be so before a pull request is queued, and again before it lands.

The head is git's (``refs/pull/N/head``), which is what will be merged; the API tells the rest. Approvals
count for the very commit that they were given to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from daybreak.errors import DaybreakError
from daybreak.git import pushing
from daybreak.merge.rows import LAND, Entry
from daybreak.settings import MergeSettings, Settings
from daybreak.talk.github.client import PERMISSIONS, Permission, Pull, Review
from daybreak.talk.github.errors import NotThere

#: GitHub lists no more files of a pull request; git does.
LISTED = 3000
#: How often a head that the API does not have yet is asked for, and seconds between.
_LOOKS, _PAUSE = 4, 2.0


class NotReady(DaybreakError):
    """The pull request may not land as it is; the message says what is missing."""

    code = "not_ready"


class GithubLags(DaybreakError):
    """GitHub's API does not know the head yet that git has: nobody can say who approved it. Later again."""

    code = "github_lags"


class Reads(Protocol):
    """What is asked of GitHub (:class:`daybreak.talk.github.client.Client`)."""

    def pull(self, number: int) -> Pull:
        """One pull request."""

    def reviews(self, number: int) -> Sequence[Review]:
        """The last decision of each reviewer."""

    def permission(self, login: str) -> Permission:
        """What somebody may do in the repository."""


class Once:
    """GitHub, asked once what each person may do: for a round over what waits, and for no longer."""

    def __init__(self, github: Reads) -> None:
        self._github = github
        self._known: dict[str, Permission] = {}

    def pull(self, number: int) -> Pull:
        """As it is now."""
        return self._github.pull(number)

    def reviews(self, number: int) -> Sequence[Review]:
        """As they are now."""
        return self._github.reviews(number)

    def permission(self, login: str) -> Permission:
        """As it was when it was asked for first."""
        if login.lower() not in self._known:
            self._known[login.lower()] = self._github.permission(login)
        return self._known[login.lower()]


#: The head of a pull request as git has it, or ``None``.
Head = Callable[[int], str | None]


@dataclass(frozen=True)
class Ready:
    """A pull request that may land.

    :param sha: its head, which is what was approved.
    """

    pull: Pull
    sha: str


def at_least(permission: Permission, wanted: Permission) -> bool:
    """Whether somebody with ``permission`` may do what needs ``wanted``."""
    return PERMISSIONS.index(permission) >= PERMISSIONS.index(wanted)


def head_of(url: str) -> Head:
    """Asks the remote for heads of pull requests."""

    def head(number: int) -> str | None:
        ref = f"refs/pull/{number}/head"
        return pushing.read(url, ref).get(ref)

    return head


@dataclass(frozen=True)
class Gates:
    """See the module.

    :param branch: what is landed on, by its short name.
    """

    github: Reads
    policy: MergeSettings
    branch: str
    head: Head
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def of(cls, settings: Settings, github: Reads) -> Gates:
        """Those of the settings."""
        monorepo = settings.monorepo
        return cls(github, settings.merge, monorepo.branch, head_of(monorepo.url))

    def for_a_round(self) -> Gates:
        """The same for one look at all that waits: asks once what each may do. A landing asks anew."""
        return replace(self, github=Once(self.github))

    def check(self, number: int, commit: str | None = None, *, lands: bool = True) -> Ready:
        """Look at all of it.

        :param commit: what was approved, or its beginning; ``None``: the head as it is.
        :param lands: without it, for a try, neither reviews nor labels nor a draft matter.
        :raises NotReady: with the first thing that is missing.
        :raises GithubLags: when the API is behind git.
        """
        pull = self._pull(number)
        head = self._head(pull, commit)
        if pull.files == 0:
            raise NotReady(
                f"#{number} changes nothing that {self.branch} does not have; there is nothing to land"
            )
        if lands:
            self._wanted(pull, head)
        return Ready(pull, head)

    def approved(self, entry: Entry) -> str | None:
        """What changed about an entry since it was queued, in words; ``None``: nothing.

        For :class:`daybreak.merge.lane.Lane`, which asks before it lands.

        :raises GithubLags: when the API stays behind git.
        """
        for look in range(_LOOKS):
            try:
                self.check(entry.pr, entry.sha, lands=entry.mode == LAND)
            except NotReady as changed:
                return str(changed)
            except GithubLags:
                if look + 1 == _LOOKS:
                    raise
                self.sleep(_PAUSE)
            else:
                break
        return None

    def _pull(self, number: int) -> Pull:
        try:
            return self.github.pull(number)
        except NotThere:
            # So GitHub says, too, when the token may not see the repository any more: git tells which it is.
            if self.head(number) is not None:
                raise
            raise NotReady(f"there is no pull request #{number}") from None

    def _head(self, pull: Pull, commit: str | None) -> str:
        """The head, of a pull request that is open and ours to land."""
        name = f"#{pull.number}"
        if pull.merged:
            raise NotReady(f"{name} has landed already")
        if pull.state != "open":
            raise NotReady(f"{name} is closed; open it again first")
        if pull.base != self.branch:
            raise NotReady(f"{name} is against {pull.base}; only what is against {self.branch} can land")
        if pull.fork and self.policy.forks == "refuse":
            raise NotReady(
                f"{name} comes from a fork, whose code does not run on the merge environment "
                "(`merge.forks` of daybreak.yaml); push it to a branch here"
            )
        head = self.head(pull.number)
        if head is None:
            raise NotReady(f"{name} has no head any more; was its branch deleted?")
        if commit is not None and not head.startswith(commit.lower()):
            raise NotReady(
                f"{name} is at {head[:12]} now, not at {commit[:12]}, which was approved; look at it, and "
                "say `merge` again"
            )
        if pull.head != head:
            raise GithubLags(
                f"GitHub's API has {pull.head[:12]} as the head of {name}, git {head[:12]}; it is asked again"
            )
        return head

    def _wanted(self, pull: Pull, head: str) -> None:
        name = f"#{pull.number}"
        if pull.draft:
            raise NotReady(f"{name} is a draft; say that it is ready for review first")
        lowered = {each.lower(): each for each in pull.labels}
        blocking = [lowered[each.lower()] for each in self.policy.blocking_labels if each.lower() in lowered]
        if blocking:
            raise NotReady(f"{name} has the label {blocking[0]!r}; take it off first")
        self._reviewed(pull, head)

    def _reviewed(self, pull: Pull, head: str) -> None:
        """Nobody who may write wants changes, and enough of them approved this very commit."""
        name, wanted = f"#{pull.number}", self.policy.required_reviews
        others = [
            each for each in self.github.reviews(pull.number) if each.author.lower() != pull.author.lower()
        ]
        # In this order, and no further than it matters: each of them is asked for at GitHub.
        refused = next(
            (each for each in others if each.verdict == "CHANGES_REQUESTED" and self._counts(each)), None
        )
        if refused is not None:
            raise NotReady(f"{refused.author} requested changes in {name}; a new review takes that back")
        approvals = [each for each in others if each.verdict == "APPROVED"]
        current = (each for each in approvals if each.commit == head and self._counts(each))
        found = len(list(islice(current, wanted)))
        if found < wanted:
            older = [each.author for each in approvals if each.commit != head]
            stale = f"; {', '.join(older)} approved an older commit" if older else ""
            raise NotReady(
                f"{name} has {found} of {wanted} approvals of {head[:12]} by people who may write{stale}"
            )

    def _counts(self, review: Review) -> bool:
        return at_least(self.github.permission(review.author), "write")
