"""The registry's rows of environments: reading them, and the one way to write them.

Every write is a compare-and-set on one row, with its event in the same transaction. Why one row: what
excludes each other (state, lease, op) stands in it, and an UPDATE with its conditions in WHERE is race-free
on PostgreSQL's READ COMMITTED as on SQLite. Designs with a second table are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Select, bindparam, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from daybreak.environment import uptime
from daybreak.environment.machine import Environment, NonceTaken, StaleState, State, explain
from daybreak.errors import DaybreakError, UsageError
from daybreak.registry import tables
from daybreak.registry.clock import Clock, utc_now
from daybreak.registry.engine import insert_new
from daybreak.settings import EnvironmentSettings

Kind = Literal[
    "created", "transition", "begin", "update", "finish", "fault", "unfault", "nonce",
    "lock", "extend", "release", "expire", "give", "turn", "take", "preserve", "unpreserve",
]  # fmt: skip

_TABLE = tables.environments
# Built once: to name forty columns costs as much as to ask the database for them.
_ROWS = select(_TABLE)
_BY_NAME = _ROWS.where(_TABLE.c.name == bindparam("named"))
_HELD = _ROWS.where(_TABLE.c.lease_owner == bindparam("person"), _TABLE.c.lease_until > bindparam("now"))
_UNLEASED = _ROWS.where(
    _TABLE.c.role == bindparam("of_role"),
    or_(_TABLE.c.lease_owner.is_(None), _TABLE.c.lease_until <= bindparam("now")),
)
_NO_FAULT: Mapping[str, None] = dict.fromkeys(("fault_code", "fault_message", "fault_at"))
#: Each lost compare-and-set means that another writer got through; so many in one moment is a fault of its
#: own.
_ROUNDS = 100


#: Runs in the transaction of a write that won, with the row before and after; an error takes it all back.
Also = Callable[[Connection, Environment, Environment], object]


class AlreadyDone(DaybreakError):
    """The request was carried out before; it was delivered once more."""

    code = "already_done"


@dataclass(frozen=True)
class Change:
    """One write: the columns to set (``state`` among them when it changes), and what the event says.

    :param also: what belongs to the same transaction: telling people, counting, the queue.
    :param request: what asked for it; a second write for the same request is refused.
    """

    kind: Kind
    actor: str
    columns: Mapping[str, Any]
    message: str = ""
    also: Sequence[Also] = ()
    request: str | None = None


@dataclass(frozen=True)
class Event:
    """One line of an environment's history; append-only, one for each version."""

    environment: str
    version: int
    at: datetime
    actor: str
    kind: str
    from_state: State
    to_state: State
    fence: int
    message: str
    request: str | None = None


class Rows:
    """Reads rows of environments, and writes them only as they were read.

    A lost compare-and-set is never repeated blindly: the row is read again and the caller's conditions are
    judged anew, which ends in a write that is right now, or in an error that names who was faster.
    """

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self.engine, self.clock = engine, clock

    # Reading

    def find(self, name: str) -> Environment | None:
        """The row of that name, or ``None``."""
        with self.engine.connect() as connection:
            return _read(connection, name)

    def get(self, name: str) -> Environment:
        """The row of that name.

        :raises UsageError: when the registry does not know it.
        """
        found = self.find(name)
        if found is None:
            raise UsageError(f"the registry has no environment {name!r}; is it in daybreak.yaml?")
        return found

    def all(self) -> list[Environment]:
        """Every row, by name."""
        return self._found(_ROWS)

    def held(self, person: str) -> list[Environment]:
        """What the person has now, by name."""
        return self._found(_HELD, person=person, now=self.clock())

    def unleased(self, role: str) -> list[Environment]:
        """What nobody has now, of the environments of that role, by name."""
        return self._found(_UNLEASED, of_role=role, now=self.clock())

    def _found(self, query: Select[Any], **values: Any) -> list[Environment]:
        with self.engine.connect() as connection:
            rows = connection.execute(query, values).mappings()
            return sorted(map(environment_of, rows), key=lambda row: row.name)

    def events(self, name: str | None = None, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """The oldest ``limit`` events whose version is above ``after``, of one environment or of all."""
        table = tables.events
        query = select(*(table.c[field] for field in Event.__dataclass_fields__)).where(
            table.c.version > after
        )
        if name is not None:
            query = query.where(table.c.environment == name)
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.id).limit(limit)).mappings()
            return [_event(row) for row in rows]

    def last_events(self, name: str, limit: int) -> list[Event]:
        """The newest events of an environment, newest first."""
        table = tables.events
        query = select(*(table.c[field] for field in Event.__dataclass_fields__)).filter_by(environment=name)
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.id.desc()).limit(limit)).mappings()
            return [_event(row) for row in rows]

    def carried_out(self, request: str) -> list[Event]:
        """The events that a request caused: none when it was not carried out yet."""
        table = tables.events
        own = or_(table.c.request == request, table.c.request.startswith(f"{request}#", autoescape=True))
        query = select(*(table.c[field] for field in Event.__dataclass_fields__)).where(own)
        with self.engine.connect() as connection:
            return [_event(row) for row in connection.execute(query.order_by(table.c.id)).mappings()]

    # Writing

    def ensure(self, settings: EnvironmentSettings, actor: str = "daybreak") -> Environment:
        """The row of an environment of the settings; a new one is ABSENT.

        :raises UsageError: when the row belongs to another account or region: what is there must go first.
        """
        now = self.clock()
        values = {
            "name": settings.name, "account": settings.account, "region": settings.region,
            "role": settings.role, "state": State.ABSENT, "state_since": now, "version": 1, "changed_at": now,
            "changed_by": actor, "fence": 0,
        }  # fmt: skip
        with self.engine.begin() as connection:
            if insert_new(connection, _TABLE, values):
                change = Change("created", actor, {}, f"account {settings.account}, {settings.region}")
                row = environment_of(values)
                _log(connection, row, row, change, now)
        row = self.get(settings.name)
        if (row.account, row.region) == (settings.account, settings.region) and row.role == settings.role:
            return row
        if row.state != State.ABSENT and (row.account, row.region) != (settings.account, settings.region):
            raise UsageError(
                f"{row.name} is {row.state} in account {row.account}, {row.region}, but daybreak.yaml says "
                f"{settings.account}, {settings.region}. Tear it down with the old settings first."
            )
        moved = {"account": settings.account, "region": settings.region, "role": settings.role}
        return self.change(settings.name, lambda env: Change("update", actor, moved, "daybreak.yaml changed"))

    def change(self, name: str, decide: Callable[[Environment], Change | None]) -> Environment:
        """Write what ``decide`` says about the row as it is; ``None`` writes nothing.

        ``decide`` is called again on the new row when another writer was faster, and may raise.
        """
        for _ in range(_ROUNDS):
            with self._writing() as connection:
                env = _read(connection, name)
                if env is None:
                    raise UsageError(f"the registry has no environment {name!r}; is it in daybreak.yaml?")
                change = decide(env)
                if change is None:
                    return env
                written = self._write(connection, env, change)
                if written is not None:
                    return written
        raise StaleState(
            f"{name} changes faster than it can be written: {explain(self.get(name), self.clock())}"
        )

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except IntegrityError as error:
            if "nonce" in str(error.orig):
                raise NonceTaken(
                    "another environment has this nonce already; each provisioning needs its own"
                ) from None
            if "request" in str(error.orig):
                raise AlreadyDone("that was done before; it is not done twice") from None
            raise

    def _write(
        self, connection: Connection, env: Environment, change: Change, *, any_beat: bool = False
    ) -> Environment | None:
        """The compare-and-set: ``None`` when the row is no longer ``env``.

        A heartbeat is no new version, but whoever judged the op dead must lose against it. ``any_beat``: the
        writer is the op itself.
        """
        now = self.clock()
        columns = {
            **change.columns,
            "version": env.version + 1,
            "changed_at": now,
            "changed_by": change.actor,
        }
        to = State(columns.get("state", env.state))
        if to != env.state:
            columns["state_since"] = now
            if env.state == State.FAULTED:
                columns |= _NO_FAULT
            if to == State.ABSENT:  # what was there is not there any more
                columns |= {"commit": None, "verdict": None, "verdict_at": None}
        if columns.get("verdict") is not None:
            columns["verdict_at"] = now
        row = connection.execute(
            update(_TABLE)
            .where(
                _TABLE.c.name == env.name,
                _TABLE.c.state == env.state,
                _TABLE.c.version == env.version,
                _TABLE.c.fence == env.fence,
                _TABLE.c.op_token.is_not_distinct_from(env.op_token),
                true() if any_beat else _TABLE.c.op_heartbeat_at.is_not_distinct_from(env.op_heartbeat_at),
            )
            .values(**columns)
            .returning(*_TABLE.c)
        ).mappings().first()  # fmt: skip
        if row is None:
            return None
        written = environment_of(row)
        _log(connection, env, written, change, now)
        if env.state == State.ABSENT != to:
            uptime.opened(connection, env.name, now)
        elif to == State.ABSENT != env.state:
            uptime.closed(connection, env.name, now)
        for act in change.also:
            act(connection, env, written)
        return written


def _read(connection: Connection, name: str) -> Environment | None:
    row = connection.execute(_BY_NAME, {"named": name}).mappings().first()
    return None if row is None else environment_of(row)


def environment_of(row: Mapping[Any, Any]) -> Environment:
    """A row of the table, as it was read."""
    return Environment(**{**row, "state": State(row["state"])})


def _event(row: Mapping[Any, Any]) -> Event:
    return Event(**{**row, "from_state": State(row["from_state"]), "to_state": State(row["to_state"])})


def _log(
    connection: Connection, before: Environment, after: Environment, change: Change, now: datetime
) -> None:
    connection.execute(
        tables.events.insert().values(
            environment=after.name, version=after.version, at=now, actor=change.actor, kind=change.kind,
            from_state=before.state, to_state=after.state, fence=after.fence, message=change.message,
            request=change.request,
        )
    )  # fmt: skip
