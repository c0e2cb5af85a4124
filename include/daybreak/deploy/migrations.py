"""Apply ``migrations/*.sql`` to a database: in order of name, each once, nothing half where SQL allows it."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.errors import DeployFailed

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Which migrations were applied. ``checksum`` is empty while one is at work (MySQL), ``content_key`` until
#: the whole artifact is.
TABLE = "daybreak_migrations"
_LOCK = "daybreak_migrations"
_LOCK_SECONDS = 60
_ENDS_TRANSACTION = re.compile(
    r"(BEGIN|COMMIT|ROLLBACK|START\s+TRANSACTION|END)(\s+(WORK|TRANSACTION))?", re.I
)


class MigrationFailed(DeployFailed):
    """A migration did not run, or what was applied before is not what the artifact holds."""

    code = "migration_failed"


@dataclass(frozen=True)
class Migration:
    """One file."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of its text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read(folder: Path) -> tuple[Migration, ...]:
    """The migrations of an artifact, in order.

    :raises MigrationFailed: when one is not UTF-8.
    """
    found = []
    for path in sorted(folder.glob("*.sql")):
        try:
            found.append(Migration(path.name, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError as error:
            raise MigrationFailed(f"{path.name} is not UTF-8: {error}") from None
    return tuple(found)


def apply(
    connection: Connection,
    migrations: Sequence[Migration],
    key: str,
    *,
    guard: Callable[[], None],
    log: Callable[[str], None],
) -> int:
    """Apply what was not applied yet, then record ``key`` as what the database is at; how many were new.

    On PostgreSQL a file is one transaction together with its record. MySQL commits around each statement of
    DDL; there a file that stopped half-way is remembered and never continued blindly.

    :raises MigrationFailed: naming the file, and the line where the server tells it.
    """
    from sqlalchemy import text

    with _exclusive(connection):
        guard()
        with connection.begin():
            connection.execute(
                text(
                    f"CREATE TABLE IF NOT EXISTS {TABLE} (name VARCHAR(200) NOT NULL PRIMARY KEY, "
                    f"checksum VARCHAR(64) NOT NULL, content_key VARCHAR(64) NOT NULL)"
                )
            )
            rows = connection.execute(text(f"SELECT name, checksum FROM {TABLE}")).all()  # noqa: S608
        applied = {str(name): str(checksum) for name, checksum in rows}
        missing = _missing(migrations, applied)
        if missing:
            with connection.begin():
                # Until all of them are in, the database is at no key.
                guard()
                connection.execute(text(f"UPDATE {TABLE} SET content_key = ''"))  # noqa: S608
        for migration in missing:
            log(f"migration {migration.name}")
            _run(connection, migration, guard)
        with connection.begin():
            guard()
            connection.execute(text(f"UPDATE {TABLE} SET content_key = :key"), {"key": key})  # noqa: S608
    return len(missing)


def content_key(connection: Connection) -> str | None:
    """The content key of the artifact that was applied completely last; ``None`` without one."""
    from sqlalchemy import inspect, text

    if not inspect(connection).has_table(TABLE):
        return None
    keys = {str(key) for (key,) in connection.execute(text(f"SELECT content_key FROM {TABLE}"))}  # noqa: S608
    return (keys.pop() or None) if len(keys) == 1 else None


def _missing(migrations: Sequence[Migration], applied: dict[str, str]) -> list[Migration]:
    known = {migration.name for migration in migrations}
    foreign = sorted(set(applied) - known)
    if foreign:
        raise MigrationFailed(
            f"the database already has migration {foreign[0]}, which this artifact does not. Migrations "
            "only go "
            f"forward: rebuild the environment.",
            code="migration_unknown",
        )
    missing = []
    for migration in migrations:
        checksum = applied.get(migration.name)
        if checksum is None:
            missing.append(migration)
        elif not checksum:
            raise MigrationFailed(
                f"migration {migration.name} stopped half-way before, and this database cannot roll it back. "
                f"Rebuild the environment.",
                code="migration_half_done",
            )
        elif checksum != migration.checksum:
            raise MigrationFailed(
                f"migration {migration.name} was applied with checksum {checksum[:12]} and is "
                f"{migration.checksum[:12]} now. Write a new migration instead of changing one, or "
                "rebuild the "
                f"environment.",
                code="migration_changed",
            )
    return missing


def _run(connection: Connection, migration: Migration, guard: Callable[[], None]) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    insert = text(f"INSERT INTO {TABLE} VALUES (:name, :checksum, '')")  # noqa: S608
    finish = text(f"UPDATE {TABLE} SET checksum = :checksum WHERE name = :name")  # noqa: S608
    transactional = connection.dialect.name == "postgresql"
    statements = _statements(migration.sql)
    at: int | None = None
    try:
        if transactional:
            _refuse_transactions(migration, statements)
            guard()
            with connection.begin():
                if statements:
                    # The whole file at once: the server splits SQL better than any client.
                    _execute(connection, migration.sql)
                connection.execute(insert, {"name": migration.name, "checksum": migration.checksum})
            return
        guard()
        with connection.begin():
            connection.execute(insert, {"name": migration.name, "checksum": ""})
        for at, statement in statements:  # noqa: B007 - the error names it
            guard()
            with connection.begin():
                _execute(connection, statement)
        guard()
        with connection.begin():
            connection.execute(finish, {"name": migration.name, "checksum": migration.checksum})
    except SQLAlchemyError as error:
        said = getattr(error, "orig", None) or error
        line = at or _line(migration.sql, said)
        where = f"{migration.name}:{line}" if line else migration.name
        raise MigrationFailed(f"migration {where}: {str(said).strip()}") from None


def _execute(connection: Connection, sql: str) -> None:
    # Without parameters, so that a % in the SQL is just that.
    connection.execution_options(no_parameters=True).exec_driver_sql(sql)


def _statements(sql: str) -> list[tuple[int, str]]:
    """(line, statement) of each statement that is more than a comment."""
    import sqlparse

    found, at = [], 0
    for statement in sqlparse.split(sql):
        at = sql.find(statement, at)
        bare = sqlparse.format(statement, strip_comments=True).strip().strip(";").strip()
        if bare:
            skipped = sql[at:].find(bare.split(maxsplit=1)[0])
            found.append((sql.count("\n", 0, at + max(0, skipped)) + 1, statement))
        at += len(statement)
    return found


def _refuse_transactions(migration: Migration, statements: Sequence[tuple[int, str]]) -> None:
    import sqlparse

    for line, statement in statements:
        bare = sqlparse.format(statement, strip_comments=True).strip().strip(";").strip()
        if _ENDS_TRANSACTION.fullmatch(bare):
            raise MigrationFailed(
                f"migration {migration.name}:{line}: {bare}: a migration runs in one transaction of "
                "ours; leave it out"
            )


def _line(sql: str, error: object) -> int | None:
    """The line that PostgreSQL complains about."""
    position = getattr(getattr(error, "diag", None), "statement_position", None)
    return sql.count("\n", 0, int(position) - 1) + 1 if position else None


@contextmanager
def _exclusive(connection: Connection) -> Iterator[None]:
    """One at a time for each database; the server lets go by itself when the connection breaks.

    :raises MigrationFailed: when another one is at work for longer than a minute.
    """
    from sqlalchemy import text

    # Both take the name of the database into account: PostgreSQL by itself, MySQL's locks are the server's.
    name = f"{_LOCK}:{connection.engine.url.database}"[-64:]
    if connection.dialect.name == "postgresql":
        take, give = (
            "SELECT pg_try_advisory_lock(hashtext(:name))",
            "SELECT pg_advisory_unlock(hashtext(:name))",
        )
    else:
        take, give = "SELECT GET_LOCK(:name, 0)", "SELECT RELEASE_LOCK(:name)"
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        with connection.begin():
            if connection.execute(text(take), {"name": name}).scalar():
                break
        if time.monotonic() > deadline:
            raise MigrationFailed(
                f"another deploy migrates {connection.engine.url.database} right now; try later"
            )
        time.sleep(0.2)
    try:
        yield
    finally:
        with connection.begin():
            connection.execute(text(give), {"name": name})
