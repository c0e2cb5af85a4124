"""What a night does with each environment, and why, before anything is touched: pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from daybreak.environment.calendar import DayKind, Night, Phase, next_working_day, night
from daybreak.environment.machine import LANE_STEP, USABLE, Environment, State, describe_op
from daybreak.errors import UsageError
from daybreak.settings import EnvironmentSettings, NightPolicy

_NEVER = datetime.min.replace(tzinfo=UTC)


class NightAction(StrEnum):
    """The word for a decision."""

    REBUILD = "rebuild"
    PRESERVE = "preserve"
    KEEP = "keep"
    SKIP = "skip"


@dataclass(frozen=True)
class Decision:
    """What happens to one environment.

    ``action`` is rebuild also where the weekend lies between: ``teardown`` tonight, ``rebuild`` in a later
    night.

    :param reason: a sentence for people.
    :param teardown: the evening takes it away.
    :param rebuild: the morning builds it.
    :param in_place: it is scorched and rebuilt in the morning without having been torn down.
    :param pauses: it stays up; its schedules are off over the night.
    """

    environment: str
    action: NightAction
    reason: str
    teardown: bool = False
    rebuild: bool = False
    in_place: bool = False
    pauses: bool = False

    @property
    def touches(self) -> bool:
        """Whether the night has anything to do with it."""
        return self.teardown or self.rebuild or self.pauses

    def to_json(self) -> dict[str, Any]:
        """Plain data for the registry, XCom and `--json`."""
        return {**vars(self), "action": self.action.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        """The inverse of `to_json`."""
        return cls(**{**data, "action": NightAction(data["action"])})


@dataclass(frozen=True)
class Frozen:
    """Somebody pulled the brake: nothing is deleted until they release it."""

    by: str
    reason: str


def decide(
    policy: NightPolicy,
    key: date,
    rows: Sequence[Environment],
    environments: Sequence[EnvironmentSettings],
    votes: Mapping[str, Collection[str]],
    now: datetime,
    phases: Collection[Phase] = frozenset(Phase),
    requested: Collection[str] | None = None,
    frozen: Frozen | None = None,
) -> list[Decision]:
    """Decide for the night ``key``.

    :param rows: the registry's rows; an environment without one is taken as absent.
    :param environments: those of the settings; the decisions come in this order.
    :param votes: who wants which environment kept over the weekend.
    :param phases: the phases of this run; a late or partial run has only one.
    :param requested: only these, and whatever day it is; ``None`` is all of them, by the calendar.
    :param frozen: the kill switch, when it is pulled.
    :raises UsageError: when a requested environment is unknown.
    """
    known = [environment.name for environment in environments]
    unknown = sorted(set(requested or ()) - set(known))
    if unknown:
        raise UsageError(
            f"no environment is called {', '.join(unknown)}; there are: {', '.join(known) or 'none'}"
        )
    by_name = {row.name: row for row in rows}
    case = _Case(policy, night(policy, key), now, frozenset(phases), requested is not None, frozen)
    wanted = [
        environment for environment in environments if requested is None or environment.name in requested
    ]
    kept: Mapping[str, str] = {}
    if not case.all_week:
        candidates = [by_name[e.name] for e in wanted if e.role == "dev" and e.name in by_name]
        kept = _weekend(policy, case.night.key, candidates, votes)
    decisions = [case.decide(e, by_name.get(e.name), kept) for e in wanted]
    if requested is None:
        # What left the settings but is still up costs money, and no other list would ever show it.
        decisions += [
            Decision(
                row.name,
                NightAction.SKIP,
                f"not in daybreak.yaml any more, but still {row.state}: take it away",
            )
            for row in rows
            if row.name not in known and row.state is not State.ABSENT
        ]
    return decisions


@dataclass(frozen=True)
class _Case:
    policy: NightPolicy
    night: Night
    now: datetime
    phases: frozenset[Phase]
    by_name: bool
    frozen: Frozen | None

    @property
    def all_week(self) -> bool:
        """No weekend rule: the next day is a working day, or somebody asked for these environments."""
        return self.night.rebuilds or self.by_name

    def decide(
        self, settings: EnvironmentSettings, row: Environment | None, kept: Mapping[str, str]
    ) -> Decision:
        """The first rule that applies; what stops the night comes before what it would do."""
        name = settings.name
        # An attempt to land something ends by itself: the night waits for its turn.
        lands = row is not None and settings.role == "merge" and row.op_step == LANE_STEP
        if row is not None and row.op_alive(self.now) and not lands:
            return Decision(name, NightAction.SKIP, f"left alone: {describe_op(row, self.now)}")
        if self.frozen is not None:
            why = f" ({self.frozen.reason})" if self.frozen.reason else ""
            return Decision(name, NightAction.SKIP, f"frozen by {self.frozen.by}{why}")
        if row is not None and row.preserved(self.night.key):
            why = _preserved(row, self.night.key)
            return Decision(name, NightAction.PRESERVE, why, pauses=self._pauses(row))
        if row is not None and name in kept:
            return Decision(name, NightAction.KEEP, kept[name], pauses=self._pauses(row))
        up = row is not None and row.state is not State.ABSENT
        if not self.all_week:
            return self._before_a_day_off(settings, row if up else None)
        return self._rebuild(settings, row if up else None)

    def _pauses(self, row: Environment) -> bool:
        # The merge environment lands pull requests at night too.
        return row.state in USABLE and row.role == "dev" and Phase.TEARDOWN in self.phases

    def _before_a_day_off(self, settings: EnvironmentSettings, row: Environment | None) -> Decision:
        off = f"holiday ({self.night.holiday})" if self.night.kind is DayKind.HOLIDAY else "weekend"
        later = f"rebuilt on the night before {_day(self._back(), self.night.key)}"
        if settings.role == "merge" and row is not None:
            return Decision(settings.name, NightAction.KEEP, f"{_odd(row) or off}: stays up, {later}")
        if row is None:
            return Decision(settings.name, NightAction.SKIP, f"{off}: {later}")
        if Phase.TEARDOWN not in self.phases:
            return Decision(settings.name, NightAction.SKIP, f"{off}: this run does not tear down")
        reason = f"{off}: {later}" if not _odd(row) else f"{_odd(row)}: torn down, {later}"
        return Decision(settings.name, NightAction.REBUILD, reason, teardown=True)

    def _rebuild(self, settings: EnvironmentSettings, row: Environment | None) -> Decision:
        name, merge = settings.name, settings.role == "merge"
        tears, builds = Phase.TEARDOWN in self.phases, Phase.REBUILD in self.phases
        if row is None:
            if not builds:
                return Decision(name, NightAction.SKIP, "absent: nothing to tear down")
            return Decision(name, NightAction.REBUILD, "absent: rebuilt", rebuild=True)
        if merge and not builds:
            return Decision(
                name, NightAction.SKIP, "the merge environment is not torn down, only rebuilt in place"
            )
        odd = _odd(row)
        if merge or not tears:
            why = odd or ("the merge environment" if merge else f"still {row.state}, was not torn down")
            return Decision(
                name, NightAction.REBUILD, f"{why}: rebuilt in place", rebuild=True, in_place=True
            )
        what = "torn down and rebuilt" if builds else "torn down"
        why = odd or ("asked for" if self.by_name else "a working day follows")
        return Decision(name, NightAction.REBUILD, f"{why}: {what}", teardown=True, rebuild=builds)

    def _back(self) -> date:
        return next_working_day(self.policy, self.night.key)


def _weekend(
    policy: NightPolicy, key: date, rows: Sequence[Environment], votes: Mapping[str, Collection[str]]
) -> dict[str, str]:
    """Who of the dev environments stays up over a day off, with the reason.

    Votes first, then the preserved (they stay anyway, but fill a place), then the longest idle with green
    e2e.
    """
    usable = {row.name: row for row in rows if row.state in USABLE}
    voted = sorted((name for name in usable if votes.get(name)), key=lambda name: (-len(votes[name]), name))
    preserved = [row.name for row in rows if row.preserved(key)]
    green = [row for row in usable.values() if row.verdict == "passed"]
    idle = [row.name for row in sorted(green, key=lambda row: (row.used_at or _NEVER, row.name))]
    places = list(dict.fromkeys((*voted, *preserved, *idle)))[: policy.weekend_keep]
    kept = {}
    for name in places:
        if name in voted:
            kept[name] = f"kept for the weekend: vote by {', '.join(sorted(votes[name]))}"
        elif name in usable:
            used = usable[name].used_at
            since = f"idle since {used:%Y-%m-%d %H:%M}Z" if used else "never used"
            kept[name] = f"kept for the weekend: longest idle with green e2e ({since})"
    return kept


def _preserved(row: Environment, key: date) -> str:
    until = "tonight" if row.preserve_night == key else f"until the night of {row.preserve_night}"
    why = f" ({row.preserve_reason})" if row.preserve_reason else ""
    return f"preserved {until} by {row.preserve_by}{why}"


def _odd(row: Environment) -> str:
    """What is not as it should be in the evening; a faulted environment still costs money."""
    if row.state is State.FAULTED:
        return f"faulted since {row.fault_at or row.state_since:%Y-%m-%d %H:%M}Z ({row.fault_code})"
    if row.state not in USABLE and row.state is not State.ABSENT:
        return f"stuck in {row.state} since {row.state_since:%Y-%m-%d %H:%M}Z"
    return ""


def _day(day: date, key: date) -> str:
    near = day - key < timedelta(days=7)
    return f"{day:%A}" if near else f"{day:%A} {day.day} {day:%B}"
