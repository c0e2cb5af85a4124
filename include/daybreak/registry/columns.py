"""The columns that the registry's tables are made of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, DateTime, Dialect, Integer, MetaData, String, Text, TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware datetimes in, UTC out, on SQLite (which knows no zones) as on PostgreSQL."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a datetime without a zone: nobody could say which instant it is."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; the registry stores instants")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the instant back in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def name(column: str, **options: Any) -> Column[str]:
    """A name of ours: 64 characters, always there."""
    return Column(column, String(64), **{"nullable": False, **options})


def line(column: str, length: int = 255, **options: Any) -> Column[str]:
    """A line of text, of at most ``length`` characters."""
    return Column(column, String(length), **options)


def instant(column: str, **options: Any) -> Column[datetime]:
    """An instant, in UTC."""
    return Column(column, UtcDateTime(), **options)


def work() -> list[Column[Any]]:
    """The columns of a row that a worker claims, does and ends (`registry/work.py`)."""
    return [
        line("status", 16, nullable=False),
        Column("attempts", Integer, nullable=False),
        instant("not_before", nullable=False),
        line("claim", 64),
        instant("claimed_at"),
        instant("ended_at"),
        Column("error", Text),
    ]
