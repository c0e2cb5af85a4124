"""A real Airflow under fire: its components killed in the middle of a night; Ctrl-C beside another demo."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import yaml

from daybreak.orchestration.rest import TaskInstance
from examples.demo.processes import Mark, family
from tests.system.conftest import DAG, Demo, alive, on_a_free_port
from tests.system.processes import airflow, of_task, orphan, until

pytestmark = [pytest.mark.system, pytest.mark.deep]

COMPONENTS = ("scheduler", "triggerer", "dag-processor")


@pytest.fixture(scope="module")
def waiting() -> Iterator[Demo]:
    """A demo whose night will wait for the morning."""
    with on_a_free_port() as made:
        made.start("--wait", "--no-pulls").wait_for(lambda line: "Airflow is up" in line)
        yield made


def test_a_night_whose_components_are_killed_ends_as_it_should(waiting: Demo) -> None:
    demo = waiting
    run_id = _newest_run(demo)
    # Long enough to be met at it.
    demo.aws.inject("stack_duration", None, account=demo.account, stack="dev-01-ephemeral", seconds=4)
    with _morning_kept_ahead(demo):
        until(lambda: _instances(demo, run_id, "evening.tear_down", "running"), demo)
        _kill(demo, "scheduler")
        until(lambda: _instances(demo, run_id, "wait_for_morning", "deferred"), demo)
    for component in COMPONENTS:
        _kill(demo, component)

    # The supervisor of a task is killed; the task itself sleeps until another try has taken over.
    [quieted] = _instances(demo, run_id, "evening.quiesce", "success", "dev-01")
    [instance] = until(
        lambda: _instances(demo, run_id, "environment.infra", "running", index=quieted.map_index), demo
    )
    supervisor, sleeper = of_task(demo, DAG, run_id, instance.task_id, instance.map_index)
    orphan(supervisor, sleeper)
    until(lambda: _try(demo, run_id, instance) > instance.try_number)
    sleeper.resume()

    ended = demo.wait_for(lambda line: line.startswith("night "))
    assert "4 environments, 3 rebuilt, 1 preserved, 0 faulted" in ended
    assert {row["state"] for row in demo.status().values()} == {"READY"}
    assert until(lambda: not alive({sleeper.pid}))
    for component in COMPONENTS:
        assert any(f"{component} was ended by SIGKILL; it is started again" in line for line in demo.lines)
    # Yesterday's and today's: it made nothing twice.
    made = [call for call in demo.aws.journal(account=demo.account)
            if call["action"] == "CreateStack" and call["resources"][0] == "dev-01-ephemeral"]  # fmt: skip
    assert len(made) == 2, made


@pytest.fixture(scope="module")
def second() -> Iterator[Demo]:
    """A demo beside it, in the same clone: each of its starts finds what the end of the one before left."""
    with on_a_free_port() as made:
        yield made


#: As the demo says them; the last one comes after its night.
PHASES = (
    "PostgreSQL, the AWS emulator", "the acme monorepo", "Airflow's database", "building",
    "Airflow: api-server", "the night begins", "pull requests at",
)  # fmt: skip


@pytest.mark.parametrize("phase", PHASES)
def test_a_second_demo_beside_it_leaves_nothing_wherever_ctrl_c_meets_it(
    waiting: Demo, second: Demo, phase: str
) -> None:
    beside = _leaders(waiting)
    second.start(*([] if phase == "pull requests at" else ["--no-pulls"]))
    if phase == "building":
        second.wait_for(lambda line: "Airflow's database" in line)
        runtimes = second.folder / "home" / "runtimes"
        until(lambda: runtimes.is_dir() and any(runtimes.iterdir()))
    else:
        second.wait_for(lambda line: phase in line)
    try:
        sockets = _sockets(second)
    finally:
        code = second.interrupt()
    assert code == 130
    _nothing_is_left(second)
    assert not [each for each in sockets if Path(each).exists()]
    assert len(alive(beside)) == len(beside)
    assert len(waiting.status()) == 4


def _nothing_is_left(demo: Demo) -> None:
    if (demo.folder / "run.json").exists():
        marks = [Mark(each["pid"], each["began"]) for each in demo.record["groups"].values()]
        assert family(marks) == set()
    with (demo.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _morning_kept_ahead(demo: Demo) -> Iterator[None]:
    """The morning comes half a minute after the block, or after somebody began to wait for it."""
    path, done = demo.folder / "daybreak.yaml", threading.Event()

    def move() -> None:
        while True:
            settings = yaml.safe_load(path.read_text())
            morning = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=30)
            settings["night"]["morning"] = morning.time().isoformat()
            new = path.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_text(yaml.safe_dump(settings))
            new.replace(path)
            if done.wait(5):
                return

    mover = threading.Thread(target=move)
    mover.start()
    try:
        yield
    finally:
        done.set()
        mover.join()


def _newest_run(demo: Demo) -> str:
    query = f"SELECT run_id FROM dag_run WHERE dag_id = '{DAG}' AND state = 'running' ORDER BY id DESC"
    return str(until(lambda: airflow(demo, query))[0][0])


def _instances(
    demo: Demo, run_id: str, task: str, state: str, name: str = "", index: int | None = None
) -> list[TaskInstance]:
    """A task's instances: of the environment ``name``, which they have once they ended, or by their index."""
    found = [each for each in demo.tasks(run_id) if (each.task_id, each.state) == (task, state)]
    return [each for each in found if name in ("", each.name) and index in (None, each.map_index)]


def _try(demo: Demo, run_id: str, instance: TaskInstance) -> int:
    [now] = [each for each in demo.tasks(run_id)
             if (each.task_id, each.map_index) == (instance.task_id, instance.map_index)]  # fmt: skip
    return now.try_number if now.state in ("running", "success") else 0


def _kill(demo: Demo, component: str) -> None:
    before = demo.record["groups"][component]
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: demo.record["groups"][component] != before)


def _sockets(demo: Demo) -> set[str]:
    """Paths where its servers listen by now."""
    if not (demo.folder / "run.json").exists():
        return set()
    found = set()
    for pid in demo.group_pids():
        with suppress(psutil.NoSuchProcess):
            found |= {str(each.laddr) for each in psutil.Process(pid).net_connections("unix") if each.laddr}
    return found


def _leaders(demo: Demo) -> set[int]:
    return {each["pid"] for each in demo.record["groups"].values() if psutil.pid_exists(each["pid"])}
