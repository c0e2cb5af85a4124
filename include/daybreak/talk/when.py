"""Durations and instants as people say them, and as they read them. Pure.

What is said is judged in the policy's zone, whatever zone the server has. A time that the clocks jump over is
moved forward by the jump, of one that comes twice the first that is still ahead is meant: as in
`environment/calendar.py`. The reply always gives the instant with its zone, so that a person sees what was
understood.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from daybreak.environment import calendar
from daybreak.errors import UsageError
from daybreak.settings import WEEKDAYS, NightPolicy

_UNITS = {"m": 1, "min": 1, "mins": 1, "minute": 1, "minutes": 1,
          "h": 60, "hr": 60, "hrs": 60, "hour": 60, "hours": 60}  # fmt: skip
_DURATION = re.compile(r"(\d{1,4}(?:\.\d{1,2})?)\s*([a-z]+)\s*")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})$")
_TWELVE = re.compile(r"(\d{1,2})(?::(\d{2}))?(am|pm)$")
_LONG_DAYS = {"monday": "mon", "tuesday": "tue", "wednesday": "wed", "thursday": "thu", "friday": "fri",
              "saturday": "sat", "sunday": "sun", "tues": "tue", "thur": "thu", "thurs": "thu"}  # fmt: skip
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class When:
    """A moment as it was said: a day (weekday, ``tomorrow``, ``tonight``, a date), a time of day, or both."""

    day: str | None = None
    at: time | None = None

    def __str__(self) -> str:
        parts = [self.day, f"{self.at:%H:%M}" if self.at else None]
        return " ".join(part for part in parts if part)


TONIGHT = When("tonight")


def parse_duration(text: str) -> timedelta | None:
    """``4h``, ``90m``, ``1h30m``, ``1.5h``, ``2 hours 15 min``; ``None`` when it is none."""
    minutes, rest = 0.0, text.strip().lower()
    if not rest:
        return None
    while rest:
        found = _DURATION.match(rest)
        if not found or found[2] not in _UNITS:
            return None
        minutes += float(found[1]) * _UNITS[found[2]]
        rest = rest[found.end() :]
    return timedelta(minutes=minutes)


def parse_when(words: Sequence[str]) -> When | None:
    """``17:40``, ``5pm``, ``tonight``, ``tomorrow 09:00``, ``mon``, ``fri 14:00``, ``2026-03-09 17:00``;
    ``None`` when it is none.
    """
    lowered = [word.lower() for word in words]
    if not 1 <= len(lowered) <= 2:
        return None
    day = _day(lowered[0])
    at = _time(lowered[-1])
    if len(lowered) == 1:
        return When(day, at) if day or at else None
    return When(day, at) if day and day != "tonight" and at else None


def instant(when: When, said: datetime, policy: NightPolicy) -> datetime:
    """The moment that is meant by somebody who says it at ``said``; always after it.

    ``tonight`` is the evening's teardown. A day alone is its first moment.

    :raises UsageError: when a date with its time is over.
    """
    zone = policy.tzinfo
    today = said.astimezone(zone).date()
    if when.day == "tonight":
        night = calendar.tonight(policy, said)
        if night.evening <= said:
            raise UsageError(
                f"the night of {show_date(night.key)} runs since {show(night.evening, said, zone)}; "
                "say a time of day"
            )
        return night.evening
    at = when.at or time(0)
    if when.day is None:
        days = [today, today + _DAY, today + 2 * _DAY]
    elif when.day == "tomorrow":
        days = [today + _DAY]
    elif when.day in WEEKDAYS:
        ahead = (WEEKDAYS.index(when.day) - today.weekday()) % 7 or 7
        days = [today + ahead * _DAY]
    else:
        days = [date.fromisoformat(when.day)]
    for day in days:
        for fold in (0, 1):
            found = datetime.combine(day, at.replace(fold=fold), zone).astimezone(UTC)
            if found > said:
                return found
    raise UsageError(f"{when} is over")


def last_night(when: When, said: datetime, policy: NightPolicy) -> date:
    """The last night that begins before ``when``: what `preserve … until when` is for.

    :raises UsageError: when it is over, or before the coming night.
    """
    tonight = calendar.tonight(policy, said)
    if when.day == "tonight":
        return tonight.key
    until = instant(when, said, policy)
    key = calendar.night_of(policy, until - timedelta(microseconds=1))
    if key < tonight.key:
        raise UsageError(
            f"no night begins before {show(until, said, policy.tzinfo)}; "
            f"the next one is that of {show_date(tonight.key)}"
        )
    return key


def show(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """``17:40 IST``; with its day unless that is today's: ``Fri 6 Mar 09:00 IST``."""
    local = moment.astimezone(zone)
    name = local.tzname() or ""
    if name[:1] in "+-":  # the zone has no letters, as in Lord Howe
        name = f"UTC{name[:3]}{':' + name[3:] if len(name) > 3 else ''}"
    day = "" if local.date() == now.astimezone(zone).date() else f"{show_date(local.date())} "
    return f"{day}{local:%H:%M} {name}"


def show_both(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """``17:40 IST (4 h)``: absolute, then how long until then."""
    return f"{show(moment, now, zone)} ({show_length(moment - now)})"


def show_date(day: date) -> str:
    """``Fri 6 Mar``."""
    return f"{day:%a} {day.day} {day:%b}"


def show_length(length: timedelta) -> str:
    """``4 h``, ``3 h 20 min``, ``45 min``, ``2 days 3 h``; rounded to minutes."""
    minutes = round(length.total_seconds() / 60)
    days, hours, rest = minutes // 1440, minutes % 1440 // 60, minutes % 60
    parts = [f"{days} day{'s' if days > 1 else ''}"] if days else []
    parts += [f"{hours} h"] if hours else []
    parts += [f"{rest} min"] if rest and not days else []
    return " ".join(parts) or "less than a minute"


def say_duration(length: timedelta) -> str:
    """As one would type it: ``4h``, ``1h30m``, ``45m``."""
    minutes = round(length.total_seconds() / 60)
    hours, rest = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{rest}m" if rest or not hours else "")


def _day(word: str) -> str | None:
    word = _LONG_DAYS.get(word, word)
    if word in ("tonight", "tomorrow") or word in WEEKDAYS:
        return word
    try:
        return date.fromisoformat(word).isoformat() if re.fullmatch(r"\d{4}-\d{2}-\d{2}", word) else None
    except ValueError:
        return None


def _time(word: str) -> time | None:
    clock, twelve = _CLOCK.match(word), _TWELVE.match(word)
    try:
        if clock:
            return time(int(clock[1]), int(clock[2]))
        if twelve and 1 <= int(twelve[1]) <= 12:
            return time(int(twelve[1]) % 12 + (12 if twelve[3] == "pm" else 0), int(twelve[2] or 0))
    except ValueError:
        return None
    return None
