"""The merge environment of the soak: it runs a commit, or half of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from daybreak.environment.machine import Op
from daybreak.merge import protocol as p
from daybreak.merge.wanted import run_of
from tests.merge.many.processes import give_way
from tests.merge.many.site import Site

#: What a file of a pull request says about it, by the beginning of its name.
BAD, UNDEPLOYABLE, POISON = "bad", "undeployable", "poison"


@dataclass
class Place:
    """A `Ground` of the lane.

    :param unwanted: what is asked in the middle: whether a member was taken back or held since.
    :param check: what is asked before anything is changed: whether the op still has the environment.
    :param die: ends the process that asks; nobody hears of it.
    """

    site: Site
    happened: Counter[str]
    trouble: Callable[[str], bool]
    unwanted: Callable[[str], p.Unwanted | None]
    check: Callable[[Op], None]
    die: Callable[[], None]
    tick: Callable[[], int]
    running: str = ""
    changes: int = 0
    #: When the tests of a commit were green on an environment that ran it from their begin to their end.
    passed: dict[str, int] = field(default_factory=dict)
    #: Files that fail together, and not alone.
    together: list[frozenset[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.running = self.site.main

    def deploy(self, commit: str, op: Op) -> p.Deployed | p.Unwanted:
        give_way()
        if unwanted := self.unwanted(run_of(op)):
            self.happened["deploy stopped"] += 1
            return unwanted
        if self.trouble("deploy failed"):
            return p.Deployed(False, "AWS did not answer")
        self.check(op)
        if self._holds(commit, UNDEPLOYABLE):
            self._run(f"{commit}, half")
            return p.Deployed(False, "it was not healthy", broken=True)
        half = self.trouble("half deployed")
        self._run(f"{commit}, half" if half else commit)
        give_way()
        return p.Deployed(True)

    def test(self, commit: str, op: Op) -> p.Tested | p.Unwanted:
        changes, running = self.changes, self.running
        give_way()
        if unwanted := self.unwanted(run_of(op)):
            self.happened["tests stopped"] += 1
            return unwanted
        if self._holds(commit, POISON):
            self.happened["poisoned"] += 1
            self.die()
        if self.trouble("tests timed out"):
            return p.Tested(p.Verdict.TIMED_OUT, "out of time")
        give_way()
        tested = running.removesuffix(", half")
        files = set(self.site.commits[tested].files)
        if any(each.startswith(BAD) for each in files) or any(each <= files for each in self.together):
            return p.Tested(p.Verdict.FAILED, "test_trip failed")
        if (running, changes) == (commit, self.changes):
            self.passed[commit] = self.tick()
        return p.Tested(p.Verdict.PASSED)

    def runs(self, commit: str) -> bool:
        return self.running == commit

    def _holds(self, commit: str, what: str) -> bool:
        return any(each.startswith(what) for each in self.site.commits[commit].files)

    def _run(self, what: str) -> None:
        self.changes += self.running != what
        self.running = what
