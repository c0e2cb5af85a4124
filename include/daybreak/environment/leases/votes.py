"""Votes on what stays up over the days off. They count for all of the nights until the next working day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from sqlalchemy import Engine, delete, select

from daybreak.environment import calendar
from daybreak.registry import tables
from daybreak.registry.clock import Clock, utc_now
from daybreak.registry.engine import insert_new
from daybreak.settings import NightPolicy

_TABLE = tables.weekend_votes


def coming_days_off(policy: NightPolicy, now: datetime) -> tuple[date, date]:
    """The first night, tonight or later, that no working day follows, and the working day that ends it all.

    :raises UsageError: when the settings leave no day off, or no working day.
    """
    night = calendar.tonight(policy, now)
    for _ in range(400):
        if not night.rebuilds:
            return night.key, calendar.next_working_day(policy, night.key)
        night = calendar.tonight(policy, night.morning + timedelta(minutes=1))
    raise calendar.no_day_off(policy, night.key)


class Votes:
    """The table `weekend_votes`; ``until`` is the working day that ends the days off."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self.engine, self.clock = engine, clock

    def keep(self, until: date, environment: str, person: str) -> bool:
        """Vote; ``False`` when the person did already."""
        key = {"until": until, "environment": environment, "person": person}
        with self.engine.begin() as connection:
            return insert_new(connection, _TABLE, {**key, "at": self.clock()})

    def drop(self, until: date, environment: str, person: str) -> bool:
        """Take the vote back; ``False`` when there was none."""
        mine = delete(_TABLE).filter_by(until=until, environment=environment, person=person)
        with self.engine.begin() as connection:
            return connection.execute(mine).rowcount == 1

    def of(self, until: date) -> Mapping[str, list[str]]:
        """Who wants which environment kept: what `decide` takes."""
        found: dict[str, list[str]] = defaultdict(list)
        query = select(_TABLE.c.environment, _TABLE.c.person).filter_by(until=until)
        with self.engine.connect() as connection:
            for environment, person in connection.execute(query.order_by(_TABLE.c.at, _TABLE.c.person)):
                found[environment].append(person)
        return dict(found)

    def for_night(self, policy: NightPolicy, key: date) -> Mapping[str, list[str]]:
        """The votes that count in a night."""
        return self.of(calendar.next_working_day(policy, key))
