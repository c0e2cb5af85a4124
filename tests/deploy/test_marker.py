"""The marker decides whose a database is, on both kinds of server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from daybreak.deploy.marker import read_marker, require_marker, rotate_marker, write_marker
from daybreak.errors import Refused


@pytest.fixture(
    params=[
        pytest.param("fresh_postgres", marks=pytest.mark.postgres),
        pytest.param("fresh_mariadb", marks=pytest.mark.mariadb),
    ]
)
def engine(request: pytest.FixtureRequest) -> Engine:
    return create_engine(request.getfixturevalue(request.param), poolclass=NullPool)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as made:
        yield made


def refused(connection: Connection, environment: str, *nonces: str) -> str:
    with pytest.raises(Refused) as caught:
        require_marker(connection, environment, nonces)
    return caught.value.code


def test_a_database_without_a_marker_is_nobody_s(connection: Connection) -> None:
    assert read_marker(connection) is None
    assert refused(connection, "dev-1", "n1") == "marker_missing"


def test_a_written_marker_is_accepted_for_just_this_environment_and_nonce(connection: Connection) -> None:
    write_marker(connection, "dev-1", "n1")
    assert read_marker(connection) == ("dev-1", "n1")
    require_marker(connection, "dev-1", ["n1"])
    require_marker(connection, "dev-1", ["n2", "n1"])
    assert refused(connection, "dev-10", "n1") == "marker_mismatch"
    assert refused(connection, "dev-1", "n") == "marker_mismatch"
    assert refused(connection, "dev-1", "N1") == "marker_mismatch"
    assert refused(connection, "dev-1") == "marker_mismatch"


def test_an_empty_marker_table_says_nothing(connection: Connection) -> None:
    write_marker(connection, "dev-1", "n1")
    connection.execute(text("DELETE FROM daybreak_marker"))
    assert refused(connection, "dev-1", "n1") == "marker_missing"


def test_two_owners_are_a_mismatch(connection: Connection) -> None:
    write_marker(connection, "dev-1", "n1")
    connection.execute(text("INSERT INTO daybreak_marker VALUES ('dev-2', 'n2')"))
    assert refused(connection, "dev-1", "n1") == "marker_mismatch"


def test_rotating_compares_first_and_is_repeatable(connection: Connection) -> None:
    write_marker(connection, "dev-1", "n1")
    rotate_marker(connection, "dev-1", "n2", ["n1"])
    rotate_marker(connection, "dev-1", "n2", ["n1"])
    assert read_marker(connection) == ("dev-1", "n2")
    with pytest.raises(Refused):
        rotate_marker(connection, "dev-1", "n4", ["n3"])
    assert read_marker(connection) == ("dev-1", "n2")


def test_another_environment_s_database_is_not_taken_over(connection: Connection) -> None:
    write_marker(connection, "dev-1", "n1")
    with pytest.raises(Refused) as caught:
        write_marker(connection, "dev-2", "n1")
    assert caught.value.code == "marker_mismatch"
    assert read_marker(connection) == ("dev-1", "n1")


def test_the_message_holds_no_password(engine: Engine) -> None:
    secret = engine.url.password or "daybreak-secret"
    with engine.begin() as connection, pytest.raises(Refused) as caught:
        require_marker(connection, "dev-1", ["n1"])
    assert f":{secret}@" not in str(caught.value)
    assert str(engine.url.database) in str(caught.value)


@pytest.mark.postgres
def test_a_search_path_cannot_hide_or_fake_the_marker(fresh_postgres: str) -> None:
    with create_engine(fresh_postgres, poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE SCHEMA fake"))
        connection.execute(text("CREATE TABLE fake.daybreak_marker (environment text, nonce text)"))
        connection.execute(text("INSERT INTO fake.daybreak_marker VALUES ('dev-1', 'n1')"))
        connection.execute(text("SET search_path = fake"))
        assert refused(connection, "dev-1", "n1") == "marker_missing"
        write_marker(connection, "dev-1", "n1")
        assert connection.scalar(text("SELECT nonce FROM public.daybreak_marker")) == "n1"
