"""Nights in local time: working days, holidays, changes of the clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.environment.calendar import (
    DayKind,
    Phase,
    day_kind,
    holiday_name,
    is_working_day,
    next_rebuild,
    next_working_day,
    night,
    night_of,
    tonight,
)
from daybreak.errors import UsageError
from daybreak.settings import NightPolicy

DAY = timedelta(days=1)
ISRAEL = {"zone": "Asia/Jerusalem", "workweek": ["sun", "mon", "tue", "wed", "thu"]}


def policy(**changes: Any) -> NightPolicy:
    return NightPolicy.model_validate({"evening": "20:00", "morning": "06:00", **changes})


def at(zone: str, *parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone)).astimezone(UTC)  # type: ignore[misc]


def test_a_night_is_named_by_its_local_evening() -> None:
    found = night(policy(**ISRAEL), date(2026, 3, 5))
    zone = "Asia/Jerusalem"
    assert found.evening == at(zone, 2026, 3, 5, 20)
    assert found.morning == at(zone, 2026, 3, 6, 6)
    assert found.ready == at(zone, 2026, 3, 6, 8, 30)
    assert found.teardown_cutoff == at(zone, 2026, 3, 5, 23, 30)
    assert found.build_cutoff == at(zone, 2026, 3, 6, 10)
    assert found.evening.tzinfo is UTC


def test_cutoffs_after_midnight_belong_to_the_next_date() -> None:
    found = night(policy(evening="22:00", teardown_cutoff="01:00"), date(2026, 3, 5))
    assert found.teardown_cutoff == datetime(2026, 3, 6, 1, tzinfo=UTC)


def test_an_evening_after_midnight_has_its_morning_on_the_same_date() -> None:
    found = night(policy(evening="00:30"), date(2026, 3, 5))
    assert found.morning == datetime(2026, 3, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "hours"),
    [(date(2026, 3, 7), 11), (date(2026, 3, 8), 12), (date(2026, 10, 31), 13), (date(2026, 11, 1), 12)],
)
def test_a_change_of_the_clocks_makes_a_night_longer_or_shorter(key: date, hours: int) -> None:
    found = night(policy(zone="America/New_York", evening="19:00", morning="07:00"), key)
    assert found.morning - found.evening == timedelta(hours=hours)


def test_a_time_that_the_clocks_jump_over_moves_forward() -> None:
    found = night(policy(zone="America/New_York", morning="02:30"), date(2026, 3, 7))
    assert found.morning == at("America/New_York", 2026, 3, 8, 3, 30)


def test_of_a_time_that_comes_twice_the_first_counts() -> None:
    found = night(policy(zone="America/New_York", morning="01:30"), date(2026, 10, 31))
    assert found.morning == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)


def test_half_an_hour_of_lord_howe() -> None:
    found = night(policy(zone="Australia/Lord_Howe", evening="19:00", morning="07:00"), date(2026, 4, 4))
    assert found.morning - found.evening == timedelta(hours=12, minutes=30)


def test_a_night_that_the_clocks_swallow_keeps_its_order() -> None:
    found = night(policy(zone="America/New_York", evening="02:10", morning="03:00"), date(2026, 3, 8))
    assert found.evening < found.morning


def test_a_date_that_the_zone_left_out_has_no_night() -> None:
    """Samoa went from Thursday 29 to Saturday 31 December 2011."""
    samoa = policy(zone="Pacific/Apia")
    with pytest.raises(UsageError, match="2011-12-30 did not exist in Pacific/Apia"):
        night(samoa, date(2011, 12, 30))
    thursday = night(samoa, date(2011, 12, 29))
    assert tonight(samoa, thursday.morning).key == date(2011, 12, 31)


@pytest.mark.parametrize(
    ("hour", "key"),
    [
        ((5, 19, 59), date(2026, 3, 5)),  # the coming one
        ((5, 20, 0), date(2026, 3, 5)),
        ((6, 0, 1), date(2026, 3, 5)),  # past midnight: still this night
        ((6, 2, 30), date(2026, 3, 5)),
        ((6, 6, 0), date(2026, 3, 6)),  # from its morning on: the next one
        ((6, 12, 0), date(2026, 3, 6)),
    ],
)
def test_what_a_person_means_by_tonight(hour: tuple[int, int, int], key: date) -> None:
    israel = policy(**ISRAEL)
    assert tonight(israel, at("Asia/Jerusalem", 2026, 3, *hour)).key == key


def test_a_workweek_from_sunday_to_thursday() -> None:
    israel = policy(**ISRAEL)
    week = [is_working_day(israel, date(2026, 3, 1) + n * DAY) for n in range(7)]  # from a Sunday
    assert week == [True, True, True, True, True, False, False]


def test_only_the_night_before_a_working_day_rebuilds() -> None:
    israel = policy(**ISRAEL)
    nights = [night(israel, date(2026, 3, 4) + n * DAY) for n in range(4)]  # Wednesday to Saturday
    assert [n.rebuilds for n in nights] == [True, False, False, True]
    assert [n.kind for n in nights[1:3]] == [DayKind.WEEKEND, DayKind.WEEKEND]
    assert all(n.tears_down for n in nights)
    assert nights[1].phases == {Phase.TEARDOWN}
    assert next_rebuild(israel, date(2026, 3, 5)).key == date(2026, 3, 7)
    assert next_rebuild(israel, date(2026, 3, 7)).key == date(2026, 3, 7)
    assert next_working_day(israel, date(2026, 3, 5)) == date(2026, 3, 8)


def test_holidays_of_a_country_are_days_without_work() -> None:
    israel = policy(**ISRAEL, holidays={"country": "IL"})
    assert day_kind(israel, date(2026, 4, 2)) is DayKind.HOLIDAY  # a Thursday
    assert "Pesach" in str(holiday_name(israel, date(2026, 4, 2)))
    eve = night(israel, date(2026, 4, 1))
    assert (eve.rebuilds, eve.kind) == (False, DayKind.HOLIDAY)
    assert "Pesach" in str(eve.holiday)


def test_own_dates_and_working_dates_win() -> None:
    own = policy(
        holidays={"country": "US", "dates": ["2026-03-10"], "working_dates": ["2026-12-25", "2026-03-14"]},
    )
    assert day_kind(own, date(2026, 3, 10)) is DayKind.HOLIDAY
    assert is_working_day(own, date(2026, 12, 25))
    assert is_working_day(own, date(2026, 3, 14))  # a Saturday
    assert day_kind(own, date(2026, 11, 26)) is DayKind.HOLIDAY  # Thanksgiving stays


def test_an_unknown_country_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(UsageError, match=r"night\.holidays: .*XX"):
        is_working_day(policy(holidays={"country": "XX"}), date(2026, 3, 5))


def test_settings_without_any_working_day_are_refused() -> None:
    for call in (next_rebuild, next_working_day):
        with pytest.raises(UsageError, match="leave no working day"):
            call(policy(workweek=[]), date(2026, 3, 5))


def test_late_phases_are_open_until_their_cutoff() -> None:
    found = night(policy(), date(2026, 3, 4))
    assert found.open_phases(found.teardown_cutoff) == {Phase.TEARDOWN, Phase.REBUILD}
    assert found.open_phases(found.teardown_cutoff + timedelta(seconds=1)) == {Phase.REBUILD}
    assert found.open_phases(found.build_cutoff + timedelta(seconds=1)) == frozenset()
    friday = night(policy(), date(2026, 3, 6))
    assert friday.open_phases(friday.evening) == {Phase.TEARDOWN}


ZONES = ["America/New_York", "Australia/Lord_Howe", "Asia/Jerusalem", "Asia/Kolkata", "Pacific/Apia", "UTC"]
INSTANTS = st.datetimes(datetime(2005, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
TIMES = st.times().map(lambda t: t.replace(second=0, microsecond=0))


def near_changes(zone: str) -> st.SearchStrategy[datetime]:
    """Instants around the changes of the zone's clocks, where mistakes live."""
    where = ZoneInfo(zone)
    start = datetime(2008, 1, 1, tzinfo=UTC)
    days = [start + n * DAY for n in range(5 * 365)]
    changes = [
        day for day in days if day.astimezone(where).utcoffset() != (day + DAY).astimezone(where).utcoffset()
    ]
    around = st.integers(-48 * 60, 72 * 60).map(lambda minutes: timedelta(minutes=minutes))
    return (
        st.builds(lambda day, offset: day + offset, st.sampled_from(changes), around) if changes else INSTANTS
    )


@given(data=st.data(), zone=st.sampled_from(ZONES), evening=TIMES, morning=TIMES)
def test_every_instant_belongs_to_exactly_one_night(
    data: st.DataObject, zone: str, evening: time, morning: time
) -> None:
    instant = data.draw(INSTANTS | near_changes(zone))
    rules = policy(zone=zone, evening=evening, morning=morning)
    local = instant.astimezone(ZoneInfo(zone)).date()
    nights = []
    for offset in range(-4, 5):
        try:
            nights.append(night(rules, local + offset * DAY))
        except UsageError:
            assert zone == "Pacific/Apia"
            assert local + offset * DAY == date(2011, 12, 30)
    assert all(one.evening < following.evening for one, following in pairwise(nights))
    holding = [one.key for one, following in pairwise(nights) if one.evening <= instant < following.evening]
    assert holding == [night_of(rules, instant)]


@given(data=st.data(), zone=st.sampled_from(ZONES), evening=TIMES, morning=TIMES, ready=TIMES, cutoff=TIMES)
def test_a_night_is_in_order_and_starts_on_its_date(
    data: st.DataObject, zone: str, evening: time, morning: time, ready: time, cutoff: time
) -> None:
    instant = data.draw(INSTANTS | near_changes(zone))
    rules = policy(
        zone=zone, evening=evening, morning=morning, ready=ready, teardown_cutoff=cutoff, build_cutoff=cutoff
    )
    found = night(rules, night_of(rules, instant))
    assert found.evening < found.morning <= found.ready
    assert found.evening <= found.teardown_cutoff
    assert found.morning <= found.build_cutoff
    local = found.evening.astimezone(ZoneInfo(zone))
    assert local.date() == found.key
    # At its time, or moved forward by a change of the clocks.
    assert local.time() == evening or local.time() > evening
    assert found.morning - found.evening <= timedelta(hours=26)
    assert night_of(rules, found.evening) == found.key == tonight(rules, found.evening).key
    assert night_of(rules, found.evening - timedelta(microseconds=1)) < found.key
