"""Deploys by hand in the registry: who asked for what, what ran before, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from daybreak.environment.bcd.request import Request
from daybreak.errors import UsageError
from daybreak.registry import outbox, tables
from daybreak.registry.clock import Clock, utc_now
from daybreak.registry.engine import insert_new

_TABLE = tables.bcd_runs


@dataclass(frozen=True)
class BcdRun:
    """One deploy by hand.

    :param detail: what its tries leave for each other: ``fence``, ``before``, ``was``, ``tokens`` (those of
        :class:`daybreak.aws.tokens.Tokens`) …
    :param report: how it ended, ``Report.to_json()``; ``None`` while it goes on.
    """

    run_id: str
    environment: str
    actor: str
    request: Mapping[str, Any]
    began_at: datetime
    ended_at: datetime | None
    outcome: str | None
    detail: Mapping[str, Any]
    report: Mapping[str, Any] | None

    @property
    def asked(self) -> Request:
        """What was asked for."""
        return Request.of(self.request)


class BcdRuns:
    """The table `bcd_runs`."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self.engine, self.clock = engine, clock

    def open(self, run_id: str, request: Request, actor: str, url: str = "") -> BcdRun:
        """A run begins, or a try of it begins again; what was asked for first stays.

        :param url: where people look at it.

        :raises UsageError: when the run is known as one of somebody else's, or of another environment.
        """
        values = {
            "run_id": run_id, "environment": request.environment, "actor": actor,
            "request": request.to_conf(), "began_at": self.clock(), "detail": {"url": url},
        }  # fmt: skip
        with self.engine.begin() as connection:
            insert_new(connection, _TABLE, values)
            again = update(_TABLE).filter_by(run_id=run_id).values(ended_at=None, outcome=None, report=None)
            connection.execute(again)
        found = self.get(run_id)
        if (found.environment, found.actor) != (request.environment, actor):
            raise UsageError(
                f"run {run_id} is {found.actor}'s, of {found.environment}; choose another run id"
            )
        return found

    def find(self, run_id: str) -> BcdRun | None:
        """One run, or ``None``."""
        with self.engine.connect() as connection:
            row = connection.execute(select(_TABLE).filter_by(run_id=run_id)).mappings().first()
        return None if row is None else BcdRun(**row)

    def get(self, run_id: str) -> BcdRun:
        """One run.

        :raises UsageError: when it is unknown.
        """
        found = self.find(run_id)
        if found is None:
            raise UsageError(f"the registry has no BCD {run_id!r}")
        return found

    def of(self, environment: str, limit: int = 20) -> list[BcdRun]:
        """The last ones of an environment, newest first."""
        query = select(_TABLE).filter_by(environment=environment).order_by(_TABLE.c.began_at.desc())
        with self.engine.connect() as connection:
            return [BcdRun(**row) for row in connection.execute(query.limit(limit)).mappings()]

    def unfinished(self) -> list[BcdRun]:
        """Those that nobody ended yet, oldest first: whether Airflow still knows them alive, ask Airflow."""
        query = select(_TABLE).where(_TABLE.c.ended_at.is_(None)).order_by(_TABLE.c.began_at)
        with self.engine.connect() as connection:
            return [BcdRun(**row) for row in connection.execute(query).mappings()]

    def note(
        self, run_id: str, *, once: bool = False, connection: Connection | None = None, **detail: Any
    ) -> None:
        """Remember something for later tries, under its key.

        :param once: what was remembered first stays.
        :param connection: write in this transaction; by default in one of its own.
        """
        with nullcontext(connection) if connection is not None else self.engine.begin() as connection:
            query = select(_TABLE.c.detail).filter_by(run_id=run_id).with_for_update()
            present = dict(connection.execute(query).scalar_one())
            both = {**detail, **present} if once else {**present, **detail}
            connection.execute(update(_TABLE).filter_by(run_id=run_id).values(detail=both))

    def end(
        self, run_id: str, outcome: str, report: Mapping[str, Any], notice: outbox.Notice | None = None
    ) -> bool:
        """Write how it ended, with what people are told of it; ``False`` when it was ended before."""
        with self.engine.begin() as connection:
            open_run = update(_TABLE).where(_TABLE.c.run_id == run_id, _TABLE.c.ended_at.is_(None))
            values = {"outcome": outcome, "report": dict(report), "ended_at": self.clock()}
            ended = connection.execute(open_run.values(**values)).rowcount == 1
            if ended and notice is not None:
                outbox.put(connection, notice, self.clock(), replace=True)
            return ended
