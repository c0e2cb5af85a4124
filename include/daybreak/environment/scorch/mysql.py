"""MySQL and MariaDB: what is in a database, and how just that goes.

DDL is not transactional here: each object goes on its own, and a rerun goes on where it stopped. Objects have
no identity beyond their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection, text

from daybreak.aws.batches import batches
from daybreak.deploy import marker

SYSTEM = frozenset({"mysql", "sys", "information_schema", "performance_schema"})
#: Where to log in to see the list of databases.
HOME = "information_schema"

_OBJECTS = """
SELECT CASE table_type WHEN 'VIEW' THEN 'view' WHEN 'SEQUENCE' THEN 'sequence' ELSE 'table' END AS kind,
       table_name AS name
FROM information_schema.tables WHERE table_schema = DATABASE()
UNION ALL
SELECT LOWER(routine_type), routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()
UNION ALL
SELECT 'event', event_name FROM information_schema.events WHERE event_schema = DATABASE()
ORDER BY 1, 2
"""
#: Events first: they are writers.
_ORDER = ("event", "view", "table", "sequence", "procedure", "function")
_BATCH = 100


def databases(connection: Connection) -> list[str]:
    """The names of all databases of this server that this login may see."""
    query = text("SELECT schema_name FROM information_schema.schemata ORDER BY 1")
    return [str(name) for name in connection.scalars(query)]


def objects(connection: Connection) -> dict[str, int]:
    """Label (``table trips``) of each object in this database; the number is always 0."""
    found = {f"{row.kind} {row.name}": 0 for row in connection.execute(text(_OBJECTS))}
    found.pop(f"table {marker.TABLE}", None)
    return found


def drop(connection: Connection, planned: Mapping[str, int], ask: Callable[[], None]) -> set[str]:
    """Drop the planned objects that are there; returns their labels. Triggers go with their tables.

    :param ask: called before each statement, because each is committed on its own.
    """
    present = objects(connection)
    doomed = sorted(planned.keys() & present.keys())
    connection.execute(text("SET SESSION foreign_key_checks = 0"))
    connection.execute(text("SET SESSION lock_wait_timeout = 30"))
    for kind in _ORDER:
        names = [label.removeprefix(f"{kind} ") for label in doomed if label.startswith(f"{kind} ")]
        many = kind in {"table", "view", "sequence"}
        for batch in batches(names, _BATCH if many else 1):
            listed = ", ".join(_quoted(name) for name in batch)
            ask()
            connection.execute(text(f"DROP {kind.upper()} IF EXISTS {listed}"))
    connection.execute(text("SET SESSION foreign_key_checks = 1"))
    return set(doomed) - objects(connection).keys()


def _quoted(name: str) -> str:
    # Not the dialect's quoting: it doubles "%" for the driver, which text() does as well. text() takes
    # ":word" for a parameter.
    return "`" + name.replace("`", "``").replace(":", "\\:") + "`"
