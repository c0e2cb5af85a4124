"""Airflow starts `nightly` on the evenings of the calendar: each night once, also where the clocks change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pendulum
import pytest
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.timetables.trigger import CronTriggerTimetable

from daybreak.environment import calendar
from daybreak.settings import NightPolicy

YEAR = 2026


def evenings(policy: NightPolicy) -> Iterator[datetime]:
    """What the scheduler would start in the year, each after the one before."""
    timetable = CronTriggerTimetable(
        f"{policy.evening.minute} {policy.evening.hour} * * *", timezone=policy.zone
    )
    begin = pendulum.datetime(YEAR, 1, 1, tz=policy.zone)
    restriction = TimeRestriction(earliest=begin, latest=begin.add(years=1), catchup=True)
    last: DataInterval | None = None
    while (info := timetable.next_dagrun_info(
        last_automated_data_interval=last, restriction=restriction
    )) is not None:  # fmt: skip
        last = info.data_interval
        yield info.run_after.astimezone(UTC)


@pytest.mark.parametrize(
    ("zone", "evening"),
    [
        ("America/New_York", "20:00"),
        ("America/New_York", "02:15"),  # jumped over on 8 March
        ("America/New_York", "01:30"),  # comes twice on 1 November
        ("Australia/Lord_Howe", "20:00"),
        ("Australia/Lord_Howe", "02:10"),  # half an hour is jumped over, or comes twice
        ("Asia/Jerusalem", "20:00"),
        ("Asia/Jerusalem", "02:30"),
        ("America/Santiago", "00:30"),  # the clocks jump over midnight
        ("Asia/Kolkata", "20:00"),
        ("UTC", "20:00"),
    ],
)
def test_every_night_of_a_year_is_started_once(zone: str, evening: str) -> None:
    policy = NightPolicy.model_validate({"zone": zone, "evening": evening, "morning": "06:00"})
    started = list(evenings(policy))
    nights = [calendar.night_of(policy, instant) for instant in started]
    every = [date(YEAR, 1, 1) + timedelta(days=n) for n in range(365)]
    assert nights[: len(every)] == every
    for instant, key in zip(started, nights, strict=True):
        night = calendar.night(policy, key)
        assert night.evening <= instant <= night.teardown_cutoff
        assert instant < night.morning
