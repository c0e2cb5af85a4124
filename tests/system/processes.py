"""The processes of a task on the running Airflow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psutil
from sqlalchemy import create_engine, text

from tests.system.conftest import BOOT_SECONDS, Demo, alive

T = TypeVar("T")


def until(says: Callable[[], T], demo: Demo | None = None) -> T:
    """The first answer that is not empty; without one, what the demo said."""
    deadline = time.monotonic() + BOOT_SECONDS
    while not (found := says()):
        assert time.monotonic() < deadline, "\n".join([*demo.lines, *_scheduling(demo)]) if demo else ""
        time.sleep(0.2)
    return found


def _scheduling(demo: Demo) -> list[str]:
    """Where each task instance stands, and what the scheduler said last."""
    states = airflow(
        demo,
        "SELECT run_id, task_id, map_index, state, try_number, last_heartbeat_at, queued_by_job_id"
        " FROM task_instance WHERE state IS NOT NULL ORDER BY start_date",
    )
    log = (demo.folder / "logs" / "scheduler.log").read_text(errors="replace")
    return [*map(repr, states), *log.splitlines()[-60:]]


def airflow(demo: Demo, query: str, **values: object) -> list[tuple[object, ...]]:
    """Rows of Airflow's own database."""
    engine = create_engine(demo.record["registry"].replace("/daybreak?", "/airflow?"))
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]
    finally:
        engine.dispose()


def orphan(supervisor: psutil.Process, task: psutil.Process) -> None:
    """Kill the supervisor, then stop the task, which has a process group of its own. Stopped first, it would
    not outlive its supervisor: the kernel sends SIGHUP to a stopped group that becomes an orphaned one. Much
    later it would not either: it ends by itself at the first line of its log that nobody takes.
    """
    supervisor.kill()
    while task.ppid() == supervisor.pid:
        pass
    task.suspend()
    assert alive({task.pid}), "the orphan ended before it could be stopped"


def of_task(
    demo: Demo, dag: str, run_id: str, task: str, index: int = -1
) -> tuple[psutil.Process, psutil.Process]:
    """A running task: its supervisor, which is a worker of the executor, and the process that does it."""
    [(number,)] = airflow(
        demo,
        "SELECT id FROM task_instance WHERE dag_id = :dag AND run_id = :run AND task_id = :task"
        " AND map_index = :index",
        dag=dag, run=run_id, task=task, index=index,
    )  # fmt: skip

    def found() -> list[psutil.Process]:
        # Of what ends meanwhile there is no title any more.
        titles = {each: " ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])}
        return [process for process, title in titles.items() if f"LocalExecutor: {number}" in title]

    supervisor = until(found)[0]
    return supervisor, until(supervisor.children)[0]
