"""Nights, working days and holidays in the policy's zone: pure, and right across changes of the clocks.

A night is named by the local date of its evening and lasts until the next evening, so that every instant
belongs to exactly one. Its instants are local times made absolute each on its own: the same policy gives
nights of 9, 10 and 11 hours in the weeks around a change of the clocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from daybreak.errors import UsageError
from daybreak.settings import WEEKDAYS, NightPolicy

_DAY = timedelta(days=1)
#: A workweek that leaves no working day in so many days is a mistake in the settings.
_HORIZON = 400


class DayKind(StrEnum):
    """What a local date is."""

    WORKDAY = "workday"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"


class Phase(StrEnum):
    """The two halves of a night."""

    TEARDOWN = "teardown"
    REBUILD = "rebuild"


@dataclass(frozen=True)
class Night:
    """One evening-to-morning cycle; all instants are UTC.

    :param key: the local date of the evening.
    :param ready: when people expect their environments.
    :param teardown_cutoff: a teardown that could not begin by then is left out.
    :param build_cutoff: the same for the morning.
    :param kind: what the day after is; only a working day needs environments.
    :param holiday: the holiday's name, when ``kind`` is one.
    """

    key: date
    evening: datetime
    morning: datetime
    ready: datetime
    teardown_cutoff: datetime
    build_cutoff: datetime
    kind: DayKind
    holiday: str | None = None

    @property
    def rebuilds(self) -> bool:
        """Whether the morning builds environments: the day after is a working day."""
        return self.kind is DayKind.WORKDAY

    @property
    def phases(self) -> frozenset[Phase]:
        """What belongs to this night. Every evening tears down; `decide` says what stays up."""
        return frozenset(Phase) if self.rebuilds else frozenset({Phase.TEARDOWN})

    @property
    def tears_down(self) -> bool:
        """Whether the evening takes environments away."""
        return Phase.TEARDOWN in self.phases

    def open_phases(self, now: datetime) -> frozenset[Phase]:
        """The phases that may still begin at ``now``: late is caught up until the cut-off, then left out."""
        cutoffs = {Phase.TEARDOWN: self.teardown_cutoff, Phase.REBUILD: self.build_cutoff}
        return frozenset(phase for phase in self.phases if now <= cutoffs[phase])


def night(policy: NightPolicy, key: date) -> Night:
    """The night whose evening is on that local date.

    :raises UsageError: when the zone left that date out (as Samoa did on 2011-12-30).
    """
    zone = policy.tzinfo
    if not _exists(zone, key):
        raise UsageError(f"{key} did not exist in {zone.key}: the zone jumped over it")
    evening = _instant(zone, key, policy.evening)
    # Times of day that are not after the evening's are those of the next date.
    morning_date = key if policy.morning > policy.evening else key + _DAY
    # A change of the clocks may swallow the whole night of an odd policy (02:10 to 03:00); keep the order
    # even then.
    morning = max(_instant(zone, morning_date, policy.morning), evening + timedelta(minutes=1))
    tomorrow = _next_date(zone, key)
    return Night(
        key=key,
        evening=evening,
        morning=morning,
        ready=_after(zone, morning, morning_date, policy.ready),
        teardown_cutoff=_after(zone, evening, key, policy.teardown_cutoff),
        build_cutoff=_after(zone, morning, morning_date, policy.build_cutoff),
        kind=day_kind(policy, tomorrow),
        holiday=holiday_name(policy, tomorrow),
    )


def night_of(policy: NightPolicy, instant: datetime) -> date:
    """The key of the night that ``instant`` belongs to: the one whose evening was last."""
    zone = policy.tzinfo
    key = instant.astimezone(zone).date()
    # A date that the zone left out has the same evening as the date after it, so that the loop never ends on
    # it.
    while _instant(zone, key, policy.evening) > instant:
        key -= _DAY
    return key


def tonight(policy: NightPolicy, now: datetime) -> Night:
    """What a person means by "tonight": the running night until its morning, then the one of the coming
    evening.
    """
    running = night(policy, night_of(policy, now))
    return running if now < running.morning else night(policy, _next_date(policy.tzinfo, running.key))


def next_rebuild(policy: NightPolicy, key: date) -> Night:
    """The first night, that of ``key`` or later, whose morning builds the environments.

    :raises UsageError: when the settings leave no working day.
    """
    for candidate in _dates(policy.tzinfo, key):
        found = night(policy, candidate)
        if found.rebuilds:
            return found
    raise _no_working_day(policy, key)


def next_working_day(policy: NightPolicy, after: date) -> date:
    """The first working day after that date.

    :raises UsageError: when the settings leave none.
    """
    for day in _dates(policy.tzinfo, _next_date(policy.tzinfo, after)):
        if is_working_day(policy, day):
            return day
    raise _no_working_day(policy, after)


def is_working_day(policy: NightPolicy, day: date) -> bool:
    """Whether people work on that local date."""
    return day_kind(policy, day) is DayKind.WORKDAY


def day_kind(policy: NightPolicy, day: date) -> DayKind:
    """What that local date is. ``holidays.working_dates`` wins over all, also on a weekend."""
    if day in policy.holidays.working_dates:
        return DayKind.WORKDAY
    if WEEKDAYS[day.weekday()] not in policy.workweek:
        return DayKind.WEEKEND
    return DayKind.WORKDAY if holiday_name(policy, day) is None else DayKind.HOLIDAY


def holiday_name(policy: NightPolicy, day: date) -> str | None:
    """The name of the holiday on that date, whatever weekday it is; ``None`` when it is none.

    :raises UsageError: when the country or subdivision is unknown.
    """
    rules = policy.holidays
    if day in rules.working_dates:
        return None
    if day in rules.dates:
        return "day off"
    return _public_holidays(rules.country, rules.subdivision, day.year).get(day) if rules.country else None


@lru_cache(maxsize=64)
def _public_holidays(country: str, subdivision: str | None, year: int) -> Mapping[date, str]:
    import holidays  # 0.2 s, and only where a country is set

    try:
        found: Mapping[Any, str] = holidays.country_holidays(
            country, subdiv=subdivision, years=year, expand=False, language="en_US"
        )
    except NotImplementedError as error:
        raise UsageError(f"night.holidays: {error}") from None
    return dict(found)


def _instant(zone: ZoneInfo, day: date, at: time) -> datetime:
    # fold=0 is the rule for both oddities: a time that the clocks jump over is read with the offset before
    # the jump, which moves it forward; of a time that comes twice it is the first.
    return datetime.combine(day, at.replace(tzinfo=None, fold=0), zone).astimezone(UTC)


def _after(zone: ZoneInfo, start: datetime, day: date, at: time) -> datetime:
    found = _instant(zone, day, at)
    return found if found >= start else max(start, _instant(zone, day + _DAY, at))


def _exists(zone: ZoneInfo, day: date) -> bool:
    return _instant(zone, day, time(12)).astimezone(zone).date() == day


def _next_date(zone: ZoneInfo, day: date) -> date:
    day += _DAY
    while not _exists(zone, day):
        day += _DAY
    return day


def _dates(zone: ZoneInfo, start: date) -> Iterator[date]:
    for offset in range(_HORIZON):
        day = start + offset * _DAY
        if _exists(zone, day):
            yield day


def no_day_off(policy: NightPolicy, after: date) -> UsageError:
    """The complaint that people work every day."""
    week = ", ".join(policy.workweek)
    return UsageError(f"night.workweek ({week}) and night.holidays leave no day off after {after}")


def _no_working_day(policy: NightPolicy, after: date) -> UsageError:
    week = ", ".join(policy.workweek) or "empty"
    return UsageError(f"night.workweek ({week}) and night.holidays leave no working day after {after}")
