"""What a queue brings to main in an hour, by how it works: real queue, attempts and protocol, a set clock.

Sixty pull requests of one day (eight hours) for a monorepo of fifty resources, worked off to the last one. A
build takes 4 minutes, eight at a time; a deploy 3, ten at a time; the suites of one resource 1.5, four at a
time, and those of the whole 6; a failed test is tried again for 2; merging and reading back take 1. Seven of
ten change one to three resources, dependents included; two of ten four to ten; the others half of all.

* `everything`: one after another; builds, deploys and tests all of it.
* `change-aware`: one after another; only what is affected.
* `hoisted`: the same, and builds are there before the lane, as `prebuild` makes them.
* `batches`: the same, and up to eight at once, halved when they fail. This is Daybreak.

The four see the same pull requests; each seed makes other ones. What is simulated is minutes: git is three
words in memory, the environment a table of what runs where. Each run ends with a look that just the good ones
landed. Target: at 5 % bad ones, batches land at least seven times what `everything` lands.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from statistics import mean, quantiles

from sqlalchemy import update

from benchmarks.harness import Benchmark, Result, Target
from daybreak.environment.machine import Op, State
from daybreak.environment.state import Environments
from daybreak.merge import protocol as p
from daybreak.merge.attempts import Attempts
from daybreak.merge.lane import Lane
from daybreak.merge.queue import Ask, Queue
from daybreak.merge.rows import Attempt, Entry
from daybreak.merge.rules import EntryState
from daybreak.registry import connect, migrate, tables
from daybreak.settings import EnvironmentSettings

RESOURCES, PULLS, DAY = 50, 60, 480.0
BUILD, BUILDERS, DEPLOY, DEPLOYERS = 4.0, 8, 3.0, 10
SUITE, TESTERS, COMMON, AGAIN, FIXED = 1.5, 4, 6.0, 2.0, 1.0
SHARES = (0.0, 0.05, 0.1, 0.2)
STEPS = (p.enter, p.deploy, p.test, p.land, p.settle)
MERGE = EnvironmentSettings.model_validate({"name": "merge-01", "account": "123456789012", "role": "merge"})


@dataclass(frozen=True)
class Strategy:
    """How a queue works; see the module."""

    name: str
    everything: bool = False
    hoisted: bool = False
    most: int = 1


STRATEGIES = (
    Strategy("everything", everything=True),
    Strategy("change-aware"),
    Strategy("hoisted", hoisted=True),
    Strategy("batches", hoisted=True, most=8),
)


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
    """Says the simulated time."""

    def __init__(self) -> None:
        self.start = self.now = datetime(2026, 3, 5, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    @property
    def minutes(self) -> float:
        """Since the day began."""
        return (self.now - self.start).total_seconds() / 60

    def advance(self, minutes: float) -> None:
        """Let time pass."""
        self.now += timedelta(minutes=minutes)


@dataclass
class Site:
    """Main, the environment and the builders; a `Remote` and a `Ground` of the lane."""

    strategy: Strategy
    clock: Clock
    pulls: Mapping[int, Pull]
    commits: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"m": ()})
    bases: dict[str, str] = field(default_factory=dict)
    main: str = "m"
    lease: str | None = None
    parents: dict[str, str | None] = field(default_factory=dict)
    fences: dict[str, int] = field(default_factory=dict)
    running: str = "m"
    #: When an artifact is there, in minutes.
    built: dict[tuple[int, tuple[int, ...]], float] = field(default_factory=dict)
    builds: int = 0
    tested: set[str] = field(default_factory=set)

    def key(self, resource: int, commit: str) -> tuple[int, ...]:
        """What of a resource's content is not as at the beginning."""
        return tuple(each for each in self.commits[commit] if resource in self.pulls[each].touches)

    def prebuild(self, pull: Pull) -> float:
        """Build a pull request on main as it is now; when that is done, in minutes."""
        commit = self._commit(self.main, (pull.number,))
        wanted = [
            (each, key) for each in pull.touches if (key := self.key(each, commit)) not in self._made(each)
        ]
        done = self.clock.minutes + ceil(len(wanted) / BUILDERS) * BUILD
        self.built |= dict.fromkeys(wanted, done)
        self.builds += len(wanted)
        return done

    def _made(self, resource: int) -> set[tuple[int, ...]]:
        return {key for name, key in self.built if name == resource} | {()}

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

    def candidate(self, base: str, attempt: Attempt, members: Sequence[Entry]) -> str:
        self.clock.advance(FIXED)
        return self._commit(base, [each.pr for each in members])

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
            return p.Deployed(True)
        if self.strategy.everything:
            differs = list(range(RESOURCES))
        reverts = commit == self.main
        missing = [] if reverts else [each for each in differs if not self._is_built(each, commit)]
        self.clock.advance(ceil(len(missing) / BUILDERS) * BUILD)
        self.builds += len(missing)
        self.built |= {(each, self.key(each, commit)): self.clock.minutes for each in missing}
        self.clock.advance(ceil(len(differs) / DEPLOYERS) * DEPLOY)
        self.running = commit
        return p.Deployed(True)

    def test(self, commit: str, op: Op) -> p.Tested:
        members = self.commits[commit][len(self.commits[self.bases[commit]]) :]
        affected = frozenset[int]().union(*(self.pulls[each].touches for each in members))
        count = RESOURCES if self.strategy.everything else len(affected)
        self.clock.advance(COMMON + ceil(count / TESTERS) * SUITE)
        bad = [each for each in members if self.pulls[each].bad]
        if bad:
            self.clock.advance(AGAIN)
            return p.Tested(p.Verdict.FAILED, f"{len(bad)} of them")
        self.tested.add(commit)
        return p.Tested(p.Verdict.PASSED)

    def runs(self, commit: str) -> bool:
        return self.running == commit or self.commits[self.running] == self.commits[commit]

    def _is_built(self, resource: int, commit: str) -> bool:
        if self.strategy.everything:
            return False
        key = self.key(resource, commit)
        return not key or self.built.get((resource, key), float("inf")) <= self.clock.minutes


def run(strategy: Strategy, pulls: Sequence[Pull], registry: Path) -> dict[str, float]:
    """Work all of them off; what came of it.

    :param registry: a migrated one that nobody used.
    """
    clock = Clock()
    engine = connect(f"sqlite:///{registry}")
    environments = Environments(engine, clock)
    environments.ensure(MERGE)
    with engine.begin() as connection:
        connection.execute(update(tables.environments).values(state=State.READY))
    site = Site(strategy, clock, {each.number: each for each in pulls})
    queue = Queue(engine, clock, strategy.most)
    lane = Lane(environments, queue, Attempts(engine, clock), site, MERGE.name, site, lambda _: None)
    ahead, ready = deque(pulls), dict[int, float]()
    in_lane, attempts = 0.0, 0
    while True:
        while ahead and ahead[0].asked <= clock.minutes:
            _asked(site, queue, ahead.popleft(), ready)
        group = [each for each in queue.open() if each.suspects_fail]
        chosen = queue.choose({each.id: frozenset(map(str, site.pulls[each.pr].touches)) for each in group})
        # The gate: a run comes to the lane when its builds are done, and nobody passes the first one.
        later = ready[chosen.members[0].pr] if chosen else ahead[0].asked if ahead else None
        if later is None:
            break
        if later > clock.minutes:
            next_one = ahead[0].asked if ahead else later
            clock.advance(min(later, next_one) - clock.minutes)
            continue
        assert chosen is not None
        attempts += 1
        began, run_id = clock.minutes, f"pr-{chosen.members[0].pr}-{attempts}"
        queue.begin(run_id, chosen, actor="gandalf")
        for step in STEPS:
            lane.run(run_id, step(), holder=f"pr_e2e/{run_id}", actor="gandalf")
        in_lane += clock.minutes - began
    found = _outcome(queue, site, clock, pulls)
    engine.dispose()
    return {
        **found, "lane minutes": in_lane / found["landed"], "builds": site.builds / found["landed"],
        "attempts": attempts / found["landed"],
    }  # fmt: skip


def _asked(site: Site, queue: Queue, pull: Pull, ready: dict[int, float]) -> None:
    """At its own time, though the lane was busy then."""
    clock, now = site.clock, site.clock.now
    clock.now = clock.start + timedelta(minutes=pull.asked)
    queue.add(Ask(pull.number, f"{pull.number:040x}", f"Change {pull.number}", "dana"), by="dana")
    ready[pull.number] = site.prebuild(pull) if site.strategy.hoisted else pull.asked
    clock.now = now


def _outcome(queue: Queue, site: Site, clock: Clock, pulls: Sequence[Pull]) -> dict[str, float]:
    """What landed, after it was made sure that just that landed which should."""
    on_main = site.commits[site.main]
    assert sorted(on_main) == [each.number for each in pulls if not each.bad], "something wrong landed"
    assert site.main in site.tested
    assert site.commits[site.running] == on_main
    ended = [queue.of_pull(each.number)[0] for each in pulls]
    landed = [each for each in ended if each.state is EntryState.LANDED]
    assert len(landed) == len(on_main)
    assert all(each.ended_at is not None for each in ended)
    waited = sorted((each.changed_at - each.queued_at).total_seconds() / 60 for each in landed)
    hundredths = quantiles(waited, n=100, method="inclusive")
    hours = (clock.minutes - pulls[0].asked) / 60
    return {
        "landed": len(landed), "per hour": len(landed) / hours, "p50": hundredths[49], "p95": hundredths[94],
    }  # fmt: skip


def name_of(strategy: Strategy, share: float) -> str:
    """Of a case."""
    return f"{strategy.name}, {share:.0%} bad"


def table(result: Result) -> list[str]:
    """Means over the seeds; of the first figure with its interval of 95 %."""
    head = ("bad", "queue", "landed per hour", "of `everything`", "p50, p95 in hours", "lane, builds of one")
    lines = [f"| {' | '.join(head)} |", "|---:|---|---:|---:|---:|---:|"]
    for share, strategy in itertools.product(SHARES, STRATEGIES):
        counts = [each.counts for each in result.samples[name_of(strategy, share)]]
        first = mean(each.counts["per hour"] for each in result.samples[name_of(STRATEGIES[0], share)])
        hour = [each["per hour"] for each in counts]
        low, high = interval(hour)
        p50, p95, lane, builds = (
            mean(each[name] for each in counts) for name in ("p50", "p95", "lane minutes", "builds")
        )
        cells = (
            f"{share:.0%}", strategy.name, f"{mean(hour):.2f} ({low:.2f} to {high:.2f})",
            f"{mean(hour) / first:.1f} times", f"{p50 / 60:.1f}, {p95 / 60:.1f}",
            f"{lane:.0f} min, {builds:.1f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def interval(values: Sequence[float], draws: int = 2000) -> tuple[float, float]:
    """Of the mean, 95 %, by the percentile bootstrap (Efron, 1979)."""
    rng = random.Random(0)
    means = sorted(mean(rng.choices(values, k=len(values))) for _ in range(draws))
    return means[int(draws * 0.025)], means[int(draws * 0.975)]


def benchmark(work: Path) -> Benchmark:
    """A case for each strategy and share; each round is another seed."""
    template = work / "template.db"
    engine = connect(f"sqlite:///{template}")
    migrate(engine)
    engine.dispose()

    def case(strategy: Strategy, share: float) -> Callable[[], Mapping[str, float]]:
        seeds = itertools.count(1)

        def once() -> Mapping[str, float]:
            registry = work / "registry.db"
            for each in work.glob("registry.db*"):
                each.unlink()
            shutil.copy(template, registry)
            return run(strategy, a_day(next(seeds), share), registry)

        return once

    def times(result: Result) -> float:
        slow, fast = (
            mean(one.counts["per hour"] for one in result.samples[name_of(each, 0.05)])
            for each in (STRATEGIES[0], STRATEGIES[-1])
        )
        return slow / fast

    return Benchmark(
        "merge_queue",
        (__doc__ or "").strip(),
        {name_of(each, share): case(each, share) for share in SHARES for each in STRATEGIES},
        [Target("at 5 % bad, what `everything` lands while batches land one", 1 / 7, times)],
        rounds=5,
        table=table,
    )
