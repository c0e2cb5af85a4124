"""Which entries an attempt takes, and how a batch that failed is halved: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TypeVar

from daybreak.merge.rows import TRY, Entry

#: Members of a batch while nobody knows how often one fails, and at the most.
USUAL, MOST = 4, 8
#: From this share of failing ones on, batches cost more than they save.
TOO_MANY = 0.2
#: How many of the last pull requests count; fewer than so many say nothing.
WINDOW, KNOWN = 50, 10

T = TypeVar("T")


def cap(decided: Sequence[bool]) -> int:
    """How many entries a batch may have.

    About ``1 / √p`` tests the fewest times for each that lands, when each fails with the chance p (Dorfman,
    1943: the best group of a pooled test).

    :param decided: of each pull request, latest last, whether it landed (else it failed by itself). Attempts
        with one member would not do: after a batch is halved most of those fail.
    """
    recent = decided[-WINDOW:]
    if len(recent) < KNOWN:
        return USUAL
    share = recent.count(False) / len(recent)
    if share >= TOO_MANY:
        return 1
    return MOST if share == 0 else max(1, min(MOST, round(1 / sqrt(share))))


@dataclass(frozen=True)
class Standing:
    """Whether the queue moves.

    :param paused: nothing new enters the lane, but the entry ``emergency``.
    """

    paused: bool = False
    emergency: int | None = None


def waiting(queue: Sequence[Entry], standing: Standing = Standing()) -> list[Entry]:
    """Those of the queue that may enter the lane now, in its order."""
    if standing.paused:
        return [each for each in queue if each.id == standing.emergency and each.held_by is None]
    return [each for each in queue if each.held_by is None]


@dataclass(frozen=True)
class Batch:
    """What is tested next.

    :param members: in the order in which they are merged.
    :param rest: the other half, where a batch that failed was halved: it is tested after this one.
    """

    members: tuple[Entry, ...]
    rest: tuple[Entry, ...] = field(default=())


def choose(
    queue: Sequence[Entry], most: int, impact: Mapping[int, frozenset[str]] | None = None
) -> Batch | None:
    """What the lane takes next, from the entries that are queued, in their order; ``None`` when none is.

    Never waits for a batch to fill. A try, or what asked to be alone, is alone. What is left of a batch that
    failed comes first, and together, before anybody else joins.

    :param most: as :func:`cap` says.
    :param impact: resources that each entry affects, by entry; see :func:`halves`.
    """
    if not queue:
        return None
    head = queue[0]
    if head.suspects is not None:
        group = [each for each in queue if each.suspects == head.suspects]
        if head.suspects_fail and len(group) > 1:
            low, high = halves(group, impact or {})
            return Batch(tuple(low), tuple(high))
        return Batch(tuple(group))
    if head.solo or head.mode == TRY:
        return Batch((head,))
    members: list[Entry] = []
    for each in queue:
        alike = (each.priority, each.mode, each.solo, each.suspects)
        if len(members) == most or alike != (head.priority, head.mode, False, None):
            break
        members.append(each)
    return Batch(tuple(members))


@dataclass(frozen=True)
class Line:
    """All that decides what the lane takes next.

    :param queued: those that wait, in the queue's order.
    :param decided: as :func:`cap` has it.
    :param most: members that a batch has at the most, whatever :func:`cap` says.
    """

    queued: Sequence[Entry]
    standing: Standing = Standing()
    decided: Sequence[bool] = ()
    most: int = MOST

    def choose(self, impact: Mapping[int, frozenset[str]] | None = None) -> Batch | None:
        """What the next attempt would take; see :func:`choose`. Nothing while the queue is paused."""
        free = waiting(self.queued, self.standing)
        return choose(free, min(self.most, cap(self.decided)), impact)

    def to_halve(self) -> list[Entry]:
        """Those whose impact decides about the next attempt: they failed together, and come first."""
        first = self.queued[0].suspects if self.queued else None
        return [each for each in self.queued if first is not None and each.suspects_fail]


def halves(
    members: Sequence[Entry], impact: Mapping[int, frozenset[str]]
) -> tuple[list[Entry], list[Entry]]:  # fmt: skip
    """Two halves of a batch that failed, each in the queue's order.

    Entries that touch nothing in common go to different halves, so that one of them is innocent for sure.
    Where all hang together the queue's order decides; what touches nothing rides along with the first.
    """
    groups = _hanging_together(members, impact)
    if len(groups) == 1:
        middle = (len(members) + 1) // 2
        return list(members[:middle]), list(members[middle:])
    low: list[Entry] = []
    for group in sorted(groups, key=lambda group: (-len(group), members.index(group[0]))):
        if not low or len(low) + len(group) <= (len(members) + 1) // 2:
            low += group
    chosen = {each.id for each in low}
    # The first of the queue is in the first half: an attempt is led by its own run's entry.
    first = members[0].id in chosen
    return (
        [each for each in members if (each.id in chosen) is first],
        [each for each in members if (each.id in chosen) is not first],
    )


def _hanging_together(
    members: Sequence[Entry], impact: Mapping[int, frozenset[str]]
) -> list[list[Entry]]:  # fmt: skip
    """Members grouped by what they touch; an unknown impact touches everything."""
    if any(each.id not in impact for each in members):
        return [list(members)]
    groups: list[tuple[set[str], list[Entry]]] = []
    for each in members:
        touched, mine = set(impact[each.id]), [each]
        apart = []
        for others, group in groups:
            if touched & others or not (touched or others):
                touched |= others
                mine = [*group, *mine]
            else:
                apart.append((others, group))
        groups = [*apart, (touched, mine)]
    return [group for _, group in groups]
