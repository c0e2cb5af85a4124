"""The registry's migrations."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from daybreak.registry import connect, merge_tables, migrate, require_current, tables
from daybreak.registry.columns import metadata
from daybreak.registry.schema import MIGRATION_LOCK, OldRegistry


def test_the_migrated_tables_are_those_of_the_code(registry: Engine) -> None:
    assert {tables.environments.name, merge_tables.entries.name} <= set(metadata.tables)
    with registry.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    assert set(inspect(registry).get_table_names()) == {*metadata.tables, "alembic_version"}


def test_migrating_twice_changes_nothing(registry: Engine) -> None:
    migrate(registry)
    require_current(registry)


def _migrate_at_once(url: str) -> None:
    failures: list[Exception] = []
    start = threading.Barrier(4)

    def run() -> None:
        engine = connect(url)
        try:
            start.wait()
            migrate(engine)
        except Exception as error:
            failures.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_several_may_migrate_a_new_sqlite_file_at_once(tmp_path: Path) -> None:
    _migrate_at_once(f"sqlite:///{tmp_path / 'r.db'}")


@pytest.mark.postgres
def test_a_migration_on_postgres_waits_for_the_one_before_it(fresh_postgres: str) -> None:
    first, second = connect(fresh_postgres), connect(fresh_postgres)
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    thread = threading.Thread(target=migrate, args=(second,))
    with first.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        thread.start()
        limit = time.monotonic() + 30
        while connection.execute(waiting).scalar() == 0:
            assert time.monotonic() < limit, "the second migration does not wait"
            time.sleep(0.01)
        assert inspect(connection).get_table_names() == []
    thread.join()
    require_current(second)
    first.dispose()
    second.dispose()


@pytest.mark.postgres
def test_several_may_migrate_a_new_postgres_database_at_once(fresh_postgres: str) -> None:
    _migrate_at_once(fresh_postgres)


def test_an_unmigrated_registry_says_what_to_do(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'r.db'}")
    with pytest.raises(OldRegistry, match="daybreak registry migrate"):
        require_current(engine)
    engine.dispose()


def test_a_failed_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'r.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE steps (mine INTEGER)"))  # in the way of the first migration
    with pytest.raises(Exception, match="steps"):
        migrate(engine)
    assert inspect(engine).get_table_names() == ["steps"]
    engine.dispose()
