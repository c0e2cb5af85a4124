"""Databases: made with a marker, migrated once and in order, never somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, inspect, make_url, text
from sqlalchemy.pool import NullPool

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.database import DatabaseDriver, MigrationFailed
from daybreak.deploy.driver import Package
from daybreak.errors import LostOp, Refused
from tests.deploy.conftest import Deploys

DB = CatalogResource("fleet_db", ResourceType.DATABASE, line=7)
DRIVER = DatabaseDriver()
FIRST = "CREATE TABLE vehicles (vin VARCHAR(20) PRIMARY KEY, model VARCHAR(20) DEFAULT '100%');\n"
SECOND = """-- it's a comment; with a semicolon
ALTER TABLE vehicles ADD COLUMN wheels INT;
INSERT INTO vehicles (vin, wheels) VALUES ('a;b', 4);
UPDATE vehicles SET model = '50% off' WHERE vin LIKE 'a%';
"""


def _on(url: str, deploys: Deploys) -> Iterator[Deploys]:
    """A server on which dev-01 and dev-02 have their (not yet existing) databases."""
    server = make_url(url)
    deploys.sql = (
        server.set(database="DB").render_as_string(hide_password=False).replace("/DB", "/{database}")
    )
    yield deploys
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("dev_01_fleet_db", "dev_02_fleet_db"):
            connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))


@pytest.fixture(params=["postgres_url", "mariadb_url"])
def sql(request: pytest.FixtureRequest, deploys: Deploys) -> Iterator[Deploys]:
    yield from _on(request.getfixturevalue(request.param), deploys)


@pytest.fixture
def postgres(postgres_url: str, deploys: Deploys) -> Iterator[Deploys]:
    yield from _on(postgres_url, deploys)


@pytest.fixture
def mariadb(mariadb_url: str, deploys: Deploys) -> Iterator[Deploys]:
    yield from _on(mariadb_url, deploys)


def package(deploys: Deploys, key: str = "k1", **files: str) -> Package:
    named = {f"migrations/{name.strip('_')}.sql": content for name, content in files.items()}
    return deploys.package(named, key)


def inside(deploys: Deploys, environment: str = "dev-01") -> Connection:
    url = deploys.target(environment).environment.database_url("fleet_db")
    return create_engine(url, poolclass=NullPool).connect()


def rows(deploys: Deploys, query: str) -> list[Any]:
    with inside(deploys) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_a_database_is_made_migrated_and_observed(sql: Deploys) -> None:
    target, made = sql.target(), package(sql, _1=FIRST, _2=SECOND)
    assert DRIVER.observe(DB, target) is None

    DRIVER.create(DB, made, target)
    assert DRIVER.observe(DB, target) is None
    DRIVER.deploy(DB, made, target)

    assert rows(sql, "SELECT vin, wheels, model FROM vehicles") == [("a;b", 4, "50% off")]
    assert rows(sql, "SELECT environment, nonce FROM daybreak_marker") == [("dev-01", "n1")]
    assert DRIVER.observe(DB, target) == "k1"


def test_doing_it_again_applies_nothing_twice(sql: Deploys) -> None:
    target, made = sql.target(), package(sql, _1=FIRST, _2=SECOND)
    for _ in range(2):
        DRIVER.create(DB, made, target)
        DRIVER.deploy(DB, made, target)
    later = package(sql, "k2", _1=FIRST, _2=SECOND, _3="CREATE TABLE trips (id INT)")
    DRIVER.deploy(DB, later, target)

    assert rows(sql, "SELECT count(*) FROM vehicles") == [(1,)]
    assert [line for line in sql.log if "migration" in line] == [
        "migration 1.sql",
        "migration 2.sql",
        "migration 3.sql",
    ]
    assert DRIVER.observe(DB, target) == "k2"


def test_a_broken_migration_names_file_and_line_and_is_not_observed(sql: Deploys) -> None:
    target = sql.target()
    broken = package(sql, _1=FIRST, _2="CREATE TABLE fine (id INT);\n\nINSERT INTO nowhere VALUES (1);\n")
    DRIVER.create(DB, broken, target)

    with pytest.raises(MigrationFailed, match=r"migration 2\.sql:3: .*nowhere"):
        DRIVER.deploy(DB, broken, target)

    assert DRIVER.observe(DB, target) is None


def test_postgresql_rolls_a_broken_migration_back_so_that_its_correction_applies(postgres: Deploys) -> None:
    target = postgres.target()
    broken = package(postgres, _1=FIRST, _2="CREATE TABLE fine (id INT); SELECT 1/0;")
    DRIVER.create(DB, broken, target)
    with pytest.raises(MigrationFailed, match="division by zero"):
        DRIVER.deploy(DB, broken, target)
    with inside(postgres) as connection:
        assert not inspect(connection).has_table("fine")

    DRIVER.deploy(DB, package(postgres, "k2", _1=FIRST, _2="CREATE TABLE fine (id INT);"), target)

    assert DRIVER.observe(DB, target) == "k2"


def test_a_half_done_migration_is_not_continued_blindly_where_ddl_commits(mariadb: Deploys) -> None:
    target = mariadb.target()
    broken = package(mariadb, _1="CREATE TABLE fine (id INT); ALTER TABLE nowhere ADD COLUMN x INT;")
    DRIVER.create(DB, broken, target)
    for expected in ("nowhere", "stopped half-way before"):
        with pytest.raises(MigrationFailed, match=expected):
            DRIVER.deploy(DB, broken, target)


def test_functions_with_semicolons_inside_are_left_whole(postgres: Deploys) -> None:
    function = (
        "CREATE FUNCTION twice(x INT) RETURNS INT AS $$\nBEGIN\n  RETURN x * 2; -- don't "
        "split\nEND;\n$$ LANGUAGE plpgsql;\n"
        "CREATE TABLE t (id INT);"
    )
    made = package(postgres, _1=function)
    DRIVER.create(DB, made, postgres.target())
    DRIVER.deploy(DB, made, postgres.target())
    assert rows(postgres, "SELECT twice(21)") == [(42,)]


def test_a_migration_that_commits_by_itself_is_refused_before_it_runs(postgres: Deploys) -> None:
    made = package(postgres, _1="CREATE TABLE early (id INT);\nCOMMIT;\nSELECT 1/0;")
    DRIVER.create(DB, made, postgres.target())
    with pytest.raises(MigrationFailed, match=r"migration 1\.sql:2: COMMIT"):
        DRIVER.deploy(DB, made, postgres.target())
    with inside(postgres) as connection:
        assert not inspect(connection).has_table("early")


def test_a_changed_migration_is_an_error_that_names_both_checksums(sql: Deploys) -> None:
    target, made = sql.target(), package(sql, _1=FIRST)
    DRIVER.create(DB, made, target)
    DRIVER.deploy(DB, made, target)
    [(before,)] = rows(sql, "SELECT checksum FROM daybreak_migrations")

    with pytest.raises(
        MigrationFailed, match=rf"migration 1\.sql was applied with checksum {before[:12]} and is "
    ) as caught:
        DRIVER.deploy(DB, package(sql, "k2", _1=FIRST + "-- edited"), target)

    assert caught.value.code == "migration_changed"
    assert DRIVER.observe(DB, target) == "k1"


def test_an_older_artifact_does_not_pretend_to_be_deployed(sql: Deploys) -> None:
    target, made = sql.target(), package(sql, "new", _1=FIRST, _2=SECOND)
    DRIVER.create(DB, made, target)
    DRIVER.deploy(DB, made, target)
    with pytest.raises(MigrationFailed, match=r"already has migration 2\.sql, which this artifact does not"):
        DRIVER.deploy(DB, package(sql, "old", _1=FIRST), target)


def test_a_database_with_content_and_without_a_marker_is_refused(sql: Deploys) -> None:
    target, made = sql.target(), package(sql, _1=FIRST)
    DRIVER.create(DB, made, target)
    DRIVER.deploy(DB, made, target)
    with inside(sql) as connection, connection.begin():
        connection.execute(text("DROP TABLE daybreak_marker"))

    for verb in (DRIVER.create, DRIVER.deploy):
        with pytest.raises(Refused) as caught:
            verb(DB, made, target)
        assert caught.value.code == "marker_missing"
    with pytest.raises(Refused):
        DRIVER.destroy(DB, target)
    assert DRIVER.observe(DB, target) is None
    assert rows(sql, "SELECT count(*) FROM vehicles") == [(0,)]


def test_a_database_of_another_provisioning_is_refused(sql: Deploys) -> None:
    made = package(sql, _1=FIRST)
    DRIVER.create(DB, made, sql.target(nonce="old"))
    with pytest.raises(Refused) as caught:
        DRIVER.create(DB, made, sql.target(nonce="new"))
    assert caught.value.code == "marker_mismatch"
    assert DRIVER.observe(DB, sql.target(nonce="new")) is None


def test_an_empty_database_of_a_killed_create_is_finished(sql: Deploys) -> None:
    target, made = sql.target(), package(sql, _1=FIRST)
    DRIVER.create(DB, made, target)
    with inside(sql) as connection, connection.begin():
        connection.execute(text("DROP TABLE daybreak_marker"))

    DRIVER.create(DB, made, target)

    assert rows(sql, "SELECT nonce FROM daybreak_marker") == [("n1",)]


def test_destroy_drops_it_even_while_somebody_is_connected_and_twice(postgres: Deploys) -> None:
    target, made = postgres.target(), package(postgres, _1=FIRST)
    DRIVER.create(DB, made, target)
    connection = inside(postgres)
    connection.execute(text("SELECT 1"))
    for _ in range(2):
        DRIVER.destroy(DB, target)
    connection.invalidate()
    assert DRIVER.observe(DB, target) is None


def test_environments_do_not_share_a_database(sql: Deploys) -> None:
    made = package(sql, _1=FIRST)
    for name in ("dev-01", "dev-02"):
        DRIVER.create(DB, made, sql.target(name))
    DRIVER.deploy(DB, made, sql.target("dev-02"))
    assert DRIVER.observe(DB, sql.target("dev-01")) is None
    assert DRIVER.observe(DB, sql.target("dev-02")) == "k1"


def test_who_lost_the_op_changes_nothing(sql: Deploys) -> None:
    target, made = sql.target(), package(sql, _1=FIRST)
    DRIVER.create(DB, made, target)
    sql.lost = LostOp("another try works here")
    with pytest.raises(LostOp):
        DRIVER.deploy(DB, made, target)
    sql.lost = None
    with inside(sql) as connection:
        assert inspect(connection).get_table_names() == ["daybreak_marker"]


def test_a_server_that_does_not_answer_is_a_clear_error_without_the_password(deploys: Deploys) -> None:
    deploys.sql = "postgresql+psycopg2://me:topsecret@127.0.0.1:1/{database}"
    with pytest.raises(Exception, match="fleet_db: the SQL server of dev-01 cannot be reached") as caught:
        DRIVER.create(DB, package(deploys, _1=FIRST), deploys.target())
    assert "topsecret" not in str(caught.value)
