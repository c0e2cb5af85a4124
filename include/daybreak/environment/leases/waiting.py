"""Who waits for which environment: a queue in the registry, first come, first served.

It excludes nobody by itself (the environment's row does, environments.md "State"): a turn is a lease, given
by a compare-and-set on the environment's row, which takes the waiting row away in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, or_, select, text

from daybreak.environment.machine import Environment, State
from daybreak.registry import tables
from daybreak.registry.clock import Clock, utc_now
from daybreak.registry.engine import insert_new

#: Whoever waits for this takes the first one that is free, with green e2e.
ANY = "any"
_TABLE = tables.waiting


@dataclass(frozen=True)
class Waiter:
    """One place in the queue; the order is that of ``id``."""

    id: int
    environment: str
    person: str
    since: datetime
    reason: str


_IN_ORDER = select(*(_TABLE.c[name] for name in Waiter.__dataclass_fields__)).order_by(_TABLE.c.id)


def good_for_any(env: Environment) -> bool:
    """Whether somebody who said `any` would be content with it: a dev environment with green e2e."""
    return env.role == "dev" and env.state is State.READY and env.verdict == "passed"


class Waiting:
    """The table `waiting`."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self.engine, self.clock = engine, clock

    def all(self) -> list[Waiter]:
        """Everybody, in order."""
        with self.engine.connect() as connection:
            return _all(connection)

    def join(self, environment: str, person: str, reason: str = "") -> int:
        """Take a place at the end, or keep the one that one has; returns how many are served before, plus 1.

        Somebody who waits for `any` is before everybody who came later, and the other way round.
        """
        values = {"environment": environment, "person": person, "since": self.clock(), "reason": reason}
        with self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # Ids in the order of commits: without it, two could be told the same place.
                connection.execute(text("LOCK TABLE waiting IN SHARE ROW EXCLUSIVE MODE"))
            insert_new(connection, _TABLE, values)
            return _position(_all(connection), environment, person)

    def position(self, environment: str, person: str) -> int | None:
        """The person's place, or ``None``."""
        waiters = self.all()
        if not any(each.environment == environment and each.person == person for each in waiters):
            return None
        return _position(waiters, environment, person)

    def leave(self, person: str, environment: str | None = None) -> list[str]:
        """Give up one's place, or all of them; returns for what one waited."""
        mine = [_TABLE.c.person == person]
        if environment is not None:
            mine.append(_TABLE.c.environment == environment)
        with self.engine.begin() as connection:
            gone = connection.execute(delete(_TABLE).where(*mine).returning(_TABLE.c.environment))
            return sorted(gone.scalars())


def first_in_line(
    connection: Connection, env: Environment, may_have: Callable[[Connection, str], bool]
) -> Waiter | None:
    """Whose turn it is to have ``env``.

    :param may_have: whether that person may take one more; who has all that one may have is passed over, and
        keeps the place.
    """
    for waiter in _all(connection):
        fits = waiter.environment == env.name or (waiter.environment == ANY and good_for_any(env))
        if fits and may_have(connection, waiter.person):
            return waiter
    return None


def served(connection: Connection, person: str, environment: str) -> None:
    """The person got the environment: they wait neither for it nor for any."""
    wanted = or_(_TABLE.c.environment == environment, _TABLE.c.environment == ANY)
    connection.execute(delete(_TABLE).where(_TABLE.c.person == person, wanted))


def take_place(connection: Connection, waiter: Waiter) -> bool:
    """Take that place away; ``False`` when it is gone already: served elsewhere, or left."""
    return connection.execute(delete(_TABLE).where(_TABLE.c.id == waiter.id)).rowcount == 1


def _all(connection: Connection) -> list[Waiter]:
    return [Waiter(**row) for row in connection.execute(_IN_ORDER).mappings()]


def _position(waiters: Sequence[Waiter], environment: str, person: str) -> int:
    before: set[str] = set()
    for each in waiters:
        if each.environment == environment and each.person == person:
            break
        if ANY in (each.environment, environment) or each.environment == environment:
            before.add(each.person)
    return len(before - {person}) + 1
