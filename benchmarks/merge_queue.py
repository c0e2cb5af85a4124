"""What a queue brings to main in an hour, by how it works: real queue, attempts and protocol, a set clock.

Sixty pull requests of one day (eight hours) for a monorepo of fifty resources, worked off to the last one. A
build takes 4 minutes, eight at a time; a deploy 3, ten at a time; the suites of one resource 1.5, four at a
time, and those of the whole 6; a failed test is tried again for 2; merging and reading back take 1. Seven of
ten change one to three resources, dependents included; two of ten four to ten; the others half of all.

* `everything`: one after another; builds, deploys and tests all of it.
* `change-aware`: one after another; only what is affected.
* `hoisted`: the same, and builds are there before the lane, as `prebuild` makes them.
* `batches`: the same, and up to eight at once, halved when they fail.
* `ahead`: the same, and what may be in the lane next is built while something is in it. This is Daybreak.

Before the lane eight builds go on at a time, whatever they are for; the lane has eight builders of its own,
and waits for a build that is under way already. All see the same pull requests; each seed makes other ones.
What is simulated is minutes (`merge_world`). Each run ends with a look that just the good ones landed.
Target: at 5 % bad ones, `ahead` lands at least seven times what `everything` lands.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import mean, quantiles

from sqlalchemy import update

from benchmarks.harness import Benchmark, Result, Target
from benchmarks.merge_world import SPENT, Clock, Pull, Site, a_day
from daybreak.environment.machine import State
from daybreak.environment.state import Environments
from daybreak.merge import protocol as p
from daybreak.merge.ahead import guesses
from daybreak.merge.attempts import Attempts
from daybreak.merge.lane import Lane
from daybreak.merge.queue import Ask, Queue
from daybreak.merge.rules import EntryState
from daybreak.registry import connect, migrate, tables
from daybreak.settings import EnvironmentSettings

SHARES = (0.0, 0.05, 0.1, 0.2)
STEPS = (p.enter, p.deploy, p.test, p.land, p.settle)
LIMIT = timedelta(hours=3)
MERGE = EnvironmentSettings.model_validate({"name": "merge-01", "account": "123456789012", "role": "merge"})


@dataclass(frozen=True)
class Strategy:
    """How a queue works; see the module."""

    name: str
    everything: bool = False
    hoisted: bool = False
    most: int = 1
    ahead: bool = False


STRATEGIES = (
    Strategy("everything", everything=True),
    Strategy("change-aware"),
    Strategy("hoisted", hoisted=True),
    Strategy("batches", hoisted=True, most=8),
    Strategy("ahead", hoisted=True, most=8, ahead=True),
)


class Day:
    """One strategy at work on one day's pull requests.

    :param registry: a migrated one that nobody used.
    """

    def __init__(self, strategy: Strategy, pulls: Sequence[Pull], registry: Path) -> None:
        self.strategy, self.pulls, self.clock = strategy, pulls, Clock()
        self.engine = connect(f"sqlite:///{registry}")
        environments = Environments(self.engine, self.clock)
        environments.ensure(MERGE)
        with self.engine.begin() as connection:
            connection.execute(update(tables.environments).values(state=State.READY))
        self.site = Site(strategy.everything, self.clock, {each.number: each for each in pulls})
        self.queue = Queue(self.engine, self.clock, strategy.most)
        self.attempts = Attempts(self.engine, self.clock)
        self.lane = Lane(
            environments, self.queue, self.attempts, self.site, MERGE.name, self.site, lambda _: None, LIMIT
        )  # fmt: skip
        #: When a pull request's own builds are there; what each entry touches.
        self.ready: dict[int, float] = {}
        self.impact: dict[int, frozenset[str]] = {}
        self.in_lane, self.count = 0.0, 0
        for each in pulls:
            self.clock.at(each.asked, partial(self._asked, each))
        self.clock.until(0.0)

    def run(self) -> dict[str, float]:
        """Work all of them off; what came of it."""
        while (moment := self._next()) is not None:
            if moment > self.clock.minutes:
                self.clock.until(moment)
            else:
                self._attempt()
        found = _outcome(self.queue, self.site, self.clock, self.pulls)
        self.engine.dispose()
        each = {
            "lane minutes": self.in_lane, "builds": float(self.site.builds), "attempts": float(self.count),
            **self.site.spent,
        }  # fmt: skip
        return {**found, **{name: value / found["landed"] for name, value in each.items()}}

    def _next(self) -> float | None:
        """When there is something to do: now, if something can enter the lane."""
        chosen, event = self.queue.choose(self.impact), self.clock.next_event
        if chosen is None:
            return event
        # The gate: a run comes to the lane when its builds are done, and nobody passes the first one.
        ready = self.ready[chosen.members[0].pr]
        return ready if event is None or ready <= self.clock.minutes else min(ready, event)

    def _attempt(self) -> None:
        chosen = self.queue.choose(self.impact)
        assert chosen is not None
        self.count += 1
        began, run_id = self.clock.minutes, f"pr-{chosen.members[0].pr}-{self.count}"
        self.queue.begin(run_id, chosen, actor="gandalf")
        for step in STEPS:
            self.lane.run(run_id, step(), holder=f"pr_e2e/{run_id}", actor="gandalf")
            if step is p.enter:
                self._build_ahead()
        self.in_lane += self.clock.minutes - began

    def _asked(self, pull: Pull) -> None:
        ask = Ask(pull.number, f"{pull.number:040x}", f"Change {pull.number}", "dana")
        entry = self.queue.add(ask, by="dana")
        self.impact[entry.id] = frozenset(map(str, pull.touches))
        hoisted = self.strategy.hoisted
        self.ready[pull.number] = self.site.build(self.site.main, [pull.number]) if hoisted else pull.asked
        self._build_ahead()

    def _build_ahead(self) -> None:
        """As a run does that takes the lane, and one that comes while another has it."""
        for attempt in self.attempts.unfinished() if self.strategy.ahead else []:
            members = [self.queue.get(each) for each in attempt.members]
            for guess in guesses(self.queue.line(), attempt, members, self.impact):
                self.site.build(guess.base, [each.pr for each in guess.members])


def run(strategy: Strategy, pulls: Sequence[Pull], registry: Path) -> dict[str, float]:
    """See :class:`Day`."""
    return Day(strategy, pulls, registry).run()


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
    return [*lines, "", *spent(result, 0.05)]


def spent(result: Result, share: float) -> list[str]:
    """Where the lane's minutes went, of the strategies that are named."""
    shown = STRATEGIES[2:]
    lines = [f"| of the lane's minutes at {share:.0%} bad | {' | '.join(each.name for each in shown)} |"]
    lines.append(f"|---|{'---:|' * len(shown)}")
    for what in SPENT:
        cells = []
        for each in shown:
            counts = [one.counts for one in result.samples[name_of(each, share)]]
            minutes, whole = (
                sum(one[name] * one["landed"] for one in counts) for name in (what, "lane minutes")
            )
            cells.append(f"{minutes / whole:.0%}")
        lines.append(f"| {what} | {' | '.join(cells)} |")
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
        [Target("at 5 % bad, what `everything` lands while `ahead` lands one", 1 / 7, times)],
        rounds=5,
        table=table,
    )
