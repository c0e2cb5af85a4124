"""What people say of time, where the clocks change, at midnight, and on a server in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.environment import calendar
from daybreak.errors import UsageError
from daybreak.settings import NightPolicy
from daybreak.talk.when import (
    TONIGHT,
    When,
    instant,
    last_night,
    parse_duration,
    parse_when,
    say_duration,
    show,
    show_both,
    show_length,
)

ZONES = ["America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Asia/Jerusalem", "UTC"]
POLICIES = {
    zone: NightPolicy.model_validate(
        {
            "zone": zone,
            "workweek": ["sun", "mon", "tue", "wed", "thu"]
            if zone == "Asia/Jerusalem"
            else ["mon", "tue", "wed", "thu", "fri"],
        }
    )
    for zone in ZONES
}


def local(zone: str, text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def when(text: str) -> When:
    found = parse_when(text.split())
    assert found is not None, text
    return found


@pytest.mark.parametrize(
    ("said", "minutes"),
    [("4h", 240), ("90m", 90), ("1h30m", 90), ("1.5h", 90), ("2 hours 15 min", 135), ("45 Minutes", 45)],
)
def test_durations(said: str, minutes: int) -> None:
    found = parse_duration(said)
    assert found == timedelta(minutes=minutes)
    assert parse_duration(say_duration(found)) == found


@pytest.mark.parametrize("said", ["", "4", "h", "4x", "-4h", "4h!", "four hours", "1d", "99999h", "4h 5"])
def test_what_is_no_duration(said: str) -> None:
    assert parse_duration(said) is None


@pytest.mark.parametrize("said", ["25:00", "12:60", "13pm", "0am", "2026-02-30", "mon mon", "09:00 mon",
                                  "tonight 20:00", "next week", "17", "soon", "2026-3-9"])  # fmt: skip
def test_what_is_no_time(said: str) -> None:
    assert parse_when(said.split()) is None


@pytest.mark.parametrize(
    ("zone", "at", "said", "meant"),
    [
        ("Asia/Jerusalem", "2026-03-05T13:00", "17:40", "2026-03-05T17:40"),
        ("Asia/Jerusalem", "2026-03-05T18:00", "5:40pm", "2026-03-06T17:40"),
        ("Asia/Jerusalem", "2026-03-05T23:59", "tomorrow 9am", "2026-03-06T09:00"),
        ("Asia/Jerusalem", "2026-03-06T00:01", "tomorrow 9am", "2026-03-07T09:00"),
        ("Asia/Jerusalem", "2026-03-05T13:00", "thu", "2026-03-12T00:00"),
        ("Asia/Jerusalem", "2026-03-05T13:00", "Sunday 09:00", "2026-03-08T09:00"),
        ("Asia/Jerusalem", "2026-03-05T13:00", "2026-03-09 12:00", "2026-03-09T12:00"),
        ("Asia/Kolkata", "2026-03-05T23:50", "00:10", "2026-03-06T00:10"),
        # 02:30 does not exist on 8 March: the clocks jump from 02:00 to 03:00.
        ("America/New_York", "2026-03-07T23:00", "02:30", "2026-03-08T03:30"),
        # On Lord Howe they jump by half an hour.
        ("Australia/Lord_Howe", "2026-10-03T23:00", "02:15", "2026-10-04T02:45"),
    ],
)
def test_instants_in_the_teams_zone(zone: str, at: str, said: str, meant: str) -> None:
    assert instant(when(said), local(zone, at), POLICIES[zone]) == local(zone, meant)


def test_a_time_that_comes_twice_is_the_first_that_is_still_ahead() -> None:
    zone, policy = "America/New_York", POLICIES["America/New_York"]
    first, second = local(zone, "2026-11-01T01:30"), local(zone, "2026-11-01T01:30", fold=1)
    assert second - first == timedelta(hours=1)
    assert instant(when("01:30"), local(zone, "2026-10-31T23:00"), policy) == first
    assert instant(when("01:30"), first, policy) == second
    assert show(first, first, policy.tzinfo) == "01:30 EDT"
    assert show(second, first, policy.tzinfo) == "01:30 EST"


def test_what_is_over_is_refused() -> None:
    policy = POLICIES["Asia/Jerusalem"]
    with pytest.raises(UsageError, match="2026-03-01 is over"):
        instant(when("2026-03-01"), local("Asia/Jerusalem", "2026-03-05T13:00"), policy)
    with pytest.raises(UsageError, match="the night of Thu 5 Mar runs since 20:00 IST"):
        instant(TONIGHT, local("Asia/Jerusalem", "2026-03-05T21:00"), policy)


@pytest.mark.parametrize(
    ("zone", "evening"),
    [
        ("America/New_York", "2026-03-07"), ("America/New_York", "2026-10-31"),
        ("Australia/Lord_Howe", "2026-04-04"), ("Australia/Lord_Howe", "2026-10-03"),
        ("Asia/Kolkata", "2026-03-05"), ("Asia/Jerusalem", "2026-03-26"), ("UTC", "2026-03-05"),
    ],
)  # fmt: skip
def test_tonight_is_the_night_that_runs_until_its_morning(zone: str, evening: str) -> None:
    """Said at 23:59, 00:01 and 02:30 it is the same night; at 06:00 it is the next."""
    policy, key = POLICIES[zone], date.fromisoformat(evening)
    night = calendar.night(policy, key)
    zoned = policy.tzinfo
    midnight = datetime.combine(key + timedelta(days=1), datetime.min.time(), zoned).astimezone(UTC)
    moments = [midnight - timedelta(minutes=1), midnight + timedelta(minutes=1)]
    moments.append(local(zone, f"{key + timedelta(days=1)}T02:30"))
    assert [last_night(TONIGHT, moment, policy) for moment in (night.evening, *moments)] == [key] * 4
    assert last_night(TONIGHT, night.morning - timedelta(seconds=1), policy) == key
    assert last_night(TONIGHT, night.morning, policy) == key + timedelta(days=1)


@pytest.mark.parametrize(
    ("zone", "at", "said", "night"),
    [
        # "until Sunday" in Jerusalem keeps Thursday, Friday and Saturday night; Sunday's takes it.
        ("Asia/Jerusalem", "2026-03-05T13:00", "sun", "2026-03-07"),
        ("Asia/Jerusalem", "2026-03-05T13:00", "tomorrow", "2026-03-05"),
        ("Asia/Jerusalem", "2026-03-08T23:59", "mon", "2026-03-08"),
        ("Asia/Jerusalem", "2026-03-05T13:00", "2026-03-09 20:00", "2026-03-08"),
        ("Asia/Jerusalem", "2026-03-05T13:00", "2026-03-09 20:01", "2026-03-09"),
        ("America/New_York", "2026-03-06T17:00", "mon", "2026-03-08"),
    ],
)
def test_preserve_until_is_through_the_last_night_that_begins_before(
    zone: str, at: str, said: str, night: str
) -> None:
    assert last_night(when(said), local(zone, at), POLICIES[zone]) == date.fromisoformat(night)


def test_preserve_until_before_the_coming_night_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no night begins before 17:00 IST.* that of Thu 5 Mar"):
        last_night(when("17:00"), local("Asia/Jerusalem", "2026-03-05T13:00"), POLICIES["Asia/Jerusalem"])


def test_moments_are_shown_with_their_zone_and_how_long_until_then() -> None:
    zone = ZoneInfo("Asia/Jerusalem")
    now = local("Asia/Jerusalem", "2026-03-05T13:40")
    assert show_both(now + timedelta(hours=4), now, zone) == "17:40 IST (4 h)"
    assert show_both(now + timedelta(hours=12), now, zone) == "Fri 6 Mar 01:40 IST (12 h)"
    assert show(now, now, ZoneInfo("Australia/Lord_Howe")) == "22:40 UTC+11"
    assert show(local("UTC", "2026-07-01T00:00"), now, ZoneInfo("Australia/Lord_Howe")).endswith("UTC+10:30")
    assert show(now, now, ZoneInfo("Asia/Kolkata")) == "17:10 IST"
    assert [show_length(timedelta(minutes=m)) for m in (0, 1, 60, 61, 1440, 3000)] == [
        "less than a minute", "1 min", "1 h", "1 h 1 min", "1 day", "2 days 2 h",
    ]  # fmt: skip


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(["17:40", "00:00", "02:30", "tomorrow", "mon", "sun 02:15", "fri 9am", "tomorrow 02:30"]),
)
def test_what_is_meant_is_ahead_and_says_the_same_on_the_wall(zone: str, now: datetime, said: str) -> None:
    policy, meant = POLICIES[zone], when(said)
    found = instant(meant, now, policy)
    assert now < found <= now + timedelta(days=8)
    wall = found.astimezone(policy.tzinfo)
    at = meant.at or datetime.min.time()
    jumped = wall.time() != at
    # Only where the clocks jump over what was said is it something else, by the jump.
    assert not jumped or datetime.combine(wall.date(), at, policy.tzinfo).astimezone(UTC) == found
    night = last_night(meant, now, policy) if meant.day != "tonight" and meant.day else None
    assert night is None or calendar.night(policy, night).evening < found
