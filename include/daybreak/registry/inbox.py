"""What came in: recorded once for each request, acknowledged at once, worked on after that.

Slack repeats a delivery up to three times, GitHub lets a person redeliver; the same key is the same request.
A worker that dies in the middle leaves its claim behind and the request is worked on again: its effect is
kept to one by the key, which the environment's event carries (`Change.request`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from daybreak.registry import tables
from daybreak.registry.engine import insert_new
from daybreak.registry.work import DONE, WAITING, WorkTable


@dataclass(frozen=True)
class Received:
    """One request in a worker's hand.

    :param key: of the request, unique over all sources (``slack/…``, ``github/…``).
    :param attempts: how often it failed before.
    """

    key: str
    source: str
    payload: Mapping[str, Any]
    received_at: datetime
    attempts: int
    claim: str


class Inbox(WorkTable):
    """The table `inbox`."""

    table = tables.inbox

    def record(
        self, key: str, source: str, payload: Mapping[str, Any], *, connection: Connection | None = None
    ) -> bool:
        """Write a request down; ``False`` when it was known already.

        :param connection: of a transaction to take part in; by default one of its own.
        """
        now = self.clock()
        values = {
            "key": key, "source": source, "payload": dict(payload), "received_at": now, "status": WAITING,
            "attempts": 0, "not_before": now,
        }  # fmt: skip
        if connection is not None:
            return insert_new(connection, self.table, values)
        with self.engine.begin() as own:
            return insert_new(own, self.table, values)

    def claim(self, limit: int = 10, *, source: str) -> list[Received]:
        """Take requests of one source to work on; each ends with `done` or `failed`."""
        return [
            Received(**{name: row[name] for name in Received.__dataclass_fields__})
            for row in self._claim(limit, self.table.c.source == source)
        ]

    def since(self, at: datetime, *, source: str) -> list[Mapping[str, Any]]:
        """What was received after that, worked on or not, in its order."""
        columns = (self.table.c.payload,)
        query = select(*columns).where(self.table.c.source == source, self.table.c.received_at > at)
        with self.engine.connect() as connection:
            return list(connection.execute(query.order_by(self.table.c.received_at)).scalars())

    def done(self, received: Received) -> bool:
        """It was worked on; ``False`` when another worker took it over meanwhile."""
        with self.engine.begin() as connection:
            return self._end(
                connection, received.key, received.claim, status=DONE, ended_at=self.clock(), error=None
            )

    def failed(self, received: Received, error: str, *, final: bool = False) -> bool:
        """It could not be worked on: later again, unless ``final`` or tried too often."""
        return self._fail(received.key, received.claim, received.attempts, error, final=final)

    def prune(self, older_than: timedelta = timedelta(days=7)) -> int:
        """Forget requests that ended; long after anybody would deliver them again."""
        return super().prune(older_than)
