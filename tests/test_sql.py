"""A session whose process sleeps or is gone lets go of its locks; nobody waits for it for ever."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from daybreak.registry import connect, migrate
from daybreak.sql import limited

pytestmark = pytest.mark.postgres


@pytest.fixture
def kept_busy(fresh_postgres: str) -> str:
    engine = create_engine(fresh_postgres, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept_busy (id INTEGER)"))
    return fresh_postgres


def engine(url: str, **limits: int) -> Engine:
    return limited(create_engine(url, poolclass=NullPool), **limits)


def test_a_statement_waits_for_a_lock_no_longer_than_the_limit(kept_busy: str) -> None:
    with engine(kept_busy).connect() as sleeper, engine(kept_busy, lock=1).begin() as retry:
        sleeper.execute(text("LOCK TABLE kept_busy"))
        with pytest.raises(DBAPIError, match="lock timeout"):
            retry.execute(text("DROP TABLE kept_busy"))


def test_a_transaction_that_does_nothing_is_ended_and_its_locks_with_it(kept_busy: str) -> None:
    sleeper = engine(kept_busy, idle=1).connect()
    sleeper.execute(text("LOCK TABLE kept_busy"))
    # The retry waits, and goes on when the server ended the sleeper.
    with engine(kept_busy, lock=30).begin() as retry:
        retry.execute(text("DROP TABLE kept_busy"))
    with pytest.raises(DBAPIError, match="closed the connection"):
        sleeper.execute(text("SELECT 1"))
    sleeper.invalidate()


def test_every_session_of_the_registry_is_limited(fresh_postgres: str) -> None:
    registry = connect(fresh_postgres)
    migrate(registry)
    with registry.connect() as connection:
        found = [
            connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("lock_timeout", "idle_in_transaction_session_timeout")
        ]
    registry.dispose()
    assert found == ["1min", "2min"]
