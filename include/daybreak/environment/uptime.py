"""How long each environment was up, that is: cost money. Written with the state, in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, or_, select, update

from daybreak.registry import tables
from daybreak.registry.engine import insert_new


@dataclass(frozen=True)
class Interval:
    """From when to when an environment was up; ``down_at`` is ``None`` while it is."""

    environment: str
    up_at: datetime
    down_at: datetime | None


def opened(connection: Connection, environment: str, at: datetime) -> None:
    """The environment begins to cost money; does nothing when it already does."""
    insert_new(connection, tables.uptime, {"environment": environment, "up_at": at, "down_at": None})


def closed(connection: Connection, environment: str, at: datetime) -> None:
    """The environment is gone; does nothing when it was not there."""
    table = tables.uptime
    connection.execute(
        update(table).where(table.c.environment == environment, table.c.down_at.is_(None)).values(down_at=at)
    )


def intervals(
    engine: Engine, start: datetime, end: datetime, environment: str | None = None
) -> list[Interval]:
    """The intervals that touch ``start``…``end``, oldest first."""
    table = tables.uptime
    query = (
        select(table.c.environment, table.c.up_at, table.c.down_at)
        .where(table.c.up_at < end, or_(table.c.down_at.is_(None), table.c.down_at > start))
        .order_by(table.c.up_at, table.c.environment)
    )
    if environment is not None:
        query = query.where(table.c.environment == environment)
    with engine.connect() as connection:
        return [Interval(*row) for row in connection.execute(query)]


def hours(found: Iterable[Interval], start: datetime, end: datetime, now: datetime) -> float:
    """The hours of ``found`` that lie in ``start``…``end``; an open interval counts up to ``now``, never
    further.
    """
    total = 0.0
    for interval in found:
        until = min(interval.down_at or now, end)
        since = max(interval.up_at, start)
        total += max(0.0, (until - since).total_seconds())
    return total / 3600
