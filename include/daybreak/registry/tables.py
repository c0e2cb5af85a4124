"""The registry's tables. What must exclude each other stands in one row (``environments``); see
environments.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

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


def _name(column: str, **options: Any) -> Column[str]:
    return Column(column, String(64), **{"nullable": False, **options})


def _text(column: str, length: int = 255, **options: Any) -> Column[str]:
    return Column(column, String(length), **options)


def _instant(column: str, **options: Any) -> Column[datetime]:
    return Column(column, UtcDateTime(), **options)


environments = Table(
    "environments",
    metadata,
    _name("name", primary_key=True),
    _text("account", 12, nullable=False),
    _text("region", 32, nullable=False),
    _text("role", 16, nullable=False),
    _text("state", 16, nullable=False),
    _instant("state_since", nullable=False),
    Column("version", Integer, nullable=False),
    _instant("changed_at", nullable=False),
    _text("changed_by", nullable=False),
    # Who may write: +1 only when the holder changes.
    Column("fence", Integer, nullable=False),
    _text("fence_holder", 512),
    # What is there.
    _text("commit", 64),
    _text("verdict", 16),
    _instant("verdict_at"),
    _text("nonce", 64, unique=True),
    _text("nonce_previous", 64, unique=True),
    _instant("used_at"),
    # Who has it.
    _text("lease_owner"),
    Column("lease_id", Integer),
    _instant("lease_since"),
    _instant("lease_until"),
    Column("lease_reason", Text),
    Column("preserve_night", Date),
    _text("preserve_by"),
    Column("preserve_reason", Text),
    # Which step works on it.
    _text("op_token", 64),
    _text("op_holder", 512),
    _text("op_actor"),
    _text("op_step", 64),
    _instant("op_since"),
    _instant("op_heartbeat_at"),
    _instant("op_deadline"),
    # Why it stands still.
    _text("fault_code", 64),
    Column("fault_message", Text),
    _instant("fault_at"),
)

#: Append-only: one row for each version of each environment.
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _name("environment"),
    Column("version", Integer, nullable=False),
    _instant("at", nullable=False),
    _text("actor", nullable=False),
    _text("kind", 32, nullable=False),
    _text("from_state", 16, nullable=False),
    _text("to_state", 16, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("message", Text, nullable=False),
    UniqueConstraint("environment", "version"),
)

#: One run of `nightly`: the scheduled one, or a rebuild by hand in the same night.
nights = Table(
    "nights",
    metadata,
    _text("run_id", primary_key=True),
    Column("night", Date, nullable=False, index=True),
    _text("commit", 64),
    _text("catalog_digest", 64),
    Column("plan", JSON, nullable=False),
    _instant("decided_at", nullable=False),
    _instant("finished_at"),
    Column("report", JSON(none_as_null=True)),
)

night_environments = Table(
    "night_environments",
    metadata,
    Column("night", Date, primary_key=True),
    _name("environment", primary_key=True),
    _text("run_id", nullable=False, index=True),
    Column("decision", JSON, nullable=False),
    _text("status", 16, nullable=False),
    _instant("updated_at", nullable=False),
    Column("detail", JSON, nullable=False),
)

steps = Table(
    "steps",
    metadata,
    Column("night", Date, primary_key=True),
    _name("environment", primary_key=True),
    _name("phase", primary_key=True),
    _name("step", primary_key=True),
    _text("run_id", primary_key=True),
    _text("token", 64, nullable=False),
    _text("status", 16, nullable=False),
    Column("tries", Integer, nullable=False),
    _instant("started_at", nullable=False),
    _instant("ended_at"),
    Column("seconds", Float),
    Column("detail", JSON, nullable=False),
)

#: What a run was told to do, pinned: every step asks its plan first.
runs = Table(
    "runs",
    metadata,
    _text("run_id", primary_key=True),
    _text("kind", 32, nullable=False),
    _text("commit", 64, nullable=False),
    _text("catalog_digest", 64, nullable=False),
    Column("plan", JSON, nullable=False),
    _instant("pinned_at", nullable=False),
    _instant("finished_at"),
)

#: What was deployed when; a row without a key says that it was taken away.
deployments = Table(
    "deployments",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _name("environment"),
    _text("resource", nullable=False),
    _text("key", 64),
    _text("commit", 64),
    _text("run_id"),
    _instant("at", nullable=False),
    Index(None, "environment", "resource"),
)

builds = Table(
    "builds",
    metadata,
    _text("resource", primary_key=True),
    _text("key", 64, primary_key=True),
    _text("commit", 64, nullable=False),
    _text("run_id"),
    _text("status", 16, nullable=False),
    Column("seconds", Float, nullable=False),
    _instant("at", nullable=False),
    Column("detail", JSON, nullable=False),
)

#: How a schedule was before we switched it off; written once for each teardown, never overwritten.
schedule_memos = Table(
    "schedule_memos",
    metadata,
    _name("environment", primary_key=True),
    _text("identity", 512, primary_key=True),
    Column("memo", JSON, nullable=False),
    _instant("at", nullable=False),
)

scorch_plans = Table(
    "scorch_plans",
    metadata,
    Column("night", Date, primary_key=True),
    _name("environment", primary_key=True),
    _name("phase", primary_key=True),
    _text("digest", 64, primary_key=True),
    _text("run_id"),
    _text("status", 16, nullable=False),
    Column("size", Integer, nullable=False),
    Column("items", JSON, nullable=False),
    _instant("at", nullable=False),
)

#: From when to when an environment cost money.
uptime = Table(
    "uptime",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _name("environment"),
    _instant("up_at", nullable=False),
    _instant("down_at"),
    # At most one open interval for each environment.
    Index(
        "uq_uptime_open", "environment", unique=True,
        sqlite_where=text("down_at IS NULL"), postgresql_where=text("down_at IS NULL"),
    ),
    Index(None, "environment", "up_at"),
)  # fmt: skip

#: Accounts in which an admin allowed real deletions (`daybreak arm`).
arms = Table(
    "arms",
    metadata,
    _text("account", 12, primary_key=True),
    _text("by", nullable=False),
    _instant("at", nullable=False),
)

#: Switches: `freeze` stops every deletion.
flags = Table(
    "flags",
    metadata,
    _name("name", primary_key=True),
    _text("by", nullable=False),
    _instant("at", nullable=False),
    Column("reason", Text, nullable=False),
)
