"""Bringing the registry's tables to the version of this code (Alembic, migrations inside the package)."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from daybreak.errors import DaybreakError

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"
#: Any fixed number: names the lock that makes concurrent migrations wait for each other.
MIGRATION_LOCK = 0x6461_7962  # "dayb"
#: Alembic keeps its context in module globals: one migration at a time in a process, whatever the database.
_ALEMBIC = threading.Lock()


class OldRegistry(DaybreakError):
    """The registry's tables are not those that this code needs."""

    code = "old_registry"


def migrate(engine: Engine) -> None:
    """Create the tables, or bring them to this version; does nothing when they are. Safe for many processes
    at once.

    All of it is one transaction, also on SQLite: a failed migration leaves the registry as it was.
    """
    with engine.begin() as connection:  # on SQLite this alone is the lock: BEGIN IMMEDIATE
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        config = _config()
        config.attributes["connection"] = connection
        with _ALEMBIC:
            command.upgrade(config, "head")


def revision(engine: Engine) -> str | None:
    """The revision of the tables; ``None`` before the first migration."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def require_current(engine: Engine) -> None:
    """Check that the tables are those of this code.

    :raises OldRegistry: saying how to migrate.
    """
    head = ScriptDirectory.from_config(_config()).get_current_head()
    present = revision(engine)
    if present != head:
        raise OldRegistry(
            f"the registry is at revision {present or 'none'}, this Daybreak needs {head}; "
            f"run `daybreak registry migrate`, or update Daybreak if the registry is the newer one"
        )


def _config() -> Config:
    config = Config()
    # '%' would be read as an interpolation.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
