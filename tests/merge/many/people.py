"""What people want on main, and what they do meanwhile."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from daybreak.errors import UsageError
from daybreak.merge.control import GANDALF, HIGH, Control
from daybreak.merge.queue import Ask, Queue
from daybreak.merge.rows import LAND, TRY, Entry, TooLate
from daybreak.merge.rules import EntryState as E
from tests.merge.many.place import BAD, POISON, UNDEPLOYABLE, Place
from tests.merge.many.site import Site


class Kind(StrEnum):
    """What a pull request is, and what its people do."""

    GOOD = "good"
    BAD = BAD
    UNDEPLOYABLE = UNDEPLOYABLE
    #: Three of them change the same line: one can land.
    RIVAL = "rival"
    #: Two of them fail together and not alone: one can land.
    PAIR = "pair"
    #: A commit is pushed after it was queued; nobody reviewed that.
    MOVED = "moved"
    CANCELLED = "cancelled"
    HELD = "held"
    TRIED = "tried"
    URGENT = "urgent"
    #: Whoever tests it dies.
    POISON = POISON


_NEVER = datetime.min.replace(tzinfo=UTC)
#: Of so many pull requests, how many are what.
OFTEN: Mapping[Kind, int] = {
    Kind.GOOD: 24, Kind.BAD: 4, Kind.UNDEPLOYABLE: 2, Kind.RIVAL: 6, Kind.PAIR: 4, Kind.MOVED: 2,
    Kind.CANCELLED: 2, Kind.HELD: 2, Kind.TRIED: 2, Kind.URGENT: 1, Kind.POISON: 1,
}  # fmt: skip
#: How each may end; GOOD, HELD and URGENT do land.
ENDS: dict[Kind, set[E]] = {
    Kind.GOOD: {E.LANDED}, Kind.BAD: {E.REJECTED}, Kind.UNDEPLOYABLE: {E.REJECTED},
    Kind.RIVAL: {E.LANDED, E.REJECTED}, Kind.PAIR: {E.LANDED, E.REJECTED}, Kind.MOVED: {E.LANDED, E.STALE},
    Kind.CANCELLED: {E.LANDED, E.CANCELLED}, Kind.HELD: {E.LANDED}, Kind.TRIED: {E.TRIED},
    Kind.URGENT: {E.LANDED}, Kind.POISON: {E.CANCELLED},
}  # fmt: skip


@dataclass
class Pull:
    """One pull request."""

    number: int
    kind: Kind
    sha: str
    group: int = 0


@dataclass
class People:
    """A team.

    :param tick: what the time is, in ticks.
    """

    site: Site
    place: Place
    queue: Queue
    control: Control
    rng: random.Random
    happened: Counter[str]
    trouble: Callable[[str], bool]
    tick: Callable[[], int]
    often: Mapping[Kind, int]
    pulls: dict[int, Pull] = field(default_factory=dict)
    moved: dict[int, int] = field(default_factory=dict)
    _later: list[tuple[int, Callable[[], object]]] = field(default_factory=list)
    _looked: datetime = _NEVER

    def propose(self) -> None:
        """One more, and what is done to it later."""
        number = len(self.pulls) + 1
        kind = self.rng.choices(list(self.often), list(self.often.values()))[0]
        of_kind = sum(each.kind is kind for each in self.pulls.values())
        group = of_kind // {Kind.RIVAL: 3, Kind.PAIR: 2}.get(kind, 1)
        name = f"{kind}-{number}"
        files = {f"line-{group}": name} if kind is Kind.RIVAL else {name: "x"}
        if kind is Kind.PAIR and of_kind % 2:
            other = next(n for n, each in self.pulls.items() if (each.kind, each.group) == (kind, group))
            self.place.together.append(frozenset({f"{kind}-{other}", name}))
        # From main as it was at some time: for rivals before any of them landed.
        base = self.site.history[0] if kind is Kind.RIVAL else self.site.main
        pull = self.pulls[number] = Pull(number, kind, self.site.change(files, base), group)
        self.site.refs_[f"refs/pull/{number}/head"] = pull.sha
        self.ask(pull)
        soon = self.rng.randint
        match kind:
            case Kind.MOVED:
                self._later.append((self.tick() + soon(1, 120), lambda: self._push(pull)))
            case Kind.CANCELLED:
                self._later.append((self.tick() + soon(1, 120), lambda: self._cancel(number)))
            case Kind.HELD:
                self._later.append((self.tick() + soon(1, 60), lambda: self._hold(number)))
                self._later.append((self.tick() + soon(100, 300), lambda: self._unhold(number)))
            case Kind.URGENT:
                self._later.append((self.tick() + soon(1, 60), lambda: self._emergency(number)))

    def ask(self, pull: Pull) -> None:
        """`merge`, or `try`."""
        mode = TRY if pull.kind is Kind.TRIED else LAND
        priority = self.rng.choices((-1, 0, HIGH), (1, 6, 1))[0]
        solo = self.rng.random() < 0.05
        ask = Ask(pull.number, pull.sha, f"Add {pull.kind}", "dana", mode, priority, solo, person="dana")
        self.queue.add(ask, by="dana")

    def act(self) -> None:
        """What it is time for."""
        due = [do for at, do in self._later if at <= self.tick()]
        self._later = [each for each in self._later if each[0] > self.tick()]
        for do in due:
            # What comes too late, or to nothing, is told whoever said it.
            with suppress(TooLate, UsageError):
                do()

    def look_around(self) -> None:
        """What anybody sees who looks at the queue now and then."""
        standing = self.control.standing()
        if standing.paused:
            self._resume(standing.emergency)
        elif self.trouble("paused"):
            self.control.pause("lunch", by="noa")
        for entry in self.queue.open():
            if entry.held_by == GANDALF:
                self._held_by_gandalf(entry)
        now, since = self.queue.clock(), self._looked
        self._looked = now
        for entry in self.queue.ended(since, now):
            if entry.state is E.REJECTED and entry.reason_code == "no_verdict":
                self.happened["asked again"] += 1
                self.ask(self.pulls[entry.pr])

    @property
    def done(self) -> bool:
        """Nobody wants to do anything more."""
        return not self._later

    def _resume(self, emergency: int | None) -> None:
        goes_on = emergency is not None and self.queue.get(emergency).ended_at is None
        if not goes_on:
            self.control.resume(by="noa")

    def _held_by_gandalf(self, entry: Entry) -> None:
        with suppress(TooLate, UsageError):
            if self.pulls[entry.pr].kind is Kind.POISON:
                self._cancel(entry.pr)
            else:
                self.control.unhold(entry.pr, by="dana")
                self.happened["unheld"] += 1

    def _push(self, pull: Pull) -> None:
        more = self.site.change({f"more-{pull.number}": "x"}, pull.sha)
        self.site.refs_[f"refs/pull/{pull.number}/head"] = more
        self.moved[pull.number] = self.tick()
        if not self.trouble("webhook lost"):
            self.queue.end(pull.number, E.STALE, by="dana", code="stale", message="its head moved")

    def _cancel(self, number: int) -> None:
        self.queue.end(number, E.CANCELLED, by="dana", code="cancelled", message="by dana")
        self.happened["cancelled"] += 1

    def _hold(self, number: int) -> None:
        self.control.hold(number, by="dana", reason="wait for the docs")
        self.happened["held"] += 1

    def _unhold(self, number: int) -> None:
        self.control.unhold(number, by="dana")

    def _emergency(self, number: int) -> None:
        entry = self.queue.of(number)
        if entry is not None:
            self.control.emergency(entry, "the site is down", by="noa")
            self.happened["emergency"] += 1
