"""A morning that goes on is compared with the last nights; on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from daybreak.environment.decision import Decision, NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.night.forecast import forecast
from daybreak.environment.night.morning import STAGES
from daybreak.environment.nights import NightStatus
from daybreak.environment.steps import StepStatus
from daybreak.talk.bobby.notices import render
from tests.fixtures.registry import ManualClock

NIGHT = date(2026, 3, 11)  # Wednesday to Thursday; the morning is at 06:00, ready-time at 08:30
NAMES = [stage.name for stage in STAGES]
#: Each stage takes ten minutes, so a morning takes 70 and, before it, 20 of builds.
MINUTES = 10


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 1, 20, tzinfo=UTC))


def step(installation: Installation, night: date, name: str, stage: str, minutes: float = MINUTES) -> None:
    begun = installation.nights.step_started(night, name, "rebuild", stage, f"run-{night}")
    installation.clock.advance(minutes=minutes)  # type: ignore[attr-defined]
    installation.nights.step_finished(begun, StepStatus.DONE, seconds=minutes * 60)


def decide(installation: Installation, night: date, *names: str) -> None:
    installation.nights.open(night, f"run-{night}")
    for name in names:
        decision = Decision(name, NightAction.REBUILD, "", rebuild=True)
        installation.nights.claim(night, name, f"run-{night}", decision.to_json())


def history(installation: Installation, nights: int) -> None:
    for day in range(nights):
        night = NIGHT - timedelta(days=day + 1)
        decide(installation, night, "dev-01")
        installation.clock.now = at(night + timedelta(days=1), 6, 20)  # type: ignore[attr-defined]
        for name in NAMES:
            step(installation, night, "dev-01", name)


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


MORNING = NIGHT + timedelta(days=1)


def test_a_morning_at_its_usual_pace_is_no_warning(installation: Installation, clock: ManualClock) -> None:
    installation.register()
    history(installation, 5)
    decide(installation, NIGHT, "dev-01")
    clock.now = at(MORNING, 6, 20)
    for name in NAMES[:2]:
        step(installation, NIGHT, "dev-01", name)
    assert clock.now == at(MORNING, 6, 40)
    assert forecast(installation) is None


def test_what_stands_still_is_warned_of_once_it_cannot_be_in_time(
    installation: Installation, clock: ManualClock
) -> None:
    installation.register()
    history(installation, 5)
    decide(installation, NIGHT, "dev-01", "dev-02")
    clock.now = at(MORNING, 6, 20)
    step(installation, NIGHT, "dev-01", NAMES[0])
    installation.nights.step_started(NIGHT, "dev-01", "rebuild", NAMES[1], f"run-{NIGHT}")
    for name in NAMES:
        step(installation, NIGHT, "dev-02", name, 1)
    installation.nights.mark(NIGHT, "dev-02", f"run-{NIGHT}", NightStatus.DONE)
    clock.now = at(MORNING, 7, 30)
    # Five stages of ten minutes are left, and the one at work is long overdue: 08:20.
    assert forecast(installation) is None
    clock.now = at(MORNING, 7, 45)
    found = forecast(installation)
    assert found is not None
    assert (found.late, found.expected, found.nights) == (("dev-01",), at(MORNING, 8, 35), 5)
    assert found.notice().payload["expected"] == "2026-03-12T08:35:00+00:00"
    words = render(found.notice().payload, clock.now, ZoneInfo("UTC")).text
    assert "ready-time is 08:30 UTC" in words
    assert "Waiting for: dev-01." in words
    assert installation.outbox.put(found.notice())
    clock.now = at(MORNING, 7, 50)
    again = forecast(installation)
    assert again is not None
    assert not installation.outbox.put(again.notice()), "warned once"


def test_builds_that_go_on_delay_every_environment(installation: Installation, clock: ManualClock) -> None:
    installation.register()
    history(installation, 4)
    decide(installation, NIGHT, "dev-01")
    clock.now = at(MORNING, 6, 31)
    assert forecast(installation) is None
    clock.now = at(MORNING, 7, 21)
    found = forecast(installation)
    assert found is not None
    assert found.expected == at(MORNING, 8, 31)


def test_more_environments_than_slots_are_counted_together(
    installation: Installation, clock: ManualClock
) -> None:
    installation.register()
    history(installation, 4)
    names = [f"dev-0{number}" for number in range(1, 5)]
    decide(installation, NIGHT, *names)
    crowded = Installation(
        installation.settings.model_copy(
            update={"pools": installation.settings.pools.model_copy(update={"aws": 2})}
        ),
        installation.engine, installation.store, installation.session_for, clock,
    )  # fmt: skip
    clock.now = at(MORNING, 6, 40)
    assert forecast(installation) is None
    # Four times six stages of ten minutes on two slots.
    found = forecast(crowded)
    assert found is not None
    assert (found.expected, found.late) == (at(MORNING, 8, 40), tuple(names))


def test_nothing_is_foretold_too_early_too_late_or_from_too_little(
    installation: Installation, clock: ManualClock
) -> None:
    installation.register()
    history(installation, 2)
    decide(installation, NIGHT, "dev-01")
    clock.now = at(MORNING, 8)
    assert forecast(installation) is None, "two nights are no history"
    decide(installation, NIGHT - timedelta(days=5), "dev-01")
    clock.now = at(NIGHT - timedelta(days=4), 6, 20)
    for name in NAMES:
        step(installation, NIGHT - timedelta(days=5), "dev-01", name)
    clock.now = at(MORNING, 8)
    assert forecast(installation) is not None
    clock.now = at(MORNING, 6, 29)
    assert forecast(installation) is None, "a morning of half an hour says nothing"
    clock.now = at(MORNING, 8, 30)
    assert forecast(installation) is None, "at ready-time it is late, see `late`"
