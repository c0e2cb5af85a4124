"""Whether a morning that goes on will be late: what is left, at the pace of the last ten nights.

The second of two warnings: it comes while something can still be done. The first one, at ready-time, is
:mod:`daybreak.environment.night.late`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median

from sqlalchemy import select

from daybreak.environment import calendar
from daybreak.environment.calendar import Phase
from daybreak.environment.installation import Installation
from daybreak.environment.night.morning import STAGES
from daybreak.environment.night.tasks import pool_of
from daybreak.environment.nights import NightStatus
from daybreak.environment.steps import Step, StepStatus
from daybreak.registry import tables
from daybreak.registry.outbox import CHANNEL, Notice

#: So long after its beginning a morning has shown its pace.
SETTLED = timedelta(minutes=30)
#: Nights that count, and how many there must be before anything is foretold.
NIGHTS, ENOUGH = 10, 3
_NAMES = tuple(stage.name for stage in STAGES)


@dataclass(frozen=True)
class Forecast:
    """When a morning will be over.

    :param expected: when the last environment will be ready.
    :param late: environments that will not be ready in time.
    :param nights: how many nights the medians are of.
    """

    night: date
    ready: datetime
    expected: datetime
    late: tuple[str, ...]
    nights: int

    def notice(self) -> Notice:
        """For the channel; a night is warned of once."""
        data = {
            "kind": "late_forecast", "night": self.night.isoformat(), "ready": self.ready.isoformat(),
            "expected": self.expected.isoformat(), "late": list(self.late), "nights": self.nights,
        }  # fmt: skip
        return Notice(f"late-forecast/{self.night}", CHANNEL, data, expires_at=self.ready)


@dataclass(frozen=True)
class Pace:
    """What the last nights took: seconds of each stage, and until the first stage of a morning began."""

    stages: Mapping[str, float]
    before: float
    nights: int


def forecast(installation: Installation) -> Forecast | None:
    """Look at the night that goes on now.

    :returns: ``None`` when it will be in time, when its morning did not show its pace yet, when it is past
        ready-time, or when too few nights are known.
    """
    now, policy = installation.clock(), installation.settings.night
    night = calendar.night(policy, calendar.night_of(policy, now))
    if not night.rebuilds or not night.morning + SETTLED <= now < night.ready:
        return None
    pace = known_pace(installation, night.key)
    if pace.nights < ENOUGH:
        return None
    steps = [step for step in installation.nights.steps(night=night.key) if step.phase == Phase.REBUILD]
    left = {
        row.environment: _left(pace, [s for s in steps if s.environment == row.environment], now)
        for row in installation.nights.environments(night=night.key)
        if row.decision["rebuild"] and row.status in (NightStatus.PLANNED, NightStatus.RUNNING,
                                                      NightStatus.WAITING)
    }  # fmt: skip
    waits = 0.0 if steps else max(0.0, pace.before - (now - night.morning).total_seconds())
    ends = {name: now + timedelta(seconds=waits + sum(rest.values())) for name, rest in left.items()}
    crowd = now + timedelta(seconds=waits + _crowded(installation.settings.pools.model_dump(), left))
    expected = max([crowd, *ends.values()])
    if not ends or expected <= night.ready:
        return None
    late = tuple(sorted(name for name, end in ends.items() if end > night.ready)) or tuple(sorted(ends))
    return Forecast(night.key, night.ready, expected, late, pace.nights)


def known_pace(installation: Installation, before: date) -> Pace:
    """The medians of the last nights before that date."""
    table = tables.steps
    done = (table.c.phase == Phase.REBUILD, table.c.status == StepStatus.DONE)
    nights = (
        select(table.c.night).where(*done, table.c.night < before).distinct()
        .order_by(table.c.night.desc()).limit(NIGHTS)
    )  # fmt: skip
    query = select(table.c.night, table.c.step, table.c.seconds, table.c.started_at).where(
        *done, table.c.night.in_(nights.scalar_subquery())
    )
    with installation.engine.connect() as connection:
        rows = connection.execute(query).all()
    seconds: dict[str, list[float]] = {}
    first: dict[date, datetime] = {}
    for row in rows:
        if row.step in _NAMES:
            seconds.setdefault(row.step, []).append(row.seconds or 0.0)
        first[row.night] = min(first.get(row.night, row.started_at), row.started_at)
    policy, waits = installation.settings.night, []
    for key, began in first.items():
        night = calendar.night(policy, key)
        # A rebuild by hand, at noon, says nothing of how long a morning's builds take.
        if night.morning <= began <= night.build_cutoff:
            waits.append((began - night.morning).total_seconds())
    medians = {name: median(values) for name, values in seconds.items()}
    return Pace(medians, median(waits) if waits else 0.0, len(first))


def _left(pace: Pace, steps: Sequence[Step], now: datetime) -> dict[str, float]:
    """Seconds of each stage that an environment still has before it."""
    status = {step.step: step for step in steps}
    left = {}
    for name in _NAMES:
        step = status.get(name)
        if step is not None and step.status in (StepStatus.DONE, StepStatus.SKIPPED):
            continue
        spent = 0.0
        if step is not None and step.status is StepStatus.RUNNING:
            spent = (now - step.started_at).total_seconds()
        left[name] = max(0.0, pace.stages.get(name, 0.0) - spent)
    return left


def _crowded(slots: Mapping[str, int], left: Mapping[str, Mapping[str, float]]) -> float:
    """Seconds for which the fullest pool is busy with all of it."""
    loads: dict[str, float] = {}
    for rest in left.values():
        for name, seconds in rest.items():
            loads[pool_of(name)] = loads.get(pool_of(name), 0.0) + seconds
    return max((load / slots[pool] for pool, load in loads.items()), default=0.0)
