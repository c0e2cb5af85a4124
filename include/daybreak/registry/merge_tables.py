"""The tables of the merge queue; see merge-queue.md."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Index, Integer, Table, Text, UniqueConstraint, text

from daybreak.registry.columns import instant, line, metadata, name

#: One pull request at one approved commit, on its way to main; at most one that goes on for each.
entries = Table(
    "entries",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("pr", Integer, nullable=False),
    line("sha", 64, nullable=False),
    line("title", nullable=False),
    line("author", nullable=False),
    # Its page, where that is known.
    Column("url", Text),
    line("mode", 8, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("solo", Boolean, nullable=False),
    line("state", 16, nullable=False),
    Column("version", Integer, nullable=False),
    line("by", nullable=False),
    # Whom to tell how it goes, where that is somebody of the settings.
    line("person", 64),
    instant("queued_at", nullable=False),
    instant("changed_at", nullable=False),
    instant("ended_at"),
    # Attempts so far, and the one that it is, or was last, in.
    Column("attempts", Integer, nullable=False),
    line("run_id"),
    # Tested together next, after a batch failed; and whether that whole is known to fail.
    line("suspects", 64),
    Column("suspects_fail", Boolean, nullable=False),
    # Keeps its place and does not land.
    line("held_by"),
    Column("hold_reason", Text),
    line("reason_code", 64),
    Column("reason", Text),
    Index(
        "uq_entries_open", "pr", unique=True,
        sqlite_where=text("ended_at IS NULL"), postgresql_where=text("ended_at IS NULL"),
    ),
    Index(None, "state", "queued_at"),
)  # fmt: skip

#: One try to land one or more entries; named by its DAG run.
attempts = Table(
    "attempts",
    metadata,
    line("run_id", primary_key=True),
    # Entries, in the order in which they are merged.
    Column("members", JSON, nullable=False),
    line("mode", 8, nullable=False),
    line("state", 16, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    line("token", 64),
    line("base", 64, nullable=False),
    line("candidate", 64, nullable=False),
    line("lease", 64, nullable=False),
    line("landing", 64, nullable=False),
    line("reason_code", 64),
    Column("reason", Text),
    # Whose fault it was, where it was somebody's.
    Column("blamed", Integer),
    # Under which tokens AWS was asked; they outlive whoever asked.
    Column("tokens", JSON, nullable=False, server_default="{}"),
    instant("created_at", nullable=False),
    instant("changed_at", nullable=False),
)

#: Append-only: one row for each version of each entry and attempt.
merge_events = Table(
    "merge_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    line("subject", nullable=False),
    Column("version", Integer, nullable=False),
    instant("at", nullable=False),
    line("actor", nullable=False),
    line("from_state", 16, nullable=False),
    line("to_state", 16, nullable=False),
    Column("message", Text, nullable=False),
    # The request (of the inbox) that caused it: carried out once, however often it is delivered.
    line("request"),
    UniqueConstraint("subject", "version"),
    Index("uq_merge_events_request", "request", unique=True),
)

#: One row: whether anything may enter the lane.
merge_queue = Table(
    "merge_queue",
    metadata,
    name("name", primary_key=True),
    Column("version", Integer, nullable=False),
    line("paused_by"),
    Column("pause_reason", Text),
    instant("paused_at"),
    # The one entry that may enter all the same.
    Column("emergency", Integer),
)

#: Who may land one pull request without being one who may write.
delegations = Table(
    "delegations",
    metadata,
    Column("pr", Integer, primary_key=True),
    # On GitHub, in lower case.
    line("login", primary_key=True),
    line("by", nullable=False),
    instant("at", nullable=False),
)
