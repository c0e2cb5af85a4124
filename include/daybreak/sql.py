"""SQL sessions of ours: none waits for ever or keeps others waiting, and a server may restart under them.

A process that is stopped, or whose machine is gone, in the middle of a transaction keeps its locks: without
limits the retry, and every night after it, would wait behind it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, event

log = logging.getLogger(__name__)

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


def patient(engine: Engine, seconds: float) -> Engine:
    """Let new sessions of ``engine`` wait up to ``seconds`` for a server that is away, as in a restart.

    What a wait does not heal (a wrong password, a database that is not there) fails at once. A transaction
    that was open fails all the same: its step is tried again.
    """

    def connect(_dialect: Any, _record: Any, arguments: Any, keywords: Any) -> Any:
        deadline, pause, said = time.monotonic() + seconds, 0.1, False
        while True:
            try:
                return engine.dialect.connect(*arguments, **keywords)
            except engine.dialect.loaded_dbapi.OperationalError as error:
                if not _is_away(str(error)) or time.monotonic() + pause > deadline:
                    raise
                if not said:
                    reason = str(error).strip().splitlines()[0]
                    log.warning("the database is away, waiting up to %.0f s for it: %s", seconds, reason)
                    said = True
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
                pause = min(pause * 2, 2.0)

    event.listen(engine, "do_connect", connect)
    return engine


def _is_away(message: str) -> bool:
    """Whether the server, and not what we asked of it, is the reason.

    PostgreSQL says FATAL where it answers and refuses; while it starts or stops it says that "the database
    system" does (errors 57P01 to 57P03, https://www.postgresql.org/docs/current/errcodes-appendix.html).
    """
    passing = ("the database system is", "terminating connection", "Can't connect to", "Lost connection")
    return "FATAL" not in message or any(words in message for words in passing)


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
