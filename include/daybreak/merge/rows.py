"""Entries and attempts as the registry keeps them, and how one of their rows is written.

Each write is a compare-and-set on the row as it was read, with its event in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, select, update
from sqlalchemy.exc import IntegrityError

from daybreak.aws.tokens import Kept
from daybreak.environment.rows import AlreadyDone
from daybreak.errors import DaybreakError
from daybreak.merge import announce
from daybreak.merge.rules import ATTEMPT_ENDS, ENTRY_ENDS, AttemptState, EntryState, require
from daybreak.registry import merge_tables as tables

#: What an entry, and its attempt, are for.
LAND, TRY = "land", "try"


class TooLate(DaybreakError):
    """The entry went on meanwhile; the message says how it is now."""

    code = "too_late"


@dataclass(frozen=True)
class Entry:
    """One pull request at one approved commit.

    :param by: who asked for it; ``person`` is told how it goes, if it is somebody of the settings.
    :param attempts: how many tries so far; ``run_id`` is the one that it is, or was last, in.
    :param suspects: names those that are tested together next, after a batch failed.
    :param suspects_fail: that whole is known to fail, so that it is halved without being tested again.
    :param held_by: whoever wants it to keep its place and wait.
    """

    id: int
    pr: int
    sha: str
    title: str
    author: str
    mode: str
    priority: int
    solo: bool
    state: EntryState
    version: int
    by: str
    queued_at: datetime
    changed_at: datetime
    ended_at: datetime | None
    attempts: int
    run_id: str | None
    suspects: str | None
    suspects_fail: bool
    reason_code: str | None
    reason: str | None
    person: str | None = None
    held_by: str | None = None
    hold_reason: str | None = None
    url: str | None = None

    @property
    def name(self) -> str:
        """As people write it."""
        return f"#{self.pr}"


@dataclass(frozen=True)
class Attempt:
    """One try to land its members, in this order; what is not known yet is empty."""

    run_id: str
    members: tuple[int, ...]
    mode: str
    state: AttemptState
    version: int
    fence: int
    token: str | None
    base: str
    candidate: str
    lease: str
    landing: str
    reason_code: str | None
    reason: str | None
    blamed: int | None
    created_at: datetime
    changed_at: datetime
    #: As :class:`daybreak.aws.tokens.Tokens` keeps them.
    tokens: Kept = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Nothing follows, but what somebody does about an environment that could not prove itself."""
        return self.state in ATTEMPT_ENDS or self.state is AttemptState.QUARANTINED


def entry_of(row: Mapping[Any, Any]) -> Entry:
    """A row of `entries`."""
    return Entry(**{**row, "state": EntryState(row["state"])})


def attempt_of(row: Mapping[Any, Any]) -> Attempt:
    """A row of `attempts`."""
    return Attempt(**{**row, "state": AttemptState(row["state"]), "members": tuple(row["members"])})


def write_entry(
    connection: Connection,
    entry: Entry,
    to: EntryState,
    *,
    actor: str,
    at: datetime,
    said: tuple[str, str] | None = None,
    request: str | None = None,
    **columns: Any,
) -> Entry | None:
    """Write the entry exactly as it was read; ``None`` when it was written since. People are told of it.

    :param said: code and message of why; without it, there is none any more.
    :param request: see :func:`log`.
    :raises IllegalMove: see `rules`.
    """
    if to != entry.state:
        require(entry.state, to, entry.name)
    code, message = said or (None, None)
    values = {
        **columns, "state": to, "version": entry.version + 1, "changed_at": at, "reason_code": code,
        "reason": message, "ended_at": at if to in ENTRY_ENDS else None,
    }  # fmt: skip
    row = _compare_and_set(connection, tables.entries, {"id": entry.id}, entry, values)
    if row is None:
        return None
    log(
        connection, f"entry:{entry.id}", entry.version + 1, entry.state, to, actor, at, message or "", request
    )  # fmt: skip
    announce.entry(connection, entry.id, at)
    return entry_of(row)


def write_attempt(
    connection: Connection, attempt: Attempt, to: AttemptState, *, actor: str, at: datetime, **columns: Any
) -> Attempt | None:
    """Write the attempt exactly as it was read; ``None`` when it was written since.

    :raises IllegalMove: see `rules`.
    """
    if to != attempt.state:
        require(attempt.state, to, attempt.run_id)
    values = {**columns, "state": to, "version": attempt.version + 1, "changed_at": at}
    row = _compare_and_set(connection, tables.attempts, {"run_id": attempt.run_id}, attempt, values)
    if row is None:
        return None
    said = str(columns.get("reason") or "")
    log(
        connection, f"attempt:{attempt.run_id}", attempt.version + 1, attempt.state, to, actor, at, said
    )  # fmt: skip
    return attempt_of(row)


def log(
    connection: Connection, subject: str, version: int, before: str, after: str, actor: str, at: datetime,
    message: str, request: str | None = None,
) -> None:  # fmt: skip
    """The event of one version.

    :param request: what asked for it (a key of the inbox).
    :raises AlreadyDone: when that request was carried out before; the caller's transaction is taken back.
    """
    values = {
        "subject": subject, "version": version, "at": at, "actor": actor, "from_state": before,
        "to_state": after, "message": message, "request": request,
    }  # fmt: skip
    try:
        connection.execute(tables.merge_events.insert().values(**values))
    except IntegrityError as error:
        if request is None or "request" not in str(error.orig):
            raise
        raise AlreadyDone("that was done before; it is not done twice") from None


def read_attempt(connection: Connection, run_id: str) -> Attempt | None:
    """One attempt."""
    row = connection.execute(select(tables.attempts).filter_by(run_id=run_id)).mappings().first()
    return None if row is None else attempt_of(row)


def read_entries(connection: Connection, *conditions: Any) -> list[Entry]:
    """The entries that match, in the queue's order."""
    table = tables.entries
    query = select(table).where(*conditions)
    order = (table.c.priority.desc(), table.c.queued_at, table.c.id)
    return [entry_of(row) for row in connection.execute(query.order_by(*order)).mappings()]


def _compare_and_set(
    connection: Connection, table: Table, key: Mapping[str, Any], seen: Entry | Attempt,
    values: Mapping[str, Any],
) -> Mapping[Any, Any] | None:  # fmt: skip
    statement = update(table).filter_by(**key, version=seen.version, state=seen.state)
    return connection.execute(statement.values(**values).returning(*table.c)).mappings().first()
