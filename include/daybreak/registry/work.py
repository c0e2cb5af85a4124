"""Rows that a worker claims, does and ends: what inbox and outbox have in common.

A claim is a compare-and-set on the row, with a token; a worker that was silent for :data:`ABANDONED` loses it
to the next one, and what it writes afterwards matches no row.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, delete, or_, select, update

from daybreak.registry.clock import Clock, utc_now

#: After so long without an end, a claimed row counts as left behind by a dead worker.
ABANDONED = timedelta(minutes=2)
#: The wait after the first failure doubles with each next one, up to the longest.
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=15)
#: So many failures of its own (about two hours with the waits above) and the row is given up, with its error.
ATTEMPTS = 14

WAITING, CLAIMED, DONE, FAILED = "waiting", "claimed", "done", "failed"


class WorkTable:
    """One such table."""

    table: ClassVar[Table]

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self.engine, self.clock = engine, clock

    def _claim(self, limit: int, *which: ColumnElement[bool]) -> list[Mapping[str, Any]]:
        """Rows that are due, oldest first, now claimed by the caller."""
        table, now = self.table, self.clock()
        due = or_(
            and_(table.c.status == WAITING, table.c.not_before <= now),
            and_(table.c.status == CLAIMED, table.c.claimed_at <= now - ABANDONED),
        )
        with self.engine.connect() as connection:
            query = select(table.c.key, table.c.claim).where(due, *which, *self._still_wanted(now))
            found = connection.execute(query.order_by(table.c.not_before, table.c.key).limit(limit)).all()
        claimed: list[Mapping[str, Any]] = []
        for key, claim in found:
            values = {"status": CLAIMED, "claim": secrets.token_hex(16), "claimed_at": now}
            with self.engine.begin() as connection:
                row = connection.execute(
                    update(table)
                    .where(table.c.key == key, table.c.claim.is_not_distinct_from(claim), due)
                    .values(**values)
                    .returning(*table.c)
                ).mappings().first()  # fmt: skip
            if row is not None:
                claimed.append(dict(row))
        return claimed

    def _still_wanted(self, now: datetime) -> list[Any]:
        return []

    def _end(self, connection: Connection, key: str, claim: str, **values: Any) -> bool:
        """Write how it ended; ``False`` when another worker has the row by now."""
        table = self.table
        change = update(table).where(table.c.key == key, table.c.claim == claim)
        return connection.execute(change.values(claim=None, claimed_at=None, **values)).rowcount == 1

    def _fail(self, key: str, claim: str, attempts: int, error: str, *, final: bool, **values: Any) -> bool:
        """It failed, after ``attempts`` failures before; it is due again later, unless that was the last."""
        over = final or attempts + 1 >= ATTEMPTS
        return self._put_off(
            key, claim, error, backoff(attempts), over=over, attempts=attempts + 1, **values
        )  # fmt: skip

    def _put_off(
        self, key: str, claim: str, error: str, wait: timedelta, *, over: bool, **values: Any
    ) -> bool:
        now = self.clock()
        with self.engine.begin() as connection:
            return self._end(
                connection, key, claim, status=FAILED if over else WAITING, error=error[:2000],
                not_before=now + wait, ended_at=now if over else None, **values,
            )  # fmt: skip

    def prune(self, older_than: timedelta) -> int:
        """Delete what ended longer ago than that; returns how many rows."""
        table = self.table
        old = table.c.ended_at < self.clock() - older_than
        with self.engine.begin() as connection:
            return connection.execute(delete(table).where(table.c.status.in_((DONE, FAILED)), old)).rowcount


def backoff(attempts: int) -> timedelta:
    """How long to wait after so many failures before: exponential."""
    return jittered(FIRST_WAIT * float(2 ** min(attempts, 20)))


def jittered(wait: timedelta) -> timedelta:
    """At most the longest wait, with full jitter on its upper half."""
    return min(LONGEST_WAIT, wait) * random.uniform(0.5, 1)  # noqa: S311 - spreads load, keeps no secret
