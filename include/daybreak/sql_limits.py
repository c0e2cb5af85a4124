"""Limits for every SQL session of ours: it waits for nobody for ever, and keeps nobody waiting.

A process that is stopped, or whose machine is gone, in the middle of a transaction keeps its locks: without
limits the retry, and every night after it, would wait behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, event

#: Seconds that a statement waits for a lock before it fails; the step's retry waits again.
LOCK_SECONDS = 60
#: Seconds after which the server ends a transaction of ours that does nothing, and with it its locks.
IDLE_SECONDS = 120
CONNECT_SECONDS = 10


def limited(engine: Engine, *, lock: int = LOCK_SECONDS, idle: int = IDLE_SECONDS) -> Engine:
    """Give every new session of ``engine`` the limits, in seconds; SQLite has a busy timeout of its own."""
    statements = _statements(lock, idle).get(engine.dialect.name, ())

    def limit(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    event.listen(engine, "connect", limit)
    return engine


def _statements(lock: int, idle: int) -> Mapping[str, tuple[str, ...]]:
    # https://mariadb.com/docs/server/server-management/variables-and-modes/server-system-variables
    # MySQL waits a year for a metadata lock by default.
    mysql = (
        f"SET SESSION lock_wait_timeout = {lock}",
        f"SET SESSION innodb_lock_wait_timeout = {lock}",
        f"SET SESSION wait_timeout = {idle}",
    )
    # https://www.postgresql.org/docs/current/runtime-config-client.html
    postgresql = (
        f"SET lock_timeout = '{lock}s'",
        f"SET idle_in_transaction_session_timeout = '{idle}s'",
    )
    return {"postgresql": postgresql, "mysql": mysql, "mariadb": mysql}
