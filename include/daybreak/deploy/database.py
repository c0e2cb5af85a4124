"""Databases: one for each environment and resource, on the environment's SQL server (PostgreSQL, MySQL)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.marker import require_marker, write_marker
from daybreak.errors import DaybreakError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

#: Which migrations were applied, and with which artifact.
TABLE = "daybreak_migrations"


class MigrationFailed(DaybreakError):
    """A migration did not run, or is not what was applied before."""

    code = "migration_failed"


class DatabaseDriver:
    """``create`` makes the database with its marker; ``deploy`` applies ``migrations/*.sql`` in order of name."""

    def create(self, resource: CatalogResource, package: Package, target: Target) -> None:
        """Make the database when it is missing; adopt it only when its marker says that it is ours.

        :raises Refused: ``marker_missing`` or ``marker_mismatch``.
        """
        from sqlalchemy import text

        name = target.environment.database_name(resource.name)
        with _engine(_server_url(target, resource.name)) as engine:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                exists = _exists(connection, name)
                if not exists:
                    target.guard()
                    quoted = connection.dialect.identifier_preparer.quote(name)
                    connection.execute(text(f"CREATE DATABASE {quoted}"))
        with _engine(target.environment.database_url(resource.name)) as engine, engine.begin() as connection:
            if exists and not _untouched(connection):
                require_marker(connection, target.environment.name, {target.nonce})
            target.guard()
            write_marker(connection, target.environment.name, target.nonce)

    def deploy(self, resource: CatalogResource, package: Package, target: Target) -> Mapping[str, str]:
        """Apply what was not applied yet.

        :raises MigrationFailed: naming the file; on PostgreSQL it leaves nothing behind, on MySQL, which
            commits after each statement of DDL, what ran before it in the same file.
        """
        from sqlalchemy import text

        with _engine(target.environment.database_url(resource.name)) as engine:
            with engine.begin() as connection:
                require_marker(connection, target.environment.name, {target.nonce})
                target.guard()
                connection.execute(
                    text(
                        f"CREATE TABLE IF NOT EXISTS {TABLE} (name VARCHAR(200) PRIMARY KEY, "
                        f"checksum CHAR(64) NOT NULL, content_key CHAR(64) NOT NULL)"
                    )
                )
                applied = {
                    str(name): str(checksum)
                    for name, checksum in connection.execute(text(f"SELECT name, checksum FROM {TABLE}"))  # noqa: S608
                }
            for path in sorted((package.folder / "migrations").glob("*.sql")):
                _apply(engine, path, applied.get(path.name), package.key, target)
            with engine.begin() as connection:
                target.guard()
                connection.execute(text(f"UPDATE {TABLE} SET content_key = :key"), {"key": package.key})  # noqa: S608
        return {}

    def observe(self, resource: CatalogResource, target: Target) -> str | None:
        """The content key of the last complete ``deploy``."""
        from sqlalchemy import text
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with _engine(target.environment.database_url(resource.name)) as engine:
                with engine.connect() as connection:
                    found = connection.execute(text(f"SELECT DISTINCT content_key FROM {TABLE}"))  # noqa: S608
                    keys = [str(key) for (key,) in found]
        except SQLAlchemyError:
            return None
        return keys[0] if len(keys) == 1 else None

    def destroy(self, resource: CatalogResource, target: Target) -> None:
        """Drop the database, when it is there and ours.

        :raises Refused: ``marker_missing`` or ``marker_mismatch``.
        """
        from sqlalchemy import text

        name = target.environment.database_name(resource.name)
        with _engine(_server_url(target, resource.name)) as server:
            with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                if not _exists(connection, name):
                    return
                with _engine(target.environment.database_url(resource.name)) as engine:
                    with engine.connect() as inside:
                        require_marker(inside, target.environment.name, {target.nonce})
                target.guard()
                connection.execute(
                    text(f"DROP DATABASE {connection.dialect.identifier_preparer.quote(name)}")
                )


def _apply(engine: Engine, path: Path, applied: str | None, key: str, target: Target) -> None:
    import sqlparse
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    content = path.read_text(encoding="utf-8")
    checksum = hashlib.sha256(content.encode()).hexdigest()
    if applied == checksum:
        return
    if applied is not None:
        raise MigrationFailed(
            f"{path.name} was applied with checksum {applied[:12]} and is {checksum[:12]} now. Write a new "
            f"migration instead of changing one, or rebuild the environment."
        )
    target.log(f"migration {path.name}")
    try:
        with engine.begin() as connection:
            for statement in sqlparse.split(content):
                if sqlparse.format(statement, strip_comments=True).strip(" ;\n"):
                    target.guard()
                    connection.exec_driver_sql(statement.replace("%", "%%"))
            connection.execute(
                text(f"INSERT INTO {TABLE} VALUES (:name, :checksum, :key)"),  # noqa: S608
                {"name": path.name, "checksum": checksum, "key": key},
            )
    except SQLAlchemyError as error:
        raise MigrationFailed(f"migration {path.name}: {getattr(error, 'orig', error)}") from None


def _server_url(target: Target, resource: str) -> str:
    """The server without our database, which may not be there yet."""
    from sqlalchemy.engine import make_url

    url = make_url(target.environment.database_url(resource))
    default = "postgres" if url.get_backend_name() == "postgresql" else None
    return url._replace(database=default).render_as_string(hide_password=False)


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(url, poolclass=NullPool)
    try:
        yield engine
    finally:
        engine.dispose()


def _exists(connection: Connection, name: str) -> bool:
    from sqlalchemy import text

    query = (
        "SELECT 1 FROM pg_database WHERE datname = :name"
        if connection.dialect.name == "postgresql"
        else "SELECT 1 FROM information_schema.schemata WHERE schema_name = :name"
    )
    return connection.execute(text(query), {"name": name}).first() is not None


def _untouched(connection: Connection) -> bool:
    """A database without any table: a ``create`` that was killed before it wrote the marker."""
    from sqlalchemy import inspect

    return not inspect(connection).get_table_names()
