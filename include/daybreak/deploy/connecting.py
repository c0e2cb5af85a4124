"""Connections to the databases of environments, which wait for nobody for ever and keep nobody waiting.

A process that is stopped, or whose machine is gone, in the middle of a transaction keeps its locks: without
limits the retry, and every night after it, would wait behind it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.pool import NullPool

#: Seconds that a statement waits for a lock before it fails; the step's retry waits again.
LOCK_SECONDS = 60
#: Seconds after which the server ends a session of ours that does nothing, and with it its locks.
IDLE_SECONDS = 120
CONNECT_SECONDS = 10

_LIMITS = {
    # https://www.postgresql.org/docs/current/runtime-config-client.html
    "postgresql": (
        f"SET lock_timeout = '{LOCK_SECONDS}s'",
        f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'",
    ),
    # https://mariadb.com/docs/server/server-management/variables-and-modes/server-system-variables
    # MySQL waits a year for a metadata lock by default.
    "mysql": (
        f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}",
        f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}",
        f"SET SESSION wait_timeout = {IDLE_SECONDS}",
    ),
}
_LIMITS["mariadb"] = _LIMITS["mysql"]


def engine(url: str | URL) -> Engine:
    """An engine without a pool: nothing stays open behind a step. The URL is secret: never log it."""
    parsed = make_url(url)
    made = create_engine(parsed, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS})
    limits = _LIMITS.get(parsed.get_backend_name(), ())

    def limit(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for statement in limits:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    event.listen(made, "connect", limit)
    return made
