"""How schedules were before Daybreak switched them off, in the registry."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, delete, select

from daybreak.environment.records import Begin, Records
from daybreak.registry import tables
from daybreak.registry.clock import Clock, utc_now
from daybreak.registry.engine import insert_new


class ScheduleMemos(Records):
    """How one environment's schedules were before we switched them off.

    Written once and never overwritten: else the second night would remember "disabled" as the original.
    """

    def __init__(
        self, engine: Engine, environment: str, clock: Clock = utc_now, begin: Begin | None = None
    ) -> None:
        super().__init__(engine, clock, begin)
        self.environment = environment

    def get(self, identity: str) -> Any | None:
        """The memo of one schedule, or ``None``."""
        query = select(tables.schedule_memos.c.memo).filter_by(
            environment=self.environment, identity=identity
        )
        with self.engine.connect() as connection:
            return connection.execute(query).scalar()

    def put_once(self, identity: str, memo: Any) -> bool:
        """Remember a schedule, unless it is remembered already; says whether it was new."""
        values = {"environment": self.environment, "identity": identity, "memo": memo, "at": self.clock()}
        with self.begin() as connection:
            return insert_new(connection, tables.schedule_memos, values)

    def all(self) -> dict[str, Any]:
        """Every memo, by identity."""
        table = tables.schedule_memos
        query = select(table.c.identity, table.c.memo).filter_by(environment=self.environment)
        with self.engine.connect() as connection:
            return {row.identity: row.memo for row in connection.execute(query.order_by(table.c.identity))}

    def clear(self, environment: str | None = None) -> None:
        """Forget them: the schedules are on again, or gone.

        :param environment: for callers that name it; must be the one of this object.
        """
        if environment not in (None, self.environment):
            raise ValueError(f"these are the memos of {self.environment}, not of {environment}")
        table = tables.schedule_memos
        with self.begin() as connection:
            connection.execute(delete(table).where(table.c.environment == self.environment))
