"""Databases: one for each environment and resource, on the environment's SQL server (PostgreSQL, MySQL)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from daybreak.catalog.graph import CatalogResource
from daybreak.deploy import migrations
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.marker import is_blank, read_marker, require_marker, write_marker
from daybreak.deploy.masking import masked
from daybreak.deploy.migrations import MigrationFailed
from daybreak.errors import DeployFailed

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["DatabaseDriver", "MigrationFailed"]


class DatabaseDriver:
    """``create`` makes the database with its marker; ``deploy`` applies ``migrations/*.sql`` in order."""

    def create(self, resource: CatalogResource, package: Package, target: Target) -> None:
        """Make the database when it is missing; take an existing one only when its marker says
        that it is ours.

        One without a marker *and* without any content is ours too: a create that was killed in between.

        :raises Refused: ``marker_missing`` or ``marker_mismatch``.
        """
        from sqlalchemy import text

        name = target.environment.database_name(resource.name)
        with _administer(resource, target) as server:
            if not _exists(server, name):
                target.guard()
                more = "" if server.dialect.name == "postgresql" else " CHARACTER SET utf8mb4"
                server.execute(text(f"CREATE DATABASE {_quoted(server, name)}{more}"))
        with _engine(target.environment.database_url(resource.name)) as engine, engine.begin() as connection:
            if not is_blank(connection):
                require_marker(connection, target.environment.name, {target.nonce})
            target.guard()
            write_marker(connection, target.environment.name, target.nonce)

    def deploy(self, resource: CatalogResource, package: Package, target: Target) -> Mapping[str, str]:
        """Apply what was not applied yet.

        :raises Refused: ``marker_missing`` or ``marker_mismatch``.
        :raises MigrationFailed: naming the file; see :func:`daybreak.deploy.migrations.apply`.
        """
        with _connect(resource, target) as connection:
            with connection.begin():
                require_marker(connection, target.environment.name, {target.nonce})
            found = migrations.read(package.folder / "migrations")
            migrations.apply(connection, found, package.key, guard=target.guard, log=target.log)
        return {}

    def observe(self, resource: CatalogResource, target: Target) -> str | None:
        """The content key of the last complete ``deploy`` into a database that is this environment's."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with (
                _engine(target.environment.database_url(resource.name)) as engine,
                engine.connect() as connection,
            ):
                if read_marker(connection) != (target.environment.name, target.nonce):
                    return None
                return migrations.content_key(connection)
        except SQLAlchemyError:  # no database, or no server
            return None

    def provides(self, resource: CatalogResource, target: Target) -> Mapping[str, str]:
        """Nothing beside the contract's own variables."""
        return {}

    def destroy(self, resource: CatalogResource, target: Target) -> None:
        """Drop the database, when it is there and ours.

        :raises Refused: ``marker_missing`` or ``marker_mismatch``.
        """
        from sqlalchemy import text

        name = target.environment.database_name(resource.name)
        with _administer(resource, target) as server:
            if not _exists(server, name):
                return
            with _connect(resource, target) as connection:
                require_marker(connection, target.environment.name, {target.nonce})
            target.guard()
            # Services of this environment may still be connected.
            force = " WITH (FORCE)" if server.dialect.name == "postgresql" else ""
            server.execute(text(f"DROP DATABASE {_quoted(server, name)}{force}"))


@contextmanager
def _administer(resource: CatalogResource, target: Target) -> Iterator[Connection]:
    """The server outside of our database, which may not be there yet; each statement commits by itself."""
    from sqlalchemy.engine import make_url

    url = make_url(target.environment.database_url(resource.name))
    default = "postgres" if url.get_backend_name() == "postgresql" else None
    # `set(database=None)` means "leave it".
    outside = url._replace(database=default).render_as_string(hide_password=False)
    with _engine(outside) as engine, _opened(engine, resource, target) as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def _connect(resource: CatalogResource, target: Target) -> Iterator[Connection]:
    url = target.environment.database_url(resource.name)
    with _engine(url) as engine, _opened(engine, resource, target) as connection:
        yield connection


@contextmanager
def _opened(engine: Engine, resource: CatalogResource, target: Target) -> Iterator[Connection]:
    from sqlalchemy.exc import OperationalError

    try:
        connection = engine.connect()
    except OperationalError as error:
        said = masked(str(error.orig).strip(), {"PASSWORD": engine.url.password or ""})
        raise DeployFailed(
            f"{resource.name}: the SQL server of {target.environment.name} cannot be reached: {said}",
            code="no_database",
        ) from None
    with connection:
        yield connection


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    from daybreak.deploy import connecting

    engine = connecting.engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


def _exists(connection: Connection, name: str) -> bool:
    from sqlalchemy import text

    query = (
        "SELECT 1 FROM pg_database WHERE datname = :name"
        if connection.dialect.name == "postgresql"
        else "SELECT 1 FROM information_schema.schemata WHERE schema_name = :name"
    )
    return connection.execute(text(query), {"name": name}).first() is not None
