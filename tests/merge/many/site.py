"""Main and the lease, pull requests and candidates, in memory: a remote that loses answers and is late.

A commit is a number in 40 digits, with the files that it holds; a file's text says who wrote it last.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from daybreak.git.command import GitError
from daybreak.merge import protocol as p
from daybreak.merge.remote import LEASE_REF
from daybreak.merge.rows import Attempt, Entry

MAIN = "refs/heads/main"


class Wrong(AssertionError):
    """Something that must never be."""


@dataclass(frozen=True)
class Commit:
    """What a commit holds, and for a pull request's the commit that it was made from."""

    files: Mapping[str, str]
    base: str = ""


@dataclass(frozen=True)
class Late:
    """A push without an answer that may still be carried out."""

    lease: tuple[str | None, str]
    main: tuple[str, str] | None


@dataclass
class Site:
    """A `Remote` of the lane; and what the rest of Daybreak reads of one.

    :param trouble: whether what is named goes wrong now (`chances.py`).
    :param landing: called with the candidate before it comes to main.
    """

    rng: random.Random
    happened: Counter[str]
    trouble: Callable[[str], bool]
    landing: Callable[[str], None] = lambda _: None
    commits: dict[str, Commit] = field(default_factory=dict)
    refs_: dict[str, str] = field(default_factory=dict)
    fences: dict[str, int] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)
    late: list[Late] = field(default_factory=list)
    #: All that main ever was, oldest first.
    history: list[str] = field(default_factory=list)
    by_people: set[str] = field(default_factory=set)
    made: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.refs_[MAIN] = self.commit({})
        self.history.append(self.main)

    @property
    def main(self) -> str:
        """As it is."""
        return self.refs_[MAIN]

    def commit(self, files: Mapping[str, str], base: str = "") -> str:
        """A new one."""
        name = f"{len(self.commits) + 1:07d}".ljust(40, "0")
        self.commits[name] = Commit(dict(files), base)
        return name

    def change(self, files: Mapping[str, str], base: str) -> str:
        """A commit on another one."""
        return self.commit({**self.commits[base].files, **files}, base)

    def ours(self, sha: str) -> dict[str, str]:
        """What a commit changes of what it was made from."""
        before = self.commits[self.commits[sha].base].files
        return {path: text for path, text in self.commits[sha].files.items() if before.get(path) != text}

    def push_to_main(self, files: Mapping[str, str]) -> None:
        """By people, who ask nobody."""
        self._move(self.change(files, self.main))
        self.by_people.add(self.main)

    def carry_out_late(self) -> None:
        """One of those whose answer was lost arrives now."""
        if self.late:
            push = self.late.pop(self.rng.randrange(len(self.late)))
            if self._possible(push.lease, push.main):
                self.happened["late push carried out"] += 1
                self._carry_out(push.lease, push.main)
            else:
                self.happened["late push refused"] += 1

    # A remote of the lane

    def refs(self) -> p.Refs:
        if self.trouble("remote away"):
            raise GitError("the remote does not answer")
        return p.Refs(self.main, self.refs_.get(LEASE_REF))

    def fence_of(self, lease: str) -> int:
        return self.fences[lease]

    def in_chain(self, lease: str, tip: str) -> bool:
        return bool(lease) and lease in self._chain(tip)

    def new_lease(self, fence: int, parent: str | None, holder: str) -> str:
        made = self.commit({})
        self.fences[made], self.parents[made] = fence, parent
        return made

    def push(self, lease: tuple[str | None, str], main: tuple[str, str] | None) -> p.Answer:
        if self.trouble("push late"):
            self.late.append(Late(lease, main))
            return p.Answer.UNCLEAR
        if self.trouble("push refused") or not self._possible(lease, main):
            return p.Answer.REFUSED
        self._carry_out(lease, main)
        return p.Answer.UNCLEAR if self.trouble("answer lost") else p.Answer.DONE

    def candidate(self, base: str, attempt: Attempt, members: Sequence[Entry]) -> p.Built | p.Changed:
        files, left = dict(self.commits[base].files), list[p.Left]()
        for each in members:
            path = self._merge(files, each.sha)
            if path is None:
                continue
            said = f"{each.name} conflicts in {path}"
            if each is members[0]:
                return p.Changed(each.id, said)
            alone = self._merge(dict(self.commits[base].files), each.sha) is not None
            left.append(p.Left(each.id, said, alone))
            self.happened["left out"] += 1
        # As git: the same merge of the same attempt is the same commit.
        key = f"{base} {attempt.run_id}"
        if key not in self.made:
            self.made[key] = self.commit(files, base)
        return p.Built(self.made[key], tuple(left))

    def _merge(self, files: dict[str, str], sha: str) -> str | None:
        """Put what a pull request changes into ``files``; or, with nothing changed, where that conflicts."""
        ours, before = self.ours(sha), self.commits[self.commits[sha].base].files
        conflict = next((path for path in ours if files.get(path) != before.get(path)), None)
        if conflict is None:
            files |= ours
        return conflict

    def bring(self, *commits: str) -> None:
        if unknown := set(commits) - set(self.commits):
            raise Wrong(f"nobody ever made {unknown}")

    def forget(self, run_id: str) -> None:
        pass

    # What others read

    def read(self, url: str, *refs: str) -> dict[str, str]:
        """As `daybreak.git.pushing.read`."""
        return {each: self.refs_[each] for each in refs if each in self.refs_}

    def _chain(self, tip: str | None) -> Iterator[str]:
        while tip is not None:
            yield tip
            tip = self.parents[tip]

    def _possible(self, lease: tuple[str | None, str], main: tuple[str, str] | None) -> bool:
        return self.refs_.get(LEASE_REF) == lease[0] and (main is None or self.main == main[0])

    def _carry_out(self, lease: tuple[str | None, str], main: tuple[str, str] | None) -> None:
        self.refs_[LEASE_REF] = lease[1]
        if main is not None:
            if self.main != self.commits[main[1]].base:
                raise Wrong(f"{main[1]} came to {self.main}, and was made on {self.commits[main[1]].base}")
            self.landing(main[1])
            self._move(main[1])

    def _move(self, to: str) -> None:
        if to in self.history:
            raise Wrong(f"{to} came to main twice")
        self.refs_[MAIN] = to
        self.history.append(to)
