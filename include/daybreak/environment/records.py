"""What the registry remembers beside states and nights: runs, builds, deployments, plans, switches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from statistics import median
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, tuple_, update

from daybreak.errors import UsageError
from daybreak.registry import tables
from daybreak.registry.clock import Clock, utc_now
from daybreak.registry.engine import insert_new, upsert


@dataclass(frozen=True)
class Run:
    """What a run (nightly, bcd, pr_e2e …) was told to do, pinned before its first step."""

    run_id: str
    kind: str
    commit: str
    catalog_digest: str
    plan: Any
    pinned_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class Deployment:
    """One resource reached one environment; without a key it was taken away."""

    environment: str
    resource: str
    key: str | None
    commit: str | None
    run_id: str | None
    at: datetime


@dataclass(frozen=True)
class BuildPart:
    """One of the things that are done for a content key: ``build``, or ``test``, its unit tests.

    :param at: when it ended.
    """

    what: str
    status: str
    seconds: float
    at: datetime
    run_id: str | None


@dataclass(frozen=True)
class Build:
    """How the artifact of one content key came about, or why it did not.

    ``status``, ``seconds``, ``run_id`` and ``at`` are those of the part that was done last; ``detail`` holds
    each part under its name.
    """

    resource: str
    key: str
    commit: str
    run_id: str | None
    status: str
    seconds: float
    at: datetime
    detail: Mapping[str, Any]

    @property
    def parts(self) -> list[BuildPart]:
        """What was done, in the order in which it ended."""
        found = [
            BuildPart(
                what, part["status"], part["seconds"], datetime.fromisoformat(part["at"]), part["run_id"]
            )
            for what, part in self.detail.items()
        ]
        return sorted(found, key=lambda part: part.at)


@dataclass(frozen=True)
class Switch:
    """Somebody switched something: armed an account, pulled the brake."""

    by: str
    at: datetime
    reason: str = ""


class PlanStatus(StrEnum):
    """What became of a scorch plan."""

    DRY_RUN = "dry_run"
    #: Being carried out, or cut off in the middle: whoever comes next goes on with it.
    STARTED = "started"
    EXECUTED = "executed"
    REFUSED = "refused"


#: Opens a transaction to write in: by default one of the engine's, for a step `Environments.fenced`.
Begin = Callable[[], AbstractContextManager[Connection]]


class Records:
    """One table, and the clock of what is written into it."""

    def __init__(self, engine: Engine, clock: Clock = utc_now, begin: Begin | None = None) -> None:
        self.engine, self.clock, self.begin = engine, clock, begin or engine.begin


class Runs(Records):
    """Pinned plans."""

    def pin(self, run_id: str, *, kind: str, commit: str, catalog_digest: str, plan: Any) -> Run:
        """Pin what the run will do. A repeated call gives what was pinned first, whatever it says now."""
        values = {
            "run_id": run_id, "kind": kind, "commit": commit, "catalog_digest": catalog_digest, "plan": plan,
            "pinned_at": self.clock(),
        }  # fmt: skip
        with self.engine.begin() as connection:
            insert_new(connection, tables.runs, values)
        return self.get(run_id)

    def get(self, run_id: str) -> Run:
        """One run.

        :raises UsageError: when nothing was pinned for it.
        """
        with self.engine.connect() as connection:
            row = connection.execute(select(tables.runs).filter_by(run_id=run_id)).mappings().first()
        if row is None:
            raise UsageError(f"nothing is pinned for run {run_id!r}")
        return Run(**row)

    def finish(self, run_id: str) -> None:
        """The run needs its plan no more."""
        table = tables.runs
        with self.engine.begin() as connection:
            open_run = (table.c.run_id == run_id, table.c.finished_at.is_(None))
            connection.execute(update(table).where(*open_run).values(finished_at=self.clock()))

    def unfinished(self) -> list[Run]:
        """The runs whose plans still count, oldest first."""
        table = tables.runs
        query = select(table).where(table.c.finished_at.is_(None)).order_by(table.c.pinned_at, table.c.run_id)
        with self.engine.connect() as connection:
            return [Run(**row) for row in connection.execute(query).mappings()]


class Deployments(Records):
    """The history of what was deployed where; append-only."""

    def record(
        self, environment: str, resource: str, key: str | None, commit: str | None, run_id: str | None = None
    ) -> None:
        """Write that ``resource`` now runs with ``key``, or, without one, that it was taken away.

        A run that says it again, because it was killed before it was through, writes nothing.
        """
        values = {"resource": resource, "key": key, "commit": commit, "run_id": run_id}
        table = tables.deployments
        same = (table.c.environment == environment, table.c.resource == resource)
        last = select(*(table.c[name] for name in values)).where(*same).order_by(table.c.id.desc()).limit(1)
        with self.begin() as connection:
            said = connection.execute(last).mappings().first()
            if run_id is None or said is None or dict(said) != values:
                connection.execute(table.insert().values(**values, environment=environment, at=self.clock()))

    def removed(self, environment: str, run_id: str | None = None) -> None:
        """Write that nothing runs in the environment any more."""
        gone = [
            {"environment": environment, "resource": name, "run_id": run_id, "at": self.clock()}
            for name in self.current(environment)
        ]
        with self.begin() as connection:
            if gone:
                connection.execute(tables.deployments.insert(), gone)

    def current(self, environment: str) -> dict[str, Deployment]:
        """What was deployed last, by resource. What really runs, only the fingerprint knows."""
        table = tables.deployments
        last = (
            select(func.max(table.c.id)).where(table.c.environment == environment).group_by(table.c.resource)
        )
        with self.engine.connect() as connection:
            rows = connection.execute(_deployments().where(table.c.id.in_(last)).order_by(table.c.resource))
            found = [Deployment(**row) for row in rows.mappings()]
        return {deployment.resource: deployment for deployment in found if deployment.key is not None}

    def history(self, environment: str, resource: str, limit: int = 20) -> list[Deployment]:
        """The last deployments of one resource, newest first: what one can go back to."""
        table = tables.deployments
        query = _deployments().filter_by(environment=environment, resource=resource)
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.id.desc()).limit(limit)).mappings()
            return [Deployment(**row) for row in rows]


class Builds(Records):
    """One row for each content key that was built."""

    def record(
        self,
        resource: str,
        key: str,
        *,
        commit: str,
        status: str,
        seconds: float,
        run_id: str | None = None,
        what: str = "build",
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Write how a build, or its unit tests, ended just now; a later try of the same replaces it.

        ``reused`` writes nothing: how the artifact came about stays written.

        :param what: which part: ``build`` or ``test``.
        :param seconds: what it took.
        """
        if status == "reused":
            return
        now = self.clock()
        part = {
            **(detail or {}), "status": status, "seconds": seconds, "at": now.isoformat(), "run_id": run_id,
        }  # fmt: skip
        key_of = {"resource": resource, "key": key}
        with self.engine.begin() as connection:
            present = select(tables.builds.c.detail).filter_by(**key_of).with_for_update()
            parts = connection.execute(present).scalar() or {}
            values = {
                "commit": commit, "run_id": run_id, "status": status, "seconds": seconds, "at": now,
                "detail": {**parts, what: part},
            }  # fmt: skip
            upsert(connection, tables.builds, key_of, values)

    def find(self, resource: str, key: str) -> Build | None:
        """How that key was built, if it was."""
        with self.engine.connect() as connection:
            row = (
                connection.execute(select(tables.builds).filter_by(resource=resource, key=key))
                .mappings()
                .first()
            )
        return None if row is None else Build(**row)

    def latest(self) -> list[Build]:
        """How each resource was built last."""
        table = tables.builds
        last = select(table.c.resource, func.max(table.c.at)).group_by(table.c.resource)
        with self.engine.connect() as connection:
            rows = connection.execute(select(table).where(tuple_(table.c.resource, table.c.at).in_(last)))
            return [Build(**row) for row in rows.mappings()]

    def known(self, keys: Mapping[str, str]) -> list[Build]:
        """How these artifacts came about, those that were made by us.

        :param keys: content keys by resource.
        """
        table = tables.builds
        wanted = tuple_(table.c.resource, table.c.key).in_(list(keys.items()))
        query = select(table).where(wanted).order_by(table.c.at, table.c.resource)
        with self.engine.connect() as connection:
            return [Build(**row) for row in connection.execute(query).mappings()]

    def of(self, run_id: str) -> list[Build]:
        """What a run did last for a key, in order."""
        table = tables.builds
        query = select(table).filter_by(run_id=run_id).order_by(table.c.at, table.c.resource)
        with self.engine.connect() as connection:
            return [Build(**row) for row in connection.execute(query).mappings()]


class ScorchPlans(Records):
    """What was, or would have been, deleted; and how much is usual."""

    def record(
        self,
        night: date,
        environment: str,
        phase: str,
        *,
        digest: str,
        size: int,
        plan: Any,
        status: PlanStatus,
        run_id: str | None = None,
    ) -> None:
        """Write a plan and what became of it; the same plan again only changes that.

        :param size: in the measure that the next nights' plans are compared in, ``ScorchPlan.size``.
        :param plan: the whole plan as JSON, so that one that was cut off can be gone on with.
        """
        key = {"night": night, "environment": environment, "phase": phase, "digest": digest}
        values = {
            "run_id": run_id, "status": status, "size": size, "items": plan, "at": self.clock(),
        }  # fmt: skip
        with self.begin() as connection:
            upsert(connection, tables.scorch_plans, key, values)

    def unfinished(self, environment: str, phase: str) -> list[tuple[date, Any]]:
        """The plans that were begun and not ended, each with its night, oldest first."""
        table = tables.scorch_plans
        query = (
            select(table.c.night, table.c["items"])
            .filter_by(environment=environment, phase=phase, status=PlanStatus.STARTED)
            .order_by(table.c.at)
        )
        with self.engine.connect() as connection:
            return [(night, plan) for night, plan in connection.execute(query)]

    def usual_size(self, environment: str, phase: str, *, before: date, nights: int = 10) -> float | None:
        """The median size of the plans of the last ``nights`` nights before that date; ``None`` when there
        are none.

        Refused plans do not count: else a plan that is too large would be believed after a few nights.
        """
        table = tables.scorch_plans
        query = (
            select(func.max(table.c.size))
            .where(
                table.c.environment == environment,
                table.c.phase == phase,
                table.c.night < before,
                table.c.status != PlanStatus.REFUSED,
            )
            .group_by(table.c.night)
            .order_by(table.c.night.desc())
            .limit(nights)
        )
        with self.engine.connect() as connection:
            sizes = connection.execute(query).scalars().all()
        return float(median(sizes)) if sizes else None


class Switches(Records):
    """What people allow or forbid: armed accounts, and the brake."""

    def arm(self, account: str, by: str) -> None:
        """Allow real deletions in an account; who did it first stays written."""
        with self.engine.begin() as connection:
            insert_new(connection, tables.arms, {"account": account, "by": by, "at": self.clock()})

    def disarm(self, account: str) -> None:
        """Make every deletion in an account a dry run again."""
        with self.engine.begin() as connection:
            connection.execute(delete(tables.arms).where(tables.arms.c.account == account))

    def armed(self, account: str) -> Switch | None:
        """Who armed the account and when, or ``None``."""
        query = select(tables.arms.c.by, tables.arms.c.at).filter_by(account=account)
        with self.engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else Switch(*row)

    def is_armed(self, account: str) -> bool:
        """Whether real deletions are allowed there."""
        return self.armed(account) is not None

    def freeze(self, by: str, reason: str) -> None:
        """Pull the brake: nothing is deleted any more, anywhere. The first one's name and reason stay."""
        values = {"name": "freeze", "by": by, "at": self.clock(), "reason": reason}
        with self.engine.begin() as connection:
            insert_new(connection, tables.flags, values)

    def thaw(self) -> None:
        """Release the brake."""
        with self.engine.begin() as connection:
            connection.execute(delete(tables.flags).where(tables.flags.c.name == "freeze"))

    def frozen(self) -> Switch | None:
        """Who pulled the brake, when and why, or ``None``."""
        table = tables.flags
        query = select(table.c.by, table.c.at, table.c.reason).filter_by(name="freeze")
        with self.engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else Switch(*row)

    def is_frozen(self) -> bool:
        """Whether the brake is pulled."""
        return self.frozen() is not None


def _deployments() -> Any:
    return select(*(tables.deployments.c[field] for field in Deployment.__dataclass_fields__))
