"""Connections to environments' databases end by themselves when nobody is behind them any more."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from daybreak.deploy import connecting


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
