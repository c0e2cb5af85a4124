"""The health check of components without HTTP, on the job table as Airflow makes it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from airflow.jobs.job import Job
from sqlalchemy import create_engine, insert, make_url, text

from tests.stack.conftest import ROOT

pytestmark = pytest.mark.postgres

HERE = socket.gethostname()


@pytest.fixture
def check(postgres_url: str) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Ask for a DagProcessorJob, where the table has this one job."""
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE alive"))
    url = make_url(postgres_url).set(database="alive")
    engine = create_engine(url)
    Job.__table__.create(engine)

    def run(host: str = HERE, seconds: float = 0, **more: str) -> subprocess.CompletedProcess[str]:
        beat = datetime.now(UTC) - timedelta(seconds=seconds)
        row = {"hostname": host, "job_type": "DagProcessorJob", "state": "running", "latest_heartbeat": beat}
        with engine.begin() as connection:
            connection.execute(insert(Job.__table__), [{**row, **more}])
        return subprocess.run(
            [sys.executable, str(ROOT / "stack" / "alive.py"), "DagProcessorJob"],
            env={**os.environ,
                 "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url.render_as_string(hide_password=False)},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    yield run
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE alive WITH (FORCE)"))
    admin.dispose()


def test_a_component_that_is_busy_for_half_a_minute_is_healthy(
    check: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = check(host=f"{HERE}.stack_default", seconds=30)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize(
    "job",
    [
        {"seconds": 120.0},
        {"state": "success"},
        {"job_type": "TriggererJob"},
        {"host": f"{HERE}2"},
    ],
    ids=["silent", "ended", "another component", "of another container"],
)
def test_what_is_not_at_work_here_is_unhealthy_and_named(
    check: Callable[..., subprocess.CompletedProcess[str]], job: dict[str, str]
) -> None:
    done = check(**job)
    assert done.returncode == 1
    assert done.stdout == f"no DagProcessorJob of {HERE} had a heartbeat in the last 60 s\n"
