"""Nights in the registry: which run has which environment, and what was decided.

What must not overlap is kept here and by the environments' ops, never by Airflow: (night, environment) is one
row, and a run that wants it while another's work on it goes on is told so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update

from daybreak.environment.machine import moment
from daybreak.environment.steps import Steps
from daybreak.errors import DaybreakError, UsageError
from daybreak.registry import outbox, tables
from daybreak.registry.engine import insert_new


class NightBusy(DaybreakError):
    """Another run of the same night is at work on the environment."""

    code = "night_busy"


class LeftAlone(DaybreakError):
    """This run has nothing more to do with the environment: somebody kept it, or another run has it."""

    code = "left_alone"


class NightStatus(StrEnum):
    """How far a run is with one environment."""

    PLANNED = "planned"
    RUNNING = "running"
    #: Torn down; nothing happens until morning, so that a rebuild by hand may have it.
    WAITING = "waiting"
    DONE = "done"
    FAULTED = "faulted"


#: Another run of the night may take the environment over from these.
FREE = frozenset({NightStatus.WAITING, NightStatus.DONE, NightStatus.FAULTED})


@dataclass(frozen=True)
class NightRun:
    """One run of `nightly`: several may share a night, the scheduled one and rebuilds by hand."""

    run_id: str
    night: date
    commit: str | None
    catalog_digest: str | None
    #: The decisions, as they were taken first: a retry finds these.
    plan: Any
    decided_at: datetime
    finished_at: datetime | None
    report: Any

    @property
    def stopped(self) -> tuple[str, str] | None:
        """Code and message of what keeps the whole run from going on."""
        found = (self.report or {}).get("stopped")
        return (found["code"], found["message"]) if found else None


@dataclass(frozen=True)
class NightEnvironment:
    """Which run has an environment in a night, and with what decision."""

    night: date
    environment: str
    run_id: str
    decision: Mapping[str, Any]
    status: NightStatus
    updated_at: datetime
    detail: Mapping[str, Any]


class Nights(Steps):
    """The registry's tables `nights` and `night_environments`, and with them `steps`."""

    # Runs

    def open(
        self,
        night: date,
        run_id: str,
        *,
        commit: str | None = None,
        catalog_digest: str | None = None,
        plan: Any = None,
    ) -> NightRun:
        """Write down that a run decided. A repeated call gives what the first one wrote: it is pinned.

        :raises UsageError: when the run is known as one of another night.
        """
        values = {
            "run_id": run_id, "night": night, "commit": commit, "catalog_digest": catalog_digest,
            "plan": plan if plan is not None else [], "decided_at": self.clock(),
        }  # fmt: skip
        with self.engine.begin() as connection:
            insert_new(connection, tables.nights, values)
        found = self.get(run_id)
        if found.night != night:
            raise UsageError(f"run {run_id} belongs to the night {found.night}, not {night}")
        return found

    def get(self, run_id: str) -> NightRun:
        """One run.

        :raises UsageError: when it is unknown.
        """
        found = self.find(run_id)
        if found is None:
            raise UsageError(f"the registry has no night's run {run_id!r}")
        return found

    def find(self, run_id: str) -> NightRun | None:
        """One run, or ``None``."""
        return next(iter(self._runs(tables.nights.c.run_id == run_id)), None)

    def of(self, night: date) -> list[NightRun]:
        """The runs of a night, oldest first."""
        return self._runs(tables.nights.c.night == night)

    def latest(self) -> NightRun | None:
        """The run that decided last."""
        table = tables.nights
        query = select(table).order_by(table.c.decided_at.desc(), table.c.run_id.desc()).limit(1)
        with self.engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else NightRun(**row)

    def finish(self, run_id: str, report: Any, notice: outbox.Notice | None = None) -> NightRun:
        """Write the report, with what people are told of it; a repeated call replaces both."""
        table = tables.nights
        with self.engine.begin() as connection:
            connection.execute(
                update(table).where(table.c.run_id == run_id).values(report=report, finished_at=self.clock())
            )
            if notice is not None:
                outbox.put(connection, notice, self.clock(), replace=True)
        return self.get(run_id)

    def stop(self, run_id: str, code: str, message: str) -> None:
        """Write why the run cannot go on, for the verdicts and the report."""
        table = tables.nights
        with self.engine.begin() as connection:
            connection.execute(
                update(table)
                .where(table.c.run_id == run_id)
                .values(report={"stopped": {"code": code, "message": message}})
            )

    def resume(self, run_id: str) -> None:
        """What stopped the run is over: a later try succeeded."""
        table = tables.nights
        with self.engine.begin() as connection:
            connection.execute(update(table).where(table.c.run_id == run_id).values(report=None))

    # Environments of a night

    def claim(
        self,
        night: date,
        environment: str,
        run_id: str,
        decision: Mapping[str, Any],
        *,
        takeover: bool = False,
    ) -> NightEnvironment:
        """Make ``run_id`` the run that has the environment in this night.

        The same run gets its row back as it is. Another run gets it once the present one waits or is through.

        :param takeover: take it in any case; for a run that is known to be dead.
        :raises NightBusy: naming the run that has it.
        """
        values = {
            "run_id": run_id, "decision": dict(decision), "status": NightStatus.PLANNED,
            "updated_at": self.clock(), "detail": {},
        }  # fmt: skip
        table = tables.night_environments
        key = {"night": night, "environment": environment}
        with self.engine.begin() as connection:
            if not insert_new(connection, table, {**key, **values}):
                present = self._environment(connection, night, environment)
                if present.run_id != run_id:
                    taken = present.status in FREE or takeover
                    # One statement decides between two runs that both saw it free.
                    same = (table.c.run_id == present.run_id, table.c.status == present.status)
                    change = update(table).filter_by(**key).where(*same).values(**values)
                    if not taken or connection.execute(change).rowcount != 1:
                        raise self._busy(self._environment(connection, night, environment), run_id)
            return self._environment(connection, night, environment)

    def note(self, night: date, environment: str, run_id: str, decision: Mapping[str, Any]) -> None:
        """Write a decision not to touch the environment; whoever has it in this night keeps it."""
        values = {
            "night": night, "environment": environment, "run_id": run_id, "decision": dict(decision),
            "status": NightStatus.DONE, "updated_at": self.clock(), "detail": {},
        }  # fmt: skip
        with self.engine.begin() as connection:
            insert_new(connection, tables.night_environments, values)

    def mark(
        self,
        night: date,
        environment: str,
        run_id: str,
        status: NightStatus,
        detail: Mapping[str, Any] | None = None,
        *,
        connection: Connection | None = None,
    ) -> NightEnvironment:
        """Say how far ``run_id`` is with the environment; ``detail`` replaces what was there when given.

        :param connection: write in this transaction.
        :raises NightBusy: when another run has it by now.
        """
        table = tables.night_environments
        values: dict[str, Any] = {"status": status, "updated_at": self.clock()}
        if detail is not None:
            values["detail"] = dict(detail)
        key = {"night": night, "environment": environment}
        with self.writing(connection) as connection:
            change = update(table).filter_by(**key, run_id=run_id).values(**values)
            missed = connection.execute(change).rowcount == 0
            present = self._environment(connection, night, environment)
            if missed:
                raise self._busy(present, run_id)
            return present

    def environments(
        self, *, night: date | None = None, run_id: str | None = None, environment: str | None = None
    ) -> list[NightEnvironment]:
        """The rows that match, newest night first."""
        table = tables.night_environments
        wanted = {"night": night, "run_id": run_id, "environment": environment}
        query = select(table).filter_by(
            **{name: value for name, value in wanted.items() if value is not None}
        )
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.night.desc(), table.c.environment)).mappings()
            return [_night_environment(row) for row in rows]

    def abandon(self, run_id: str, why: str) -> list[str]:
        """A run is dead: what it had becomes free for others. Returns the environments.

        It says nothing about the environments' states; their ops expire by themselves.
        """
        table = tables.night_environments
        with self.engine.begin() as connection:
            dead = (table.c.run_id == run_id, table.c.status.not_in(FREE))
            values = {"status": NightStatus.FAULTED, "updated_at": self.clock(), "detail": {"abandoned": why}}
            rows = connection.execute(
                update(table).where(*dead).values(**values).returning(table.c.environment)
            )
            return sorted(name for (name,) in rows)

    def take(self, night: date, environment: str, run_id: str) -> None:
        """Before each step: ``run_id`` works on the environment now.

        :raises LeftAlone: when it was left to somebody, or another run has it by now, in this night or in a
            later one.
        """
        newest = self.environments(environment=environment)
        if newest and newest[0].night > night:
            raise LeftAlone(f"the night {night} is over for {environment}: {newest[0].run_id} had it since")
        found = self.environments(night=night, run_id=run_id, environment=environment)
        left = found[0].detail.get("left") if found else None
        if left:
            raise LeftAlone(str(left))
        try:
            self.mark(night, environment, run_id, NightStatus.RUNNING)
        except NightBusy as busy:
            raise LeftAlone(str(busy)) from None

    def leave(self, night: date, environment: str, run_id: str, why: str) -> None:
        """The run lets go of the environment as it is."""
        self.mark(night, environment, run_id, NightStatus.DONE, {"left": why})

    def _runs(self, condition: Any) -> list[NightRun]:
        table = tables.nights
        query = select(table).where(condition).order_by(table.c.decided_at, table.c.run_id)
        with self.engine.connect() as connection:
            return [NightRun(**row) for row in connection.execute(query).mappings()]

    def _environment(self, connection: Connection, night: date, environment: str) -> NightEnvironment:
        query = select(tables.night_environments).filter_by(night=night, environment=environment)
        row = connection.execute(query).mappings().first()
        if row is None:
            raise UsageError(f"no run has {environment} in the night {night}")
        return _night_environment(row)

    def _busy(self, present: NightEnvironment, run_id: str) -> NightBusy:
        return NightBusy(
            f"{run_id} cannot have {present.environment} in the night {present.night}: "
            f"{present.run_id} has it ({present.status} since {moment(present.updated_at)})"
        )


def _night_environment(row: Mapping[Any, Any]) -> NightEnvironment:
    return NightEnvironment(**{**row, "status": NightStatus(row["status"])})
