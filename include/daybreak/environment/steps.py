"""The steps of nights in the registry: each that was taken, how often it was tried, and how it ended."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from statistics import median
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from daybreak.environment.machine import moment
from daybreak.errors import LostOp
from daybreak.registry import tables
from daybreak.registry.clock import Clock, utc_now
from daybreak.registry.engine import insert_new


class StepStatus(StrEnum):
    """How a step ended, or that it has not."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Step:
    """One step of a run on an environment; ``token`` is that of its latest try, ``seconds`` that try's
    length, ``tokens`` what AWS was asked under (:class:`daybreak.aws.tokens.Tokens`) by any of its tries.
    """

    night: date
    environment: str
    phase: str
    step: str
    run_id: str
    token: str
    status: StepStatus
    tries: int
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    detail: Mapping[str, Any]
    tokens: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Steps:
    """The registry's table `steps`."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self.engine, self.clock = engine, clock

    @contextmanager
    def writing(self, connection: Connection | None) -> Iterator[Connection]:
        """The transaction that was given, which goes on; or one of its own."""
        if connection is not None:
            yield connection
        else:
            with self.engine.begin() as own:
                yield own

    def step_started(
        self, night: date, environment: str, phase: str, step: str, run_id: str, token: str | None = None,
        connection: Connection | None = None,
    ) -> Step:  # fmt: skip
        """A try of a step begins; a repeated call is the next try.

        :param connection: write in this transaction, that in which its op began.
        :param token: the op's; a new one is made for a step without an op. An earlier try can write no more.
        """
        table = tables.steps
        key = {"night": night, "environment": environment, "phase": phase, "step": step, "run_id": run_id}
        values = {
            "token": token or secrets.token_hex(16), "status": StepStatus.RUNNING, "started_at": self.clock(),
            "ended_at": None, "seconds": None, "detail": {},
        }  # fmt: skip
        with self.writing(connection) as connection:
            if not insert_new(connection, table, {**key, **values, "tries": 1}):
                connection.execute(update(table).filter_by(**key).values(**values, tries=table.c.tries + 1))
            return _step(connection.execute(select(table).filter_by(**key)).mappings().one())

    def step_finished(
        self,
        step: Step,
        status: StepStatus,
        *,
        seconds: float | None = None,
        detail: Mapping[str, Any] | None = None,
        connection: Connection | None = None,
    ) -> Step:
        """The try ended.

        :param connection: write in this transaction, that in which its op ends.
        :param seconds: by default, since it started.
        :raises LostOp: when a later try began; this one's result is void.
        """
        now = self.clock()
        table = tables.steps
        key = _key(step)
        values = {
            "status": status, "ended_at": now, "detail": dict(detail or {}),
            "seconds": (now - step.started_at).total_seconds() if seconds is None else seconds,
        }  # fmt: skip
        if status is StepStatus.DONE:
            values["tokens"] = {}  # whatever was asked for is over
        with self.writing(connection) as connection:
            missed = (
                connection.execute(update(table).filter_by(**key, token=step.token).values(**values)).rowcount
                == 0
            )
            row = connection.execute(select(table).filter_by(**key)).mappings().one()
            if missed:
                raise LostOp(
                    f"{step.environment}: try {step.tries} of step {step.step} was overtaken by "
                    f"try {row['tries']} at {moment(row['started_at'])}; its result does not count"
                )
            return _step(row)

    def keep_tokens(self, step: Step, tokens: Mapping[str, Mapping[str, str]]) -> None:
        """Write down under which tokens AWS is asked.

        :raises LostOp: when a later try began.
        """
        table = tables.steps
        values = {"tokens": {thing: dict(kept) for thing, kept in tokens.items()}}
        with self.engine.begin() as connection:
            change = update(table).filter_by(**_key(step), token=step.token).values(**values)
            missed = connection.execute(change).rowcount == 0
        if missed:
            raise LostOp(f"{step.environment}: a later try of step {step.step} is at work")

    def steps(
        self, run_id: str | None = None, *, night: date | None = None, environment: str | None = None
    ) -> list[Step]:
        """The steps that match, in the order in which they started."""
        table = tables.steps
        wanted = {"night": night, "run_id": run_id, "environment": environment}
        query = select(table).filter_by(
            **{name: value for name, value in wanted.items() if value is not None}
        )
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.started_at, table.c.environment, table.c.step))
            return [_step(row) for row in rows.mappings()]

    def is_done(self, night: date, environment: str, phase: str, step: str, run_id: str) -> bool:
        """Whether this run already did, or left out, that step: a resumed run goes on behind it."""
        table = tables.steps
        query = select(table.c.status).filter_by(
            night=night, environment=environment, phase=phase, step=step, run_id=run_id
        )
        with self.engine.connect() as connection:
            return connection.execute(query).scalar() in (StepStatus.DONE, StepStatus.SKIPPED)

    def usual_seconds(self, phase: str, step: str, *, nights: int = 10) -> float | None:
        """The median length of a step over its last ``nights`` nights; ``None`` when it was never done."""
        table = tables.steps
        done = (table.c.phase == phase, table.c.step == step, table.c.status == StepStatus.DONE)
        recent = select(table.c.night).where(*done).distinct().order_by(table.c.night.desc()).limit(nights)
        with self.engine.connect() as connection:
            seconds = (
                connection.execute(select(table.c.seconds).where(*done, table.c.night.in_(recent)))
                .scalars()
                .all()
            )
        return median(value for value in seconds if value is not None) if seconds else None


def _key(step: Step) -> dict[str, Any]:
    return {
        "night": step.night, "environment": step.environment, "phase": step.phase, "step": step.step,
        "run_id": step.run_id,
    }  # fmt: skip


def _step(row: Mapping[Any, Any]) -> Step:
    return Step(**{**row, "status": StepStatus(row["status"])})
