"""Whole weeks, night after night, on a clock that is moved: weekends, holidays, changes of the clocks.

Each night is decided as the scheduled run decides it; what the decisions say is then done to the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from sqlalchemy import Engine

from daybreak.environment import calendar
from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.environment.night.prepare import Request, decide_night, too_late
from daybreak.settings import Settings
from daybreak.store import Store
from tests.fixtures.registry import ManualClock

ACCOUNT = "123456789012"
NAMES = ("dev-01", "dev-02", "dev-03")
UP = (State.PROVISIONING, State.DEPLOYING, State.SEEDING, State.VERIFYING, State.READY)
DOWN = (State.QUIESCING, State.SCORCHING, State.TEARING_DOWN, State.ABSENT)

Open = Callable[..., Installation]


@pytest.fixture
def opened(tmp_path: Path, clock: ManualClock, registry: Engine) -> Open:
    def make(**night: Any) -> Installation:
        settings = Settings.model_validate(
            {
                "home": str(tmp_path / "home"),
                "aws": {"accounts": {ACCOUNT: {}}},
                "night": {"evening": "20:00", "morning": "06:00", **night},
                "environments": [{"name": name, "account": ACCOUNT} for name in NAMES],
            }
        )
        store = Store((tmp_path / "store").as_uri())
        made = Installation(settings, registry, store, lambda _: boto3.Session(), clock)
        made.register()
        made.switches.arm(ACCOUNT, "test")
        for name in NAMES:
            walk(made, name, UP, verdict="passed")
        return made

    return make


def walk(installation: Installation, name: str, states: tuple[State, ...], **columns: Any) -> None:
    env = installation.environments.get(name)
    for state in states:
        last = columns if state is states[-1] else {}
        env = installation.environments.transition(env, state, actor="test", **last)


def nights(installation: Installation, clock: ManualClock, first: date, count: int) -> dict[str, str]:
    """Let ``count`` nights pass; what happened to each environment, by local evening, in one word each."""
    policy, seen = installation.settings.night, {}
    for number in range(count):
        its = calendar.night(policy, first + timedelta(days=number))
        request = Request(scheduled=its.evening)
        clock.now = its.evening + timedelta(seconds=7)
        run_id = f"scheduled-{its.key}"
        key, decisions = decide_night(installation, run_id, request)
        assert key == its.key
        words = []
        for decision in decisions:
            if decision.teardown:
                walk(installation, decision.environment, DOWN)
            words.append(f"{'-' if decision.teardown else ''}{'+' if decision.rebuild else ''}" or "=")
        clock.now = its.morning
        assert too_late(installation, request, run_id) == ""
        for decision in decisions:
            if decision.rebuild:
                walk(installation, decision.environment, UP, verdict="passed")
        installation.nights.finish(run_id, {})
        seen[f"{its.key:%a %d %b}"] = " ".join(words)
    return seen


#: All anew for the next day; before days off two stay and one goes; nothing; all are back for a working day.
ALL, AWAY, REST, BACK = "-+ -+ -+", "= = -", "= = =", "-+ -+ +"


def test_new_york_loses_an_hour_on_a_weekend_night(opened: Open, clock: ManualClock) -> None:
    installation = opened(zone="America/New_York")
    assert nights(installation, clock, date(2026, 3, 5), 6) == {
        "Thu 05 Mar": ALL, "Fri 06 Mar": AWAY, "Sat 07 Mar": REST, "Sun 08 Mar": BACK,
        "Mon 09 Mar": ALL, "Tue 10 Mar": ALL,
    }  # fmt: skip
    assert hours(installation, date(2026, 3, 7)) == 9


def test_new_york_wins_an_hour_in_autumn(opened: Open, clock: ManualClock) -> None:
    installation = opened(zone="America/New_York")
    assert nights(installation, clock, date(2026, 10, 30), 4) == {
        "Fri 30 Oct": AWAY, "Sat 31 Oct": REST, "Sun 01 Nov": BACK, "Mon 02 Nov": ALL,
    }  # fmt: skip
    assert hours(installation, date(2026, 10, 31)) == 11


def test_lord_howe_wins_half_an_hour(opened: Open, clock: ManualClock) -> None:
    installation = opened(zone="Australia/Lord_Howe")
    assert nights(installation, clock, date(2026, 4, 2), 5) == {
        "Thu 02 Apr": ALL, "Fri 03 Apr": AWAY, "Sat 04 Apr": REST, "Sun 05 Apr": BACK, "Mon 06 Apr": ALL,
    }  # fmt: skip
    assert hours(installation, date(2026, 4, 4)) == 10.5


def test_jerusalem_works_from_sunday_changes_its_clocks_on_a_friday_and_has_passover(
    opened: Open, clock: ManualClock
) -> None:
    week = ["sun", "mon", "tue", "wed", "thu"]
    installation = opened(zone="Asia/Jerusalem", workweek=week, holidays={"country": "IL"})
    assert nights(installation, clock, date(2026, 3, 24), 16) == {
        "Tue 24 Mar": ALL, "Wed 25 Mar": ALL, "Thu 26 Mar": AWAY, "Fri 27 Mar": REST, "Sat 28 Mar": BACK,
        "Sun 29 Mar": ALL, "Mon 30 Mar": ALL, "Tue 31 Mar": ALL,
        # Passover: Thursday 2 April and Wednesday 8 April.
        "Wed 01 Apr": AWAY, "Thu 02 Apr": REST, "Fri 03 Apr": REST, "Sat 04 Apr": BACK,
        "Sun 05 Apr": ALL, "Mon 06 Apr": ALL, "Tue 07 Apr": AWAY, "Wed 08 Apr": BACK,
    }  # fmt: skip
    assert hours(installation, date(2026, 3, 26)) == 9


def test_lord_howe_loses_it_again_in_spring(opened: Open, clock: ManualClock) -> None:
    installation = opened(zone="Australia/Lord_Howe")
    assert nights(installation, clock, date(2026, 10, 2), 3) == {
        "Fri 02 Oct": AWAY, "Sat 03 Oct": REST, "Sun 04 Oct": BACK,
    }  # fmt: skip
    assert hours(installation, date(2026, 10, 3)) == 9.5


@pytest.mark.parametrize(
    ("zone", "key", "cutoff", "instant"),
    [
        ("America/New_York", date(2026, 3, 7), "02:30", "2026-03-08T07:30Z"),  # does not exist that night
        ("America/New_York", date(2026, 10, 31), "01:30", "2026-11-01T05:30Z"),  # comes twice
        ("Australia/Lord_Howe", date(2026, 4, 4), "01:45", "2026-04-04T14:45Z"),  # comes twice
        ("Australia/Lord_Howe", date(2026, 10, 3), "02:10", "2026-10-03T15:40Z"),  # does not exist
        ("Asia/Jerusalem", date(2026, 3, 26), "02:30", "2026-03-27T00:30Z"),  # does not exist
        ("Asia/Jerusalem", date(2026, 10, 24), "01:30", "2026-10-24T22:30Z"),  # comes twice
    ],
)
def test_a_late_start_in_a_night_of_changing_clocks_is_in_time_until_the_cut_off_and_not_after(
    opened: Open, clock: ManualClock, zone: str, key: date, cutoff: str, instant: str
) -> None:
    every_day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    installation = opened(zone=zone, teardown_cutoff=cutoff, workweek=every_day)
    its = calendar.night(installation.settings.night, key)
    request = Request(scheduled=its.evening, dry_run=True)
    limit = datetime.fromisoformat(instant)
    for late, teardown in ((timedelta(seconds=-1), True), (timedelta(seconds=1), False)):
        clock.now = limit + late
        night, decisions = decide_night(installation, f"late {late}", request)
        assert night == key
        assert [(each.teardown, each.rebuild) for each in decisions] == [(teardown, True)] * len(NAMES)


def hours(installation: Installation, key: date) -> float:
    """How long the night of that evening lasted."""
    its = calendar.night(installation.settings.night, key)
    return (its.morning - its.evening) / timedelta(hours=1)
