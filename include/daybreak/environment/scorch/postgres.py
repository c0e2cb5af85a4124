"""PostgreSQL: what is in a database, and how just that goes, in one transaction.

Objects are recognised by their oid, so one that was made after the plan under an old name stays. Members of
extensions, the marker, the schema ``public`` with its grants, and system schemas are no objects here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Connection, text

SYSTEM = frozenset({"postgres", "template0", "template1", "rdsadmin"})
#: Where to log in to see the list of databases.
HOME = "postgres"
#: How long a writer may hold us up; after that the database is left as it is.
LOCK_TIMEOUT = "30s"

_OBJECTS = """
WITH ours AS (
  SELECT n.oid, n.nspname FROM pg_namespace n
  WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid
                    AND d.deptype = 'e')
)
SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
                      WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table' END AS kind,
       format('%I.%I', n.nspname, c.relname) AS name, c.oid AS id
FROM pg_class c JOIN ours n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'c')
  AND NOT (n.nspname = 'public' AND c.relname = 'daybreak_marker')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND (d.deptype = 'e' OR (c.relkind = 'S' AND d.deptype IN ('a', 'i'))))
UNION ALL
SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
       format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.oid
FROM pg_proc p JOIN ours n ON n.oid = p.pronamespace
WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                  AND d.deptype IN ('e', 'i'))
UNION ALL
SELECT CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, format('%I.%I', n.nspname, t.typname), t.oid
FROM pg_type t JOIN ours n ON n.oid = t.typnamespace
WHERE t.typtype IN ('e', 'd', 'r')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid
                  AND d.deptype = 'e')
UNION ALL
SELECT 'schema', format('%I', n.nspname), n.oid FROM ours n WHERE n.nspname <> 'public'
ORDER BY 1, 2
"""

#: Schemas last, when they are empty.
_ORDER = (
    "view", "materialized view", "table", "foreign table", "sequence", "function", "procedure", "aggregate",
    "domain", "type", "schema",
)  # fmt: skip


class Unplanned(Exception):
    """Dropping what is planned would take with it what is not."""


def databases(connection: Connection) -> list[str]:
    """The names of all databases of this server that take connections."""
    return list(connection.scalars(text("SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1")))


def objects(connection: Connection) -> dict[str, int]:
    """Label (``table public.trips``) and oid of each object in this database."""
    return {f"{row.kind} {row.name}": int(row.id) for row in connection.execute(text(_OBJECTS))}


def drop(connection: Connection, planned: Mapping[str, int], ask: Callable[[], None]) -> set[str]:
    """Drop the planned objects that are still the same ones; returns their labels.

    Runs in the caller's transaction, so that either all of them go or none.

    :param ask: called before the first statement; the caller calls it before it commits.

    :raises Unplanned: when something else would go with them; the caller rolls back.
    """
    ask()
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    before = objects(connection)
    doomed = {label for label, oid in planned.items() if before.get(label) == oid}
    for label in sorted(doomed, key=_rank):
        kind, name = _split(label)
        if kind == "schema":
            continue
        # CASCADE, because functions, types and tables may need each other in circles; what it took is
        # compared below. The label was just read from this database, so it is quoted as PostgreSQL quotes.
        connection.execute(text(f"DROP {kind.upper()} IF EXISTS {_literal(name)} CASCADE"))
    dropped = doomed - _drop_empty_schemas(connection, doomed)
    unplanned = set(before) - set(objects(connection)) - dropped
    if unplanned:
        raise Unplanned(f"{', '.join(sorted(unplanned))} would go with it, which appeared after the plan")
    return dropped


def _drop_empty_schemas(connection: Connection, doomed: Iterable[str]) -> set[str]:
    """Drop the doomed schemas in which nothing is left; returns the others."""
    left = set()
    for label in sorted(doomed):
        kind, name = _split(label)
        if kind != "schema":
            continue
        savepoint = connection.begin_nested()
        try:
            connection.execute(text(f"DROP SCHEMA {_literal(name)} RESTRICT"))
            savepoint.commit()
        except Exception as error:
            savepoint.rollback()
            # 2BP01, dependent_objects_still_exist: something unplanned lives there, so the schema stays.
            if getattr(getattr(error, "orig", None), "pgcode", None) != "2BP01":
                raise
            left.add(label)
    return left


def _rank(label: str) -> tuple[int, str]:
    return _ORDER.index(_split(label)[0]), label


def _split(label: str) -> tuple[str, str]:
    kind = max((kind for kind in _ORDER if label.startswith(f"{kind} ")), key=len)
    return kind, label.removeprefix(f"{kind} ")


def _literal(name: str) -> str:
    # SQLAlchemy's text() takes ":word" for a parameter.
    return name.replace(":", "\\:")
