"""The marker: one row inside a database that says which environment, and which provisioning of it, owns it.

Nothing destructive is done to a database before its marker was compared (environments.md, "Scorching
safely", 3). The names of databases and servers prove nothing: settings are edited, tunnels point elsewhere,
names repeat. The row travels with the data, so it cannot be wrong in those ways.

All functions work inside the caller's transaction and never commit by themselves (MySQL commits on its own
around the one ``CREATE TABLE``).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from daybreak.errors import Refused

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: The marker's table. On PostgreSQL it is always ``public.daybreak_marker``, whatever ``search_path`` says.
TABLE = "daybreak_marker"


def _schema(connection: Connection) -> str | None:
    return "public" if connection.dialect.name == "postgresql" else None


def _name(connection: Connection) -> str:
    schema = _schema(connection)
    return f"{schema}.{TABLE}" if schema else TABLE


def _where(connection: Connection) -> str:
    url = connection.engine.url
    return f"database {url.database!r} on {url.host or url.query.get('host') or 'this machine'}"


def read_marker(connection: Connection) -> tuple[str, str] | None:
    """The (environment, nonce) that this database says it belongs to; ``None`` when it does not say.

    :raises Refused: ``marker_mismatch`` when it names more than one owner.
    """
    from sqlalchemy import inspect, text

    # A cached inspector would not see a marker that was written a moment ago: always a new one.
    if not inspect(connection).has_table(TABLE, schema=_schema(connection)):
        return None
    rows = connection.execute(text(f"SELECT environment, nonce FROM {_name(connection)} LIMIT 2")).all()  # noqa: S608
    if not rows:
        return None
    if len(rows) > 1:
        raise Refused(
            f"{_where(connection)}: {TABLE} names more than one owner. Nothing was changed; find out whose "
            f"it is and leave one row.",
            code="marker_mismatch",
        )
    return str(rows[0][0]), str(rows[0][1])


def is_blank(connection: Connection) -> bool:
    """Whether nothing is in the database, not even a marker: a creation that was killed in between.

    No table, view or sequence in any schema that is not the server's own.
    """
    from sqlalchemy import text

    query = (
        "SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname <> 'information_schema' AND nspname !~ '^pg_' LIMIT 1"
        if connection.dialect.name == "postgresql"
        else "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() LIMIT 1"
    )
    return connection.execute(text(query)).first() is None


def require_marker(connection: Connection, environment: str, nonces: Collection[str]) -> None:
    """Return only when the marker names ``environment`` and one of ``nonces``.

    ``nonces`` holds the present nonce, and the previous one too while a rotation is unfinished.

    :raises Refused: ``marker_missing`` without a marker, ``marker_mismatch`` with another one.
    """
    found = read_marker(connection)
    if found is None:
        raise Refused(
            f"{_where(connection)} has no marker of environment {environment} (table {TABLE}), so it is not "
            f"touched. If it really belongs to {environment}, drop it by hand and let Daybreak create it.",
            code="marker_missing",
        )
    if found[0] != environment or found[1] not in nonces:
        theirs = f"environment {found[0]}, nonce {found[1]}"
        ours = f"environment {environment}, nonce {' or '.join(sorted(nonces)) or '(none)'}"
        raise Refused(
            f"{_where(connection)} belongs to {theirs}, not to {ours}, so it is not touched. "
            f"Compare the environment's `sql` URL in daybreak.yaml with the registry.",
            code="marker_mismatch",
        )


def write_marker(connection: Connection, environment: str, nonce: str) -> None:
    """Say that this database belongs to this provisioning of ``environment``; idempotent, rotates the nonce.

    The caller has just created the database, or has called :func:`require_marker` (:func:`rotate_marker`).

    :raises Refused: ``marker_mismatch`` when another environment's marker is there.
    """
    from sqlalchemy import text

    found = read_marker(connection)
    if found is not None and found[0] != environment:
        raise Refused(
            f"{_where(connection)} belongs to environment {found[0]}; it stays theirs.",
            code="marker_mismatch",
        )
    if found == (environment, nonce):
        return
    name, values = _name(connection), {"environment": environment, "nonce": nonce}
    if found is None:
        connection.execute(
            text(
                f"CREATE TABLE IF NOT EXISTS {name} "
                f"(environment VARCHAR(64) NOT NULL PRIMARY KEY, nonce VARCHAR(64) NOT NULL)"
            )
        )
        connection.execute(text(f"INSERT INTO {name} VALUES (:environment, :nonce)"), values)  # noqa: S608
    else:
        connection.execute(text(f"UPDATE {name} SET nonce = :nonce WHERE environment = :environment"), values)  # noqa: S608


def rotate_marker(connection: Connection, environment: str, nonce: str, nonces: Collection[str]) -> None:
    """Compare the marker with ``nonces``, then make it ``nonce``; again after a crash is harmless.

    :raises Refused: as :func:`require_marker`; the marker is then unchanged.
    """
    require_marker(connection, environment, {*nonces, nonce})
    write_marker(connection, environment, nonce)
