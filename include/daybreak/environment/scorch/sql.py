"""SQL databases: everything in the environment's databases goes, after their marker was compared.

A database is chosen by the marker inside it, never by its name: names only say where to look. System
databases and the registry (``forbidden_urls``) are never touched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import SQLAlchemyError

from daybreak.deploy import connecting
from daybreak.deploy.marker import is_blank, read_marker, require_marker
from daybreak.environment.interlocks import Code, Verdict
from daybreak.environment.scorch import mysql, postgres
from daybreak.environment.scorch.plan import Item, Kind
from daybreak.environment.scorch.scope import Execution, Planning, alike
from daybreak.errors import Refused, UsageError
from daybreak.settings import EnvironmentSettings

_DIALECTS: Mapping[str, ModuleType] = {"postgresql": postgres, "mysql": mysql, "mariadb": mysql}


@dataclass(frozen=True)
class Server:
    """The SQL server of an environment, and what must not be touched on it."""

    settings: EnvironmentSettings
    forbidden: frozenset[str]

    @classmethod
    def of(cls, settings: EnvironmentSettings, forbidden_urls: Collection[str]) -> Server:
        """:raises UsageError: for a database of another kind than PostgreSQL, MySQL and MariaDB."""
        server = cls(settings, frozenset(name for url in forbidden_urls if (name := make_url(url).database)))
        backend = server.url("x").get_backend_name()
        if backend not in _DIALECTS:
            raise UsageError(
                f"environment {settings.name}: `sql` is {backend}; PostgreSQL or MySQL are known."
            )
        return server

    @property
    def dialect(self) -> ModuleType:
        """:mod:`.postgres` or :mod:`.mysql`."""
        return _DIALECTS[self.url("x").get_backend_name()]

    def url(self, database: str) -> URL:
        """Secret: never log it."""
        if self.settings.sql is None:
            raise UsageError(f"environment {self.settings.name} has no `sql` URL in daybreak.yaml.")
        return make_url(self.settings.sql.get_secret_value().replace("{database}", "x")).set(
            database=database
        )

    def label(self, database: str) -> str:
        """A database's identifier in plans and logs, without secrets."""
        url = self.url(database)
        host = url.host or url.query.get("host") or "local"
        return f"{url.get_backend_name()}://{host}{f':{url.port}' if url.port else ''}/{database}"

    def is_forbidden(self, database: str) -> bool:
        """Whether this may be a system database or the registry.

        By the name alone: the same server has many addresses, and two names that are equal by chance are no
        reason to take a risk.
        """
        return database in self.forbidden or database in self.dialect.SYSTEM

    @contextlib.contextmanager
    def begin(self, database: str) -> Iterator[Connection]:
        """A connection with a transaction, to just this database, that leaves nothing open behind."""
        with connecting.engine(self.url(database)).begin() as connection:
            yield connection


def find(planning: Planning, catalog_databases: Sequence[str], forbidden_urls: Collection[str]) -> None:
    """Plan every object of our databases; a declared database without our marker forbids the whole plan."""
    settings = planning.target.environment
    if settings.sql is None and not catalog_databases:
        return
    server = Server.of(settings, forbidden_urls)
    declared = {settings.database_name(resource): resource for resource in catalog_databases}
    for database in sorted(_databases(server, planning)):
        if database in declared:
            _find_declared(planning, server, database, declared[database])
        elif not server.is_forbidden(database):
            _find_other(planning, server, database)


def execute(items: Sequence[Item], run: Execution, forbidden_urls: Collection[str]) -> None:
    """Empty the planned databases, one transaction each."""
    if not items:
        return
    server = Server.of(run.target.environment, forbidden_urls)
    for item in items:
        database = str(item.detail["database"])
        if server.is_forbidden(database) or item.identifier != server.label(database):
            raise Refused(
                f"{item.identifier} is planned, but it is not (or no more) a database of "
                f"{run.target.environment.name}; make a new plan.",
                code=Code.FORBIDDEN_DATABASE,
            )
        try:
            run.before()
            with server.begin(database) as connection:
                require_marker(connection, run.target.environment.name, run.nonces)
                dropped = server.dialect.drop(connection, item.detail["objects"], run.before)
                left = item.detail["objects"].items() & server.dialect.objects(connection).items()
                run.before()  # who lost the op meanwhile commits nothing
        except postgres.Unplanned as error:
            run.skip(item, Verdict(Code.CHANGED, str(error)))
        except SQLAlchemyError as error:
            run.fail(item, _plain(error))
        else:
            run.done(item, len(dropped))
            if left:
                names = ", ".join(sorted(label for label, _ in left))
                run.skip(item, Verdict(Code.CHANGED, f"{names} stayed: something newer is in it"))


def _databases(server: Server, planning: Planning) -> list[str]:
    try:
        with server.begin(server.dialect.HOME) as connection:
            found: list[str] = server.dialect.databases(connection)
    except SQLAlchemyError as error:
        label = server.label(server.dialect.HOME)
        planning.refuse(
            Kind.SQL,
            label,
            Verdict(Code.MARKER_UNREADABLE, f"it cannot be asked for its databases: {_plain(error)}"),
        )
        return []
    return found


def _find_declared(planning: Planning, server: Server, database: str, resource: str) -> None:
    label = server.label(database)
    if server.is_forbidden(database):
        planning.refuse(
            Kind.SQL, label, Verdict(Code.FORBIDDEN_DATABASE, "it is the registry's or the system's")
        )
        return
    try:
        with server.begin(database) as connection:
            if is_blank(connection):
                return
            require_marker(connection, planning.name, planning.nonces)
            _take(planning, server, connection, database, resource, "declared in the catalog")
    except Refused as refused:
        planning.refuse(Kind.SQL, label, Verdict(Code(refused.code), str(refused)))
    except SQLAlchemyError as error:
        planning.refuse(Kind.SQL, label, Verdict(Code.MARKER_UNREADABLE, f"{_plain(error)}"))


def _find_other(planning: Planning, server: Server, database: str) -> None:
    """A database that the catalog does not name: ours when its marker says so, else at most an orphan."""
    label, similar = server.label(database), alike(database, planning.name)
    try:
        with server.begin(database) as connection:
            owner = read_marker(connection)
            if owner is not None and owner[0] == planning.name and owner[1] in planning.nonces:
                _take(planning, server, connection, database, database, "its marker names this environment")
                return
    except Refused as refused:
        if similar:
            planning.orphan(Kind.SQL, label, Verdict(Code(refused.code), str(refused)))
        return
    except SQLAlchemyError as error:
        if similar:
            planning.orphan(Kind.SQL, label, Verdict(Code.MARKER_UNREADABLE, f"{_plain(error)}"))
        return
    if owner is None and similar:
        planning.orphan(Kind.SQL, label, Verdict(Code.MARKER_MISSING, "it has no marker"))
    elif owner is not None and owner[0] == planning.name:
        planning.orphan(
            Kind.SQL,
            label,
            Verdict(Code.MARKER_MISMATCH, f"its marker is of another provisioning, {owner[1]}"),
        )


def _take(
    planning: Planning, server: Server, connection: Connection, database: str, store: str, why: str
) -> None:
    objects = server.dialect.objects(connection)
    if objects:
        detail = {"database": database, "objects": objects}
        planning.items.append(Item(Kind.SQL, server.label(database), store, why, detail))


def _plain(error: SQLAlchemyError) -> RuntimeError:
    """The driver's own words: SQLAlchemy's message repeats the statement and links to its manual."""
    return RuntimeError(str(getattr(error, "orig", None) or error).strip())
