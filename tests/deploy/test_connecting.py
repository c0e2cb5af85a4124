"""Connections to environments' databases end by themselves when nobody is behind them any more."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from daybreak.deploy import connecting


@pytest.mark.postgres
def test_a_statement_waits_for_a_lock_no_longer_than_the_limit(postgres_url: str, monkeypatch) -> None:
    monkeypatch.setitem(connecting._LIMITS, "postgresql", ("SET lock_timeout = '50ms'",))
    with (
        connecting.engine(postgres_url).connect() as sleeper,
        connecting.engine(postgres_url).begin() as retry,
    ):
        sleeper.execute(text("CREATE TABLE kept_busy (id INTEGER)"))
        sleeper.commit()
        sleeper.execute(text("LOCK TABLE kept_busy"))
        with pytest.raises(DBAPIError, match="lock timeout"):
            retry.execute(text("DROP TABLE kept_busy"))
    with connecting.engine(postgres_url).begin() as connection:
        connection.execute(text("DROP TABLE kept_busy"))


@pytest.mark.postgres
def test_the_limits_hold_in_every_session(postgres_url: str) -> None:
    with connecting.engine(postgres_url).connect() as connection:
        found = [
            connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("lock_timeout", "idle_in_transaction_session_timeout")
        ]
    assert found == ["1min", "2min"]


@pytest.mark.mariadb
def test_a_metadata_lock_is_not_waited_for_a_year(mariadb_url: str) -> None:
    with connecting.engine(mariadb_url).connect() as connection:
        found = connection.execute(
            text("SELECT @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@wait_timeout")
        ).one()
    assert tuple(found) == (60, 60, 120)
