"""How long a night took, and how long it had to take at the least: pure.

Every instant is a number of seconds after the same moment, the run's decision. What the tasks measured of
themselves is their time; what the scheduler needed to start the next one is in the makespan alone, so a slow
scheduler is seen and not excused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

#: The makespan is at most this many times what could not be avoided.
TARGET = 1.5


@dataclass(frozen=True)
class Task:
    """One thing that took time: a stage of an environment, a build, a resource's unit tests.

    :param pool: whose slot it held.
    :param needs: names of the tasks that had to end before it; one that the run did not have does not count.
    """

    name: str
    pool: str
    began: float
    ended: float
    needs: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.ended - self.began


@dataclass(frozen=True)
class Span:
    """A time in which the run was at work, or could have been."""

    name: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.ended - self.began


@dataclass(frozen=True)
class Link:
    """One task of the critical path.

    :param waited: seconds between the end of the one before it (or the run's begin) and its begin, without
        the wait for the morning: the scheduler, a slot that was not free, or a task that is not recorded.
    """

    name: str
    seconds: float
    waited: float


@dataclass(frozen=True)
class Load:
    """What one pool had to carry.

    :param slots: how many could be used: the settings say it, unless more were seen at work at once.
    :param seconds: of all its tasks.
    """

    pool: str
    slots: int
    seconds: float

    @property
    def bound(self) -> float:
        """With every slot busy all the time, it still takes this long."""
        return self.seconds / self.slots


@dataclass(frozen=True)
class Timing:
    """The figures of a run.

    :param chain: the critical path, first task first.
    :param after: seconds from the end of the chain to the end of the run.
    """

    spans: tuple[Span, ...]
    chain: tuple[Link, ...]
    loads: tuple[Load, ...]
    after: float

    @property
    def makespan(self) -> float:
        """Seconds from begin to end; the wait for the morning is not in it."""
        return sum(span.seconds for span in self.spans)

    @property
    def critical_path(self) -> float:
        """Seconds of the longest chain of tasks that had to follow each other."""
        return sum(link.seconds for link in self.chain)

    @property
    def fullest(self) -> Load | None:
        """The pool whose tasks bound the run."""
        return max(self.loads, key=lambda load: load.bound, default=None)

    @property
    def bound(self) -> float:
        """Seconds that could not be avoided: the critical path, or the load of the fullest pool."""
        return max(self.critical_path, self.fullest.bound if self.fullest else 0.0)

    @property
    def ratio(self) -> float | None:
        """Makespan ÷ bound; ``None`` when nothing was done."""
        return self.makespan / self.bound if self.bound > 0 else None

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the figures that follow from it."""
        return {
            "makespan": round(self.makespan, 1),
            "critical_path": round(self.critical_path, 1),
            "load": round(self.fullest.bound, 1) if self.fullest else 0.0,
            "ratio": None if self.ratio is None else round(self.ratio, 2),
            "target": TARGET,
            "spans": [vars(span) for span in self.spans],
            "chain": [vars(link) for link in self.chain],
            "after": self.after,
            "pools": [{**vars(load), "bound": round(load.bound, 1)} for load in self.loads],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Timing:
        """The inverse of :meth:`to_json`."""
        return cls(
            tuple(Span(**span) for span in data["spans"]),
            tuple(Link(**link) for link in data["chain"]),
            tuple(Load(load["pool"], load["slots"], load["seconds"]) for load in data["pools"]),
            data["after"],
        )


def spans(tasks: Collection[Task], began: float, ended: float, morning: float | None) -> tuple[Span, ...]:
    """When the run was at work: one span, or evening and morning when it waited between them.

    It waited when nothing was at work right before ``morning``; a run by hand that does not wait ends before
    it, or works through it.

    :param began: when it decided; :param ended: when it reported, or now. Tasks beyond them move them.
    :param morning: when the policy's morning began.
    """
    first = _ms(min([began, *(task.began for task in tasks)]))
    last = _ms(max([ended, *(task.ended for task in tasks)]))
    if morning is None or not first < morning < last:
        return (Span("run", first, last),)
    evening_ended = _ms(max([began, first, *(task.ended for task in tasks if task.began < morning)]))
    if evening_ended >= morning:
        return (Span("run", first, last),)
    return (Span("evening", first, evening_ended), Span("morning", morning, last))


def measure(tasks: Sequence[Task], spans: Sequence[Span], slots: Mapping[str, int]) -> Timing:
    """Work out the figures.

    :param tasks: with unique names; each lies in one of the spans; their needs have no cycle.
    :param slots: of each pool; one that is not named has what was seen at work at once.
    """
    chain = _longest(tasks)
    links, before = [], spans[0].began
    for task in chain:
        links.append(Link(task.name, _ms(task.seconds), _awake(spans, before, task.began)))
        before = task.ended
    pools: dict[str, list[Task]] = {}
    for task in tasks:
        pools.setdefault(task.pool, []).append(task)
    loads = tuple(
        Load(pool, max(slots.get(pool, 1), _at_once(held)), _ms(sum(task.seconds for task in held)))
        for pool, held in sorted(pools.items())
    )
    return Timing(tuple(spans), tuple(links), loads, _awake(spans, before, spans[-1].ended))


def _longest(tasks: Sequence[Task]) -> list[Task]:
    """The longest chain of tasks, by their lengths.

    A need that the run itself did not keep (a step that was done again long after what followed it) bounds
    nothing and does not count.
    """
    by_name = {task.name: task for task in tasks}
    kept = {
        task.name: [
            need for need in task.needs
            if need in by_name and need != task.name and by_name[need].ended <= task.began
        ]
        for task in tasks
    }  # fmt: skip
    best: dict[str, tuple[float, str | None]] = {}
    for name in TopologicalSorter(kept).static_order():
        before = max(kept[name], key=lambda need: (best[need][0], need), default=None)
        best[name] = (by_name[name].seconds + (best[before][0] if before else 0.0), before)
    at = max(best, key=lambda name: (best[name][0], name), default=None)
    chain: list[Task] = []
    while at is not None:
        chain.insert(0, by_name[at])
        at = best[at][1]
    return chain


def _awake(spans: Sequence[Span], begin: float, end: float) -> float:
    """How much of the time from ``begin`` to ``end`` lies in the spans."""
    return _ms(sum(max(0.0, min(end, span.ended) - max(begin, span.began)) for span in spans))


def _ms(seconds: float) -> float:
    """To the millisecond, so that what is kept is what was worked out."""
    return round(seconds, 3)


def _at_once(tasks: Collection[Task]) -> int:
    """How many were at work at the same time, at the most; at least 1."""
    changes = sorted(
        change for task in tasks for change in ((task.began, 1), (task.ended, -1)) if task.seconds > 0
    )
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return max(most, 1)
