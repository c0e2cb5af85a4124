"""What becomes of those whose attempts end without a verdict, again and again: none keeps the others from the
lane for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from daybreak.merge.control import GANDALF
from daybreak.merge.protocol import CANCELLED, CUT_OFF, HELD, NOT_LANDED
from daybreak.merge.queue import whole
from daybreak.merge.rows import Attempt, Entry, attempt_of
from daybreak.merge.rules import EntryState
from daybreak.registry import merge_tables as tables

#: So many attempts an entry may have alone without a verdict.
TRIES = 3
#: Why an attempt ended that had begun to work and says nothing about its members.
CODES = frozenset({"tests_timed_out", "deploy_failed", "not_what_was_planned", CUT_OFF})
#: Of one that ended before, or after, or was stopped by people: neither for nor against its members.
_SILENT = frozenset({None, "not_begun", NOT_LANDED, CANCELLED, HELD})
#: How many of the last attempts are looked at.
_LAST = 200


@dataclass(frozen=True)
class Given:
    """What is written of an entry: its state, code and message of why, more columns; ``request`` as
    `write_entry` has it.
    """

    to: EntryState
    said: tuple[str, str]
    columns: dict[str, Any] = field(default_factory=dict)
    request: str | None = None


def given(connection: Connection, entry: Entry, attempt: Attempt) -> Given | None:
    """What becomes of a member that would go back into the queue as it was; ``None``: just that.

    A batch for which this is the second time is halved, as one that failed: its members come to be alone. One
    that was alone for the third time is rejected. Where a task died with it, it is held instead, since it
    may have been the worker's fault; `unhold` gives it three attempts more.
    """
    if attempt.reason_code not in CODES or entry.held_by is not None:
        return None
    earlier = [each for each in _earlier(connection, attempt) if each.reason_code not in _SILENT]
    why = (attempt.reason_code, attempt.reason or "")
    if len(attempt.members) > 1:
        before = next((each for each in earlier if attempt.members[0] in each.members), None)
        if before is None or before.reason_code not in CODES:
            return None
        columns = {"suspects": whole(attempt.run_id), "suspects_fail": True}
        return Given(EntryState.QUEUED, why, columns)
    alone = [attempt, *(each for each in earlier if each.members == attempt.members)][:TRIES]
    if len(alone) < TRIES or any(each.reason_code not in CODES for each in alone):
        return None
    said = f"{TRIES} attempts ended without a verdict, the last one: {attempt.reason}"
    if all(each.reason_code != CUT_OFF for each in alone):
        return Given(EntryState.REJECTED, ("no_verdict", said))
    if _held_after(connection, alone):
        return None
    said = f"{said}. Something in it may be what kills them; the logs of its runs tell"
    columns = {"held_by": GANDALF, "hold_reason": said}
    return Given(EntryState.QUEUED, ("held", f"held by {GANDALF}: {said}"), columns, _hold(attempt))


def _earlier(connection: Connection, attempt: Attempt) -> list[Attempt]:
    """Those before it, newest first."""
    table = tables.attempts
    query = select(table).where(table.c.run_id != attempt.run_id)
    found = connection.execute(query.order_by(table.c.created_at.desc()).limit(_LAST)).mappings()
    return [attempt_of(row) for row in found]


def _held_after(connection: Connection, attempts: Sequence[Attempt]) -> bool:
    """Whether the entry was held after one of them: that one was counted then."""
    events = tables.merge_events
    query = select(events.c.id).where(events.c.request.in_([_hold(each) for each in attempts]))
    return connection.execute(query).first() is not None


def _hold(attempt: Attempt) -> str:
    return f"hold/{attempt.run_id}"
