"""The lane of a running Airflow under fire: runs marked by hand, a killed supervisor, a smaller graph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from sqlalchemy import select

from daybreak.merge.control import Control
from daybreak.merge.findings import Findings
from daybreak.merge.rows import Attempt
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from daybreak.registry import merge_tables as tables
from tests.system.conftest import Demo, alive
from tests.system.lane import DAG, Lane
from tests.system.processes import of_task, orphan

pytestmark = [pytest.mark.system, pytest.mark.deep, pytest.mark.timeout(1500)]

TELEMETRY = "services/telemetry/src/acme_telemetry/app.py"
#: Until a killed supervisor's task is tried again, see `task_instance_heartbeat_timeout` in examples/demo.
SILENCE = 300


@pytest.fixture(scope="module")
def lane(demo: Demo) -> Lane:
    made = Lane(demo)
    made.idle()
    return made


@contextmanager
def paused(lane: Lane) -> Iterator[None]:
    """Nothing new enters the lane."""
    control = Control(lane.demo.installation.engine)
    control.pause("system tests", by="noa")
    try:
        yield
    finally:
        control.resume(by="noa")


def mark(demo: Demo, run_id: str, state: str) -> None:
    """What the button in Airflow does."""
    answer = demo.http.patch(f"/api/v2/dags/{DAG}/dagRuns/{run_id}", json={"state": state})
    answer.raise_for_status()


def history(lane: Lane, run_id: str) -> list[str]:
    table = tables.merge_events
    query = select(table.c.to_state).filter_by(subject=f"attempt:{run_id}").order_by(table.c.id)
    with lane.demo.installation.engine.connect() as connection:
        states = list(connection.execute(query).scalars())
    return [state for n, state in enumerate(states) if n == 0 or states[n - 1] != state]


def ended(lane: Lane, run_id: str) -> Attempt:
    """The attempt once it left the lane; then nobody is in it and main runs there."""
    found = lane.attempt(run_id, A.REVERTED, A.CONFIRMED, A.QUARANTINED, seconds=400)
    lane.idle()
    return found


def test_whatever_is_done_to_a_run_in_the_lane_main_runs_there_afterwards(lane: Lane) -> None:
    demo, main = lane.demo, lane.main()
    number = lane.open("newest-first", {TELEMETRY: ("from", "# Newest first.\nfrom")})
    sha = lane.github.pull("acme/acme", number)["head"]["sha"]
    first, second, third = (f"pr-{number}-{sha[:7]}-{n}" for n in (1, 2, 3))
    lane.say(number)

    # Marked failed, then marked successful: taken back both times, and it goes on by itself.
    for run_id, state in ((first, "failed"), (second, "success")):
        lane.attempt(run_id, A.TESTING, seconds=400)
        with paused(lane):
            mark(demo, run_id, state)
            assert ended(lane, run_id).state is A.REVERTED
            assert lane.main() == main
            # Nobody reads it as one that landed.
            assert lane.run_ended(run_id).state == "failed"
        entry = lane.entry(number)
        assert entry is not None
        assert entry.ended_at is None

    # The supervisor of a task is killed; the task itself sleeps until another try has taken over.
    lane.attempt(third, A.TESTING, seconds=400)
    supervisor, sleeper = of_task(demo, DAG, third, "e2e")
    orphan(supervisor, sleeper)
    tries = lane.until(lambda: [each for each in demo.tasks(third, DAG)
                                if each.task_id == "e2e" and each.try_number > 1 and each.state == "running"],
                       SILENCE)  # fmt: skip
    assert tries
    sleeper.resume()
    [done] = lane.ended(number, seconds=480)
    assert (done.state, done.run_id) == (E.LANDED, third)
    assert ended(lane, third).state is A.CONFIRMED
    assert lane.until(lambda: not alive({sleeper.pid}), 60)
    # Each step once, in order: nothing of the orphan's is among them.
    assert history(lane, third) == [
        "PLANNED", "LEASED", "PREPARED", "DEPLOYING", "DEPLOYED", "TESTING", "PASSED", "LANDING", "LANDED",
        "CONFIRMED",
    ]  # fmt: skip
    assert lane.landed() == [f"Merge #{number}: Add newest-first"]
    assert lane.never_interleaved()


@contextmanager
def no_builds(demo: Demo) -> Iterator[None]:
    """What is to be built waits."""

    def slots(count: int) -> None:
        # The whole of it: with less, Airflow 3.3 finds the rest missing.
        whole = {"pool": "builds", "slots": count, "include_deferred": False}
        demo.http.patch("/api/v2/pools/builds", json=whole).raise_for_status()

    slots(0)
    try:
        yield
    finally:
        slots(2)


@contextmanager
def without(lane: Lane, *names: str) -> Iterator[None]:
    """The published graph, and so the DAG, has these resources no more."""
    path = lane.demo.folder / "home" / "graph.json"
    whole = path.read_text()
    graph: dict[str, Any] = json.loads(whole)
    graph["resources"] = [
        {**each, "dependencies": [need for need in each["dependencies"] if need not in names]}
        for each in graph["resources"]
        if each["name"] not in names
    ]
    path.write_text(json.dumps(graph))
    try:
        yield
    finally:
        path.write_text(whole)


def test_a_graph_that_shrinks_in_mid_run_never_lands_less_than_was_planned(lane: Lane) -> None:
    demo = lane.demo
    number = lane.open("oldest-first", {TELEMETRY: ("from", "# Oldest first.\nfrom")})

    def drawn() -> set[str]:
        said = demo.http.get(f"/api/v2/dags/{DAG}/tasks").json()["tasks"]
        return {each["task_id"] for each in said}

    with ExitStack() as builds_wait:
        builds_wait.enter_context(no_builds(demo))
        lane.say(number)

        def begun() -> str:
            runs = demo.rest.going_on(DAG)
            return next((each.run_id for each in runs if each.conf.get("pr") == number), "")

        run_id = lane.until(begun, 200)

        def waiting() -> bool:
            found = {each.task_id: each.state for each in demo.tasks(run_id, DAG)}
            return found.get("telemetry.build") in ("scheduled", "queued")

        lane.until(waiting, 200)
        with without(lane, "telemetry", "trips"):
            lane.until(lambda: not drawn() & {"telemetry.build", "trips.build"}, 200)
            builds_wait.close()
            [done] = lane.ended(number, seconds=480)
    assert done.state is E.LANDED, done.reason
    found = Findings.of(demo.installation.store, run_id)
    assert found is not None
    assert {"telemetry", "trips"} <= set(found.deployed)
    assert found.tests >= 2
    lane.idle()
