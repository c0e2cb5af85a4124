"""The remote with main on it: the lease and main are read and moved there, and candidates are made for it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from daybreak.git import merging, pushing
from daybreak.git.repository import Repository
from daybreak.merge import protocol as p
from daybreak.merge.candidates import show
from daybreak.merge.rows import Attempt, Entry
from daybreak.registry.clock import Clock, utc_now

LEASE_REF = "refs/heads/daybreak/lease"
_FENCE = re.compile(r"^fence: (\d+)$", re.MULTILINE)


class Remote(Protocol):
    """What the lane asks of it; `protocol` says what each effect means."""

    def refs(self) -> p.Refs:
        """Main and the lease, read together."""

    def fence_of(self, lease: str) -> int:
        """The fence that a lease names."""

    def in_chain(self, lease: str, tip: str) -> bool:
        """Whether ``lease`` is ``tip``, or was replaced on the way to it."""

    def new_lease(self, fence: int, parent: str | None, holder: str) -> str:
        """A lease, nowhere yet."""

    def push(self, lease: tuple[str | None, str], main: tuple[str, str] | None) -> p.Answer:
        """Move the lease, and main with it where it is given."""

    def candidate(self, base: str, attempt: Attempt, members: Sequence[Entry]) -> p.Built | p.Changed:
        """The members on ``base``, and shown to other machines."""

    def bring(self, *commits: str) -> None:
        """Have them here."""

    def forget(self, run_id: str) -> None:
        """Nobody works with the run's candidate any more."""


@dataclass
class GitRemote:
    """A :class:`Remote` that is git's.

    :param repository: where commits are made; it has what it was asked to bring.
    :param branch: the reference that is landed on, in full.
    :param style: what a member becomes on main.
    """

    repository: Repository
    url: str
    branch: str = "refs/heads/main"
    style: merging.Style = merging.Style.MERGE
    clock: Clock = utc_now

    def refs(self) -> p.Refs:
        """See :class:`Remote`."""
        found = pushing.read(self.url, self.branch, LEASE_REF)
        self.bring(*found.values())
        return p.Refs(found[self.branch], found.get(LEASE_REF))

    def fence_of(self, lease: str) -> int:
        """See :class:`Remote`; 0 for what is no lease of ours."""
        said = _FENCE.search(merging.message_of(self.repository, lease))
        return int(said.group(1)) if said else 0

    def in_chain(self, lease: str, tip: str) -> bool:
        """See :class:`Remote`."""
        return bool(lease) and merging.is_ancestor(self.repository, lease, tip)

    def new_lease(self, fence: int, parent: str | None, holder: str) -> str:
        """See :class:`Remote`."""
        message = f"daybreak lease\n\nfence: {fence}\nholder: {holder}\ntry: {secrets.token_hex(8)}\n"
        tree = merging.empty_tree(self.repository)
        return merging.commit(self.repository, tree, [parent] if parent else [], message, at=self.clock())

    def push(self, lease: tuple[str | None, str], main: tuple[str, str] | None) -> p.Answer:
        """See :class:`Remote`."""
        updates = [pushing.Update(LEASE_REF, lease[1], lease[0])]
        if main is not None:
            updates.append(pushing.Update(self.branch, main[1], main[0]))
        try:
            pushing.push(self.repository, self.url, updates)
        except pushing.PushRefused:
            return p.Answer.REFUSED
        except pushing.PushUnclear:
            return p.Answer.UNCLEAR
        return p.Answer.DONE

    def candidate(self, base: str, attempt: Attempt, members: Sequence[Entry]) -> p.Built | p.Changed:
        """See :class:`Remote`; who conflicts with those before it is left out."""
        self.bring(*(each.sha for each in members))
        riding, left = list(members), list[p.Left]()
        while True:
            try:
                made = self._merged(base, attempt, riding)
            except merging.MergeConflict as conflict:
                late = next(each for each in riding if each.name == conflict.member)
                if late is members[0]:
                    return p.Changed(late.id, str(conflict))
                riding.remove(late)
                left.append(self._left(base, attempt, late, conflict))
            else:
                show(self.repository, self.url, attempt.run_id, made)
                return p.Built(made, tuple(left))

    def bring(self, *commits: str) -> None:
        """See :class:`Remote`; those that are here already cost nothing."""
        missing = [each for each in commits if not merging.has(self.repository, each)]
        if missing:
            pushing.fetch(self.repository, self.url, *missing)

    def forget(self, run_id: str) -> None:
        """See :class:`Remote`."""
        show(self.repository, self.url, run_id, None)

    def _merged(self, base: str, attempt: Attempt, members: Sequence[Entry]) -> str:
        wanted = [merging.Member(each.name, each.sha, self._message(each)) for each in members]
        # Dated by the attempt, so that a second try makes the same commits.
        return merging.merge(self.repository, base, wanted, at=attempt.created_at, style=self.style)[-1]

    def _left(self, base: str, attempt: Attempt, late: Entry, conflict: merging.MergeConflict) -> p.Left:
        """Whether it is main that it conflicts with: what is before it there may never land."""
        try:
            self._merged(base, attempt, [late])
        except merging.MergeConflict as alone:
            return p.Left(late.id, str(alone), alone=True)
        return p.Left(late.id, str(conflict))

    def _message(self, entry: Entry) -> str:
        if self.style is merging.Style.SQUASH:
            return f"{entry.title} ({entry.name})\n"
        return f"Merge {entry.name}: {entry.title}\n\nBy {entry.author}.\n"
