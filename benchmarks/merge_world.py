"""The world of `merge_queue`: a day's pull requests, a clock, main, the environment and the builders.

Times are in minutes. Git is three words in memory, the environment a table of what runs where; a resource's
key is the list of pull requests that changed it.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil

from daybreak.environment.machine import Op
from daybreak.merge import protocol as p
from daybreak.merge.rows import Attempt, Entry

RESOURCES, PULLS, DAY = 50, 60, 480.0
BUILD, BUILDERS, DEPLOY, DEPLOYERS = 4.0, 8, 3.0, 10
SUITE, TESTERS, COMMON, AGAIN, FIXED = 1.5, 4, 6.0, 2.0, 1.0
SPENT = ("tests", "failed tests", "deploys", "reverts", "builds in the lane", "merging")


@dataclass(frozen=True)
class Pull:
    """A pull request: when it is asked for (minutes), what it affects, whether its tests fail."""

    number: int
    asked: float
    touches: frozenset[int]
    bad: bool


def a_day(seed: int, share: float, count: int = PULLS) -> list[Pull]:
    """Its pull requests; with a larger share, those that were bad are, and more."""
    rng = random.Random(seed)
    # Whole minutes, as all that takes time is of half ones: sums of them are exact.
    asked = sorted(float(rng.randrange(int(DAY * count / PULLS))) for _ in range(count))
    made = []
    for number, at in enumerate(asked, start=1):
        size = rng.choices((rng.randint(1, 3), rng.randint(4, 10), RESOURCES // 2), (70, 22, 8))[0]
        first = rng.randrange(RESOURCES)
        touches = frozenset((first + each) % RESOURCES for each in range(size))
        made.append(Pull(number, at, touches, rng.random() < share))
    return made


class Clock:
    """Says the simulated time; what is to happen at a moment happens when it passes."""

    def __init__(self) -> None:
        self.start = self.now = datetime(2026, 3, 5, 8, tzinfo=UTC)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def __call__(self) -> datetime:
        return self.now

    @property
    def minutes(self) -> float:
        """Since the day began."""
        return (self.now - self.start).total_seconds() / 60

    @property
    def next_event(self) -> float | None:
        """When something is to happen."""
        return self._events[0][0] if self._events else None

    def at(self, minutes: float, what: Callable[[], None]) -> None:
        """Have it happen then."""
        heapq.heappush(self._events, (minutes, next(self._count), what))

    def advance(self, minutes: float) -> None:
        """Let time pass."""
        self.until(self.minutes + minutes)

    def until(self, minutes: float) -> None:
        """Let time pass up to that moment."""
        while self._events and self._events[0][0] <= minutes:
            at, _, what = heapq.heappop(self._events)
            self.now = self.start + timedelta(minutes=at)
            what()
        self.now = self.start + timedelta(minutes=minutes)


@dataclass
class Site:
    """Main, the environment and the builders; a `Remote` and a `Ground` of the lane.

    :param everything: all is built, deployed and tested each time.
    """

    everything: bool
    clock: Clock
    pulls: Mapping[int, Pull]
    commits: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"m": ()})
    bases: dict[str, str] = field(default_factory=dict)
    main: str = "m"
    lease: str | None = None
    parents: dict[str, str | None] = field(default_factory=dict)
    fences: dict[str, int] = field(default_factory=dict)
    running: str = "m"
    #: When the building of an artifact begins.
    begins: dict[tuple[int, tuple[int, ...]], float] = field(default_factory=dict)
    #: When each of those that build before the lane is free.
    builders: list[float] = field(default_factory=lambda: [0.0] * BUILDERS)
    builds: int = 0
    tested: set[str] = field(default_factory=set)
    #: Where the lane's minutes went.
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SPENT, 0.0))

    def key(self, resource: int, commit: str) -> tuple[int, ...]:
        """What of a resource's content is not as at the beginning."""
        return tuple(each for each in self.commits[commit] if resource in self.pulls[each].touches)

    def build(self, base: str, members: Sequence[int]) -> float:
        """Build what pull requests change on a commit, before the lane; when all of it is there."""
        commit = self._commit(base, members)
        touched = frozenset[int]().union(*(self.pulls[each].touches for each in members))
        there = self.clock.minutes
        for artifact in ((each, self.key(each, commit)) for each in sorted(touched)):
            if artifact not in self.begins:
                free = heapq.heappop(self.builders)
                self.begins[artifact] = max(free, self.clock.minutes)
                heapq.heappush(self.builders, self.begins[artifact] + BUILD)
                self.builds += 1
            there = max(there, self.begins[artifact] + BUILD)
        return there

    def lacks(self, resources: Collection[int], commit: str) -> tuple[list[int], float]:
        """What nobody builds yet; and in how many minutes the last one is there that somebody builds now."""
        if self.everything:
            return list(resources), 0.0
        lacking, wait, now = [], 0.0, self.clock.minutes
        for each in resources:
            key = self.key(each, commit)
            begins = self.begins.get((each, key), float("inf"))
            if not key or begins + BUILD <= now:
                continue
            if begins <= now:
                wait = max(wait, begins + BUILD - now)
            else:
                lacking.append(each)
        return lacking, wait

    def _commit(self, base: str, members: Sequence[int]) -> str:
        made = f"{base}.{'+'.join(map(str, members))}"
        self.commits[made] = (*self.commits[base], *members)
        self.bases[made] = base
        return made

    # A remote

    def refs(self) -> p.Refs:
        return p.Refs(self.main, self.lease)

    def fence_of(self, lease: str) -> int:
        return self.fences[lease]

    def in_chain(self, lease: str, tip: str) -> bool:
        at: str | None = tip
        while at is not None and at != lease:
            at = self.parents[at]
        return at == lease

    def new_lease(self, fence: int, parent: str | None, holder: str) -> str:
        made = f"lease-{len(self.parents)}"
        self.parents[made], self.fences[made] = parent, fence
        return made

    def push(self, lease: tuple[str | None, str], main: tuple[str, str] | None) -> p.Answer:
        if self.lease != lease[0] or (main is not None and self.main != main[0]):
            return p.Answer.REFUSED
        self.lease = lease[1]
        self.main = main[1] if main is not None else self.main
        return p.Answer.DONE

    def candidate(self, base: str, attempt: Attempt, members: Sequence[Entry]) -> p.Built:
        self._spend("merging", FIXED)
        return p.Built(self._commit(base, [each.pr for each in members]))

    def bring(self, *commits: str) -> None:
        pass

    def forget(self, run_id: str) -> None:
        pass

    # The merge environment

    def deploy(self, commit: str, op: Op) -> p.Deployed:
        differs = [
            each for each in range(RESOURCES) if self.key(each, commit) != self.key(each, self.running)
        ]
        if not differs:
            self.running = commit
            return p.Deployed(True)
        if self.everything:
            differs = list(range(RESOURCES))
        reverts, now = commit == self.main, self.clock.minutes
        lacking, wait = ([], 0.0) if reverts else self.lacks(differs, commit)
        for number, each in enumerate(lacking):
            self.begins[each, self.key(each, commit)] = now + number // BUILDERS * BUILD
        self.builds += len(lacking)
        self._spend("builds in the lane", max(wait, ceil(len(lacking) / BUILDERS) * BUILD))
        self._spend("reverts" if reverts else "deploys", ceil(len(differs) / DEPLOYERS) * DEPLOY)
        self.running = commit
        return p.Deployed(True)

    def test(self, commit: str, op: Op) -> p.Tested:
        members = self.commits[commit][len(self.commits[self.bases[commit]]) :]
        affected = frozenset[int]().union(*(self.pulls[each].touches for each in members))
        minutes = COMMON + ceil((RESOURCES if self.everything else len(affected)) / TESTERS) * SUITE
        bad = [each for each in members if self.pulls[each].bad]
        if bad:
            self._spend("failed tests", minutes + AGAIN)
            return p.Tested(p.Verdict.FAILED, f"{len(bad)} of them")
        self._spend("tests", minutes)
        self.tested.add(commit)
        return p.Tested(p.Verdict.PASSED)

    def runs(self, commit: str) -> bool:
        return self.running == commit or self.commits[self.running] == self.commits[commit]

    def _spend(self, what: str, minutes: float) -> None:
        self.spent[what] += minutes
        self.clock.advance(minutes)
