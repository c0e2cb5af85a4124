"""Measure cases side by side in one run, compare them by ratios, say whether targets hold.

Times differ from machine to machine and, on a busy one, from minute to minute; ratios of cases that took
turns differ little. So each round runs every case once, the ratio of a case is the median of its ratios to
the first case of the same round, and processor seconds stand beside wall seconds: load stretches only these.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One run of one case: seconds, and whatever it counted itself."""

    wall: float
    cpu: float
    counts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """All samples of a benchmark, by case; the first case is what the others are compared with."""

    samples: Mapping[str, Sequence[Sample]]

    def wall(self, case: str) -> float:
        """Median wall seconds."""
        return median(each.wall for each in self.samples[case])

    def cpu(self, case: str) -> float:
        """Median processor seconds, children included."""
        return median(each.cpu for each in self.samples[case])

    def count(self, case: str, name: str) -> float:
        """Median of what the case counted."""
        return median(each.counts[name] for each in self.samples[case])

    def ratio(self, case: str) -> float:
        """Processor seconds relative to the first case, round by round."""
        first = next(iter(self.samples.values()))
        return median(one.cpu / base.cpu for one, base in zip(self.samples[case], first, strict=True))


@dataclass(frozen=True)
class Target:
    """A promise: ``value`` of a result is at most ``limit``."""

    text: str
    limit: float
    value: Callable[[Result], float]


@dataclass(frozen=True)
class Benchmark:
    """What is measured, how often, and what must come out.

    :param cases: each is called once a round and returns what it counted (or nothing).
    :param before: by case, what is done before each of its calls, and not measured.
    :param table: lines of Markdown, for a benchmark whose seconds say nothing.
    """

    name: str
    what: str
    cases: Mapping[str, Callable[[], Mapping[str, float] | None]]
    targets: Sequence[Target]
    rounds: int = 5
    before: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    table: Callable[[Result], Sequence[str]] | None = None

    def run(self, say: Callable[[str], None], rounds: int | None = None) -> Result:
        """Measure; medians forgive the one sample that found everything cold."""
        samples: dict[str, list[Sample]] = {name: [] for name in self.cases}
        for number in range(rounds or self.rounds):
            say(f"{self.name}: round {number + 1} of {rounds or self.rounds}")
            for name, case in self.cases.items():
                self.before.get(name, lambda: None)()
                samples[name].append(_measured(case))
        return Result(samples)


def _measured(case: Callable[[], Mapping[str, float] | None]) -> Sample:
    before, started = _processor_seconds(), time.perf_counter()
    counts = case() or {}
    return Sample(time.perf_counter() - started, _processor_seconds() - before, counts)


def _processor_seconds() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def as_json(benchmark: Benchmark, result: Result) -> dict[str, Any]:
    """Everything that was measured, for machines."""
    return {
        "name": benchmark.name,
        "what": benchmark.what,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "load": os.getloadavg()[0],
        "cases": {
            name: {
                "wall": [round(each.wall, 4) for each in samples],
                "cpu": [round(each.cpu, 4) for each in samples],
                "counts": [dict(each.counts) for each in samples],
                "ratio": round(result.ratio(name), 3),
            }
            for name, samples in result.samples.items()
        },
        "targets": [
            {
                "text": target.text,
                "value": round(value, 4),
                "limit": target.limit,
                "holds": value <= target.limit,
            }
            for target in benchmark.targets
            for value in [target.value(result)]
        ],
    }


def as_markdown(benchmark: Benchmark, result: Result) -> str:
    """The same for people: a table of cases, then the targets."""
    shown = benchmark.table(result) if benchmark.table is not None else _seconds(result)
    lines = [f"### {benchmark.name}", "", benchmark.what, "", *shown, ""]
    for target in benchmark.targets:
        value = target.value(result)
        verdict = "holds" if value <= target.limit else "**missed**"
        lines.append(f"- {target.text}: {value:.3g} ≤ {target.limit:.3g}: {verdict}")
    return "\n".join(lines)


def _seconds(result: Result) -> list[str]:
    counted = list(next(iter(result.samples.values()))[0].counts)
    lines = [
        "| case | wall s | processor s | ratio |" + "".join(f" {name} |" for name in counted),
        "|---|---:|---:|---:|" + "---:|" * len(counted),
    ]
    for name in result.samples:
        cells = "".join(f" {result.count(name, each):.3g} |" for each in counted)
        lines.append(
            f"| {name} | {result.wall(name):.2f} | {result.cpu(name):.2f} | {result.ratio(name):.2f} |{cells}"
        )
    return lines
