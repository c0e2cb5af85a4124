"""Connections to the registry's database, set up so that the same compare-and-set holds on both databases."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError

from daybreak.errors import UsageError
from daybreak.sql import CONNECT_SECONDS, limited, patient

_BUSY_SECONDS = 30
#: The execution option of a SQLite connection that will write.
_WRITES = "daybreak_writes"


def connect(url: str, *, patience: float = 0) -> Engine:
    """An engine for the registry at ``url`` (``Settings.registry_url``); nothing is connected yet.

    :param patience: seconds that a new session waits for a PostgreSQL that is away; what works for hours
        waits, what a person looks at does not.
    :raises UsageError: when the URL is not one of PostgreSQL or of a SQLite file. The URL is never shown: it
        may hold a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageError("registry: this is no SQLAlchemy URL, for example postgresql+psycopg2://…") from None
    dialect = parsed.get_backend_name()
    if dialect == "postgresql":
        # A pooled connection may have died with its server; the ping costs less than a failed step.
        arguments = {"connect_timeout": CONNECT_SECONDS}
        made = limited(
            create_engine(parsed, pool_pre_ping=True, pool_size=8, max_overflow=24, connect_args=arguments)
        )
        return patient(made, patience) if patience else made
    if dialect != "sqlite":
        raise UsageError(
            f"registry: {dialect} is not supported; use PostgreSQL, or a SQLite file for one machine"
        )
    if parsed.database in (None, "", ":memory:"):
        raise UsageError("registry: SQLite in memory would be another registry in each thread; name a file")
    Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    plain = create_engine(parsed, pool_size=8, max_overflow=24, connect_args={"timeout": _BUSY_SECONDS})
    engine = _SqliteEngine(plain.pool, plain.dialect, plain.url)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


class _SqliteEngine(Engine):
    """An engine whose ``begin()`` is for writing and whose ``connect()`` is for reading.

    A reader takes no lock at all (it reads the file as it was, in WAL mode); only writers queue up.
    """

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with self.connect() as connection:
            connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see below
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    limit = time.monotonic() + _BUSY_SECONDS
    # The busy timeout does not cover the change of journal mode: two processes that open a new file meet
    # here.
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that read first cannot become a writer when another wrote meanwhile: it fails at
    # once with "database is locked", busy timeout or not. Taking the write lock first, it waits its turn.
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def insert_new(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless one with the same unique key is there; says whether it was inserted."""
    statement = _insert(connection, table).values(**values).on_conflict_do_nothing()
    return connection.execute(statement.returning(*table.primary_key)).first() is not None


def upsert(connection: Connection, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Insert the row ``key`` + ``values``, or set ``values`` on the row that has ``key`` (a unique key)."""
    statement = _insert(connection, table).values(**key, **values)
    columns = [table.c[name] for name in key]
    connection.execute(statement.on_conflict_do_update(index_elements=columns, set_=dict(values)))


def _insert(connection: Connection, table: Table) -> Any:
    # Both dialects spell ON CONFLICT alike, but SQLAlchemy has it in a class of each.
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
