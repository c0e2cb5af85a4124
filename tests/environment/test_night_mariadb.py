"""The night on MariaDB, where DDL commits by itself: the same story, and the marker says what is touched."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from daybreak.deploy.marker import read_marker
from daybreak.environment.machine import State
from tests.fixtures.night import World

pytestmark = pytest.mark.mariadb


@pytest.mark.deep
def test_a_used_environment_is_rebuilt_on_mariadb_and_nothing_without_its_marker_is_touched(
    mariadb_world: World,
) -> None:
    world = mariadb_world
    one = world.names[0]
    world.installation.switches.arm(world.account, "test")
    said = world.night("yesterday", one, ref=world.yesterday)
    assert world.environment(one).state is State.READY, said

    # A day of use; and a stranger's database beside ours.
    database = world.database(one)
    with database.begin() as connection:
        assert connection.dialect.name == "mysql"
        assert not inspect(connection).has_table("drivers")
        for statement in (
            "CREATE TABLE scratch (vin VARCHAR(17) REFERENCES vehicles (vin))",
            "CREATE VIEW long_driven AS SELECT vin FROM vehicles WHERE odometer_km > 100000",
            "CREATE PROCEDURE cheat() UPDATE vehicles SET odometer_km = 1",
            "INSERT INTO vehicles VALUES ('TEST0000000000000', 'fake', 1)",
            "DELETE FROM vehicles WHERE model = 'roadster'",
        ):
            connection.execute(text(statement))
    stranger = f"payroll_{world.account}"
    server = create_engine(world.server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {stranger}"))
        connection.execute(text(f"CREATE TABLE {stranger}.salaries (amount INTEGER)"))

    said = world.night("night", one)

    env = world.environment(one)
    assert (env.state, env.verdict, env.commit) == (State.READY, "passed", world.today), said
    with database.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {
            "vehicles", "drivers", "daybreak_marker", "daybreak_migrations",
        }  # fmt: skip
        assert inspect(connection).get_view_names() == []
        models = connection.scalars(text("SELECT model FROM vehicles ORDER BY vin")).all()
        assert models == ["saloon", "roadster", "saloon"]
        assert connection.scalar(text("SELECT COUNT(*) FROM drivers")) == 300
        assert read_marker(connection) == (one, env.nonce)
        assert connection.execute(text("SHOW PROCEDURE STATUS WHERE Db = DATABASE()")).all() == []

    # Somebody restored another environment's dump over ours.
    with database.begin() as connection:
        connection.execute(text("UPDATE daybreak_marker SET nonce = 'of another'"))
        connection.execute(text("CREATE TABLE precious (note VARCHAR(9))"))
    world.night("refused", one)
    env = world.environment(one)
    assert (env.state, env.fault_code) == (State.FAULTED, "marker_mismatch")
    with server.connect() as connection:
        assert inspect(database).has_table("precious")
        assert inspect(connection).has_table("salaries", schema=stranger)
        connection.execute(text(f"DROP DATABASE {stranger}"))
