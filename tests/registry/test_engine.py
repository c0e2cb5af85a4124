"""The registry's connections."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import StatementError

from daybreak.errors import UsageError
from daybreak.registry import connect, tables
from daybreak.registry.engine import insert_new, upsert

NOW = datetime(2026, 3, 5, 18, tzinfo=UTC)
ARM = {"account": "123456789012", "by": "dana", "at": NOW}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql+pymysql://u:s3cret@h/db", "mysql is not supported"),
        ("nonsense s3cret", "no SQLAlchemy URL"),
        ("sqlite://", "in memory"),
    ],
)
def test_a_url_that_cannot_be_a_registry_is_refused_without_showing_it(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        connect(url)
    assert "s3cret" not in str(caught.value)


def test_sqlite_makes_its_folder_and_waits_for_other_writers(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'new' / 'folder' / 'r.db'}")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 30_000
    engine.dispose()


def test_sqlite_writers_that_read_first_queue_up_instead_of_failing(sqlite_registry: Engine) -> None:
    """With a deferred BEGIN most of these would end in 'database is locked'."""
    table = tables.flags
    with sqlite_registry.begin() as connection:
        connection.execute(table.insert().values(name="count", by="t", at=NOW, reason="0"))
    failures: list[Exception] = []

    def count() -> None:
        try:
            for _ in range(20):
                with sqlite_registry.begin() as connection:
                    value = int(
                        connection.execute(select(table.c.reason).filter_by(name="count")).scalar_one()
                    )
                    connection.execute(table.update().values(reason=str(value + 1)))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=count) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with sqlite_registry.connect() as connection:
        assert connection.execute(select(table.c.reason)).scalar_one() == "120"


def test_who_reads_sqlite_waits_for_no_writer_and_keeps_none_waiting(sqlite_registry: Engine) -> None:
    table = tables.flags
    with sqlite_registry.connect() as reader:
        assert reader.execute(select(table.c.reason)).all() == []
        with sqlite_registry.begin() as writer:
            writer.execute(table.insert().values(name="count", by="t", at=NOW, reason="0"))
            with sqlite_registry.connect() as other:
                assert other.execute(select(table.c.reason)).all() == [], "as it was before"
        assert reader.execute(select(table.c.reason)).all() == [], "one reader sees one state"
    with sqlite_registry.connect() as reader:
        assert reader.execute(select(table.c.reason)).all() == [("0",)]


def test_instants_come_back_in_utc(registry: Engine) -> None:
    there = datetime(2026, 3, 5, 20, 0, 0, 123456, tzinfo=ZoneInfo("Asia/Jerusalem"))
    with registry.begin() as connection:
        connection.execute(tables.arms.insert().values(**{**ARM, "at": there}))
    with registry.connect() as connection:
        at = connection.execute(select(tables.arms.c.at)).scalar_one()
    assert at == there
    assert at.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(registry: Engine) -> None:
    with pytest.raises(StatementError, match="no time zone"), registry.begin() as connection:
        connection.execute(tables.arms.insert().values(**{**ARM, "at": NOW.replace(tzinfo=None)}))


def test_insert_new_keeps_the_first_row_and_says_so(registry: Engine) -> None:
    with registry.begin() as connection:
        assert insert_new(connection, tables.arms, ARM)
        assert not insert_new(connection, tables.arms, {**ARM, "by": "eli"})
        assert connection.execute(select(tables.arms.c.by)).scalars().all() == ["dana"]


def test_upsert_replaces_the_values(registry: Engine) -> None:
    with registry.begin() as connection:
        for by in ("dana", "eli"):
            upsert(connection, tables.arms, {"account": ARM["account"]}, {"by": by, "at": NOW})
        assert connection.execute(select(tables.arms.c.by)).scalars().all() == ["eli"]
