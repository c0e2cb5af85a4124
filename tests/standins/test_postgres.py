"""The wheel's PostgreSQL: started again over what a killed owner left, and stopped for good."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from examples.standins.postgres import Postgres

#: An owner that is killed before it can stop its server.
OWNER = (
    "import os, sys; from pathlib import Path; from examples.standins.postgres import Postgres;"
    "server = Postgres(Path(sys.argv[1])).start(); server.create('kept');"
    "print(server.pid, flush=True); os.kill(os.getpid(), 9)"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's: as root the server is another user, who must reach it."""
    with tempfile.TemporaryDirectory(prefix="daybreak-pg-") as name:
        yield Path(name) / "pg"


def connects(server: Postgres, database: str) -> bool:
    engine = create_engine(server.url(database), poolclass=NullPool)
    try:
        with engine.connect():
            return True
    except OperationalError:
        return False


def test_what_a_killed_owner_left_is_taken_over_and_stopped_for_good(folder: Path) -> None:
    owner = subprocess.run([sys.executable, "-W", "error", "-c", OWNER, str(folder)], capture_output=True)
    left = psutil.Process(int(owner.stdout))
    assert (owner.returncode, owner.stderr, left.is_running()) == (-9, b"", True)

    server = Postgres(folder).start()
    try:
        assert server.pid == left.pid
        assert connects(server, "kept")
    finally:
        server.stop()

    # Where nobody reaps orphans, a zombie stays.
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE


def test_a_number_that_now_belongs_to_somebody_else_is_not_taken_for_the_server(folder: Path) -> None:
    server = Postgres(folder).start()
    pid_file = folder / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")

    server = Postgres(folder).start()
    try:
        assert connects(server, "postgres")
    finally:
        server.stop()


def test_databases_are_made_and_deleted_as_far_as_need_be(folder: Path) -> None:
    server = Postgres(folder).start()
    try:
        server.create("one", "two")
        server.create("two", "three")
        server.drop("one", "never")
        assert [connects(server, name) for name in ("one", "two", "three")] == [False, True, True]
    finally:
        server.stop()
