"""The registry's tables. What must exclude each other stands in one row (``environments``); see
environments.md.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, Date, Float, Index, Integer, Table, Text, UniqueConstraint, text

from daybreak.registry.columns import instant, line, metadata, name, work

environments = Table(
    "environments",
    metadata,
    name("name", primary_key=True),
    line("account", 12, nullable=False),
    line("region", 32, nullable=False),
    line("role", 16, nullable=False),
    line("state", 16, nullable=False),
    instant("state_since", nullable=False),
    Column("version", Integer, nullable=False),
    instant("changed_at", nullable=False),
    line("changed_by", nullable=False),
    # Who may write: +1 only when the holder changes.
    Column("fence", Integer, nullable=False),
    line("fence_holder", 512),
    # What is there.
    line("commit", 64),
    line("verdict", 16),
    instant("verdict_at"),
    line("nonce", 64, unique=True),
    line("nonce_previous", 64, unique=True),
    instant("used_at"),
    # Who has it.
    line("lease_owner"),
    Column("lease_id", Integer),
    instant("lease_since"),
    instant("lease_until"),
    Column("lease_reason", Text),
    Column("preserve_night", Date),
    line("preserve_by"),
    Column("preserve_reason", Text),
    # Which step works on it.
    line("op_token", 64),
    line("op_holder", 512),
    line("op_actor"),
    line("op_step", 64),
    instant("op_since"),
    instant("op_heartbeat_at"),
    instant("op_deadline"),
    # Why it stands still.
    line("fault_code", 64),
    Column("fault_message", Text),
    instant("fault_at"),
)

#: Append-only: one row for each version of each environment.
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    name("environment"),
    Column("version", Integer, nullable=False),
    instant("at", nullable=False),
    line("actor", nullable=False),
    line("kind", 32, nullable=False),
    line("from_state", 16, nullable=False),
    line("to_state", 16, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("message", Text, nullable=False),
    # The request (of the inbox) that caused it: carried out once, however often it is delivered.
    line("request"),
    UniqueConstraint("environment", "version"),
    Index("uq_events_request", "request", unique=True),
)

#: One run of `nightly`: the scheduled one, or a rebuild by hand in the same night.
nights = Table(
    "nights",
    metadata,
    line("run_id", primary_key=True),
    Column("night", Date, nullable=False, index=True),
    line("commit", 64),
    line("catalog_digest", 64),
    Column("plan", JSON, nullable=False),
    instant("decided_at", nullable=False),
    instant("finished_at"),
    Column("report", JSON(none_as_null=True)),
)

night_environments = Table(
    "night_environments",
    metadata,
    Column("night", Date, primary_key=True),
    name("environment", primary_key=True),
    line("run_id", nullable=False, index=True),
    Column("decision", JSON, nullable=False),
    line("status", 16, nullable=False),
    instant("updated_at", nullable=False),
    Column("detail", JSON, nullable=False),
)

steps = Table(
    "steps",
    metadata,
    Column("night", Date, primary_key=True),
    name("environment", primary_key=True),
    name("phase", primary_key=True),
    name("step", primary_key=True),
    line("run_id", primary_key=True),
    line("token", 64, nullable=False),
    line("status", 16, nullable=False),
    Column("tries", Integer, nullable=False),
    instant("started_at", nullable=False),
    instant("ended_at"),
    Column("seconds", Float),
    Column("detail", JSON, nullable=False),
    # Under which tokens AWS was asked; they outlive a try.
    Column("tokens", JSON, nullable=False, server_default="{}"),
)

#: What a run was told to do, pinned: every step asks its plan first.
runs = Table(
    "runs",
    metadata,
    line("run_id", primary_key=True),
    line("kind", 32, nullable=False),
    line("commit", 64, nullable=False),
    line("catalog_digest", 64, nullable=False),
    Column("plan", JSON, nullable=False),
    instant("pinned_at", nullable=False),
    instant("finished_at"),
)

#: What was deployed when; a row without a key says that it was taken away.
deployments = Table(
    "deployments",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    name("environment"),
    line("resource", nullable=False),
    line("key", 64),
    line("commit", 64),
    line("run_id"),
    instant("at", nullable=False),
    Index(None, "environment", "resource"),
)

builds = Table(
    "builds",
    metadata,
    line("resource", primary_key=True),
    line("key", 64, primary_key=True),
    line("commit", 64, nullable=False),
    line("run_id"),
    line("status", 16, nullable=False),
    Column("seconds", Float, nullable=False),
    instant("at", nullable=False),
    Column("detail", JSON, nullable=False),
)

#: How a schedule was before we switched it off; written once for each teardown, never overwritten.
schedule_memos = Table(
    "schedule_memos",
    metadata,
    name("environment", primary_key=True),
    line("identity", 512, primary_key=True),
    Column("memo", JSON, nullable=False),
    instant("at", nullable=False),
)

scorch_plans = Table(
    "scorch_plans",
    metadata,
    Column("night", Date, primary_key=True),
    name("environment", primary_key=True),
    name("phase", primary_key=True),
    line("digest", 64, primary_key=True),
    line("run_id"),
    line("status", 16, nullable=False),
    Column("size", Integer, nullable=False),
    Column("items", JSON, nullable=False),
    instant("at", nullable=False),
)

#: From when to when an environment cost money.
uptime = Table(
    "uptime",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    name("environment"),
    instant("up_at", nullable=False),
    instant("down_at"),
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
    line("account", 12, primary_key=True),
    line("by", nullable=False),
    instant("at", nullable=False),
)

#: Switches: `freeze` stops every deletion.
flags = Table(
    "flags",
    metadata,
    name("name", primary_key=True),
    line("by", nullable=False),
    instant("at", nullable=False),
    Column("reason", Text, nullable=False),
)

#: Deploys by hand (BCD): who asked for what, what ran before, and how it ended.
bcd_runs = Table(
    "bcd_runs",
    metadata,
    line("run_id", primary_key=True),
    name("environment"),
    line("actor", nullable=False),
    Column("request", JSON, nullable=False),
    instant("began_at", nullable=False),
    instant("ended_at"),
    line("outcome", 16),
    # What its tries leave for each other and for the report: each key has one writer.
    Column("detail", JSON, nullable=False),
    Column("report", JSON(none_as_null=True)),
    Index("ix_bcd_runs_environment_began_at", "environment", "began_at"),
)

#: What came in from outside, once for each request, to be worked on after it was acknowledged.
inbox = Table(
    "inbox",
    metadata,
    line("key", primary_key=True),
    line("source", 32, nullable=False),
    Column("payload", JSON, nullable=False),
    instant("received_at", nullable=False),
    *work(),
    Index("ix_inbox_status_not_before", "status", "not_before"),
)

#: What people are to be told: written with the change that it tells of, sent afterwards.
outbox = Table(
    "outbox",
    metadata,
    line("key", primary_key=True),
    line("recipient", nullable=False),
    Column("payload", JSON, nullable=False),
    # +1 on each change of the payload; what was sent is brought up to it in place.
    Column("version", Integer, nullable=False),
    Column("sent_version", Integer, nullable=False),
    # Where it was sent to, so that it can be changed there (Slack: channel and ts).
    Column("reference", JSON(none_as_null=True)),
    instant("created_at", nullable=False),
    instant("expires_at"),
    # Since when the other side does not take it; its own failures are counted in `attempts`.
    instant("away_since"),
    *work(),
    Index("ix_outbox_status_not_before", "status", "not_before"),
)

#: One row for each person who ever took something: locked while that person's leases are counted.
people = Table("people", metadata, name("name", primary_key=True), instant("acted_at", nullable=False))

#: Who somebody is elsewhere, beside what the settings say.
identities = Table(
    "identities",
    metadata,
    line("kind", 16, primary_key=True),
    line("external", primary_key=True),
    name("person"),
    line("proof", 16, nullable=False),
    instant("at", nullable=False),
)

link_codes = Table(
    "link_codes",
    metadata,
    line("digest", 64, primary_key=True),
    name("person"),
    instant("expires_at", nullable=False),
)

#: Who waits for which environment, or for `any`; the order is that of the ids.
waiting = Table(
    "waiting",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    name("environment"),
    name("person"),
    instant("since", nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("environment", "person"),
)

#: Who wants which environment kept over the days off that end on a working day.
weekend_votes = Table(
    "weekend_votes",
    metadata,
    Column("until", Date, primary_key=True),
    name("environment", primary_key=True),
    name("person", primary_key=True),
    instant("at", nullable=False),
)
