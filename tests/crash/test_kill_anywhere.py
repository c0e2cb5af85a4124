"""A night that is killed anywhere and run again ends as one that nobody disturbed.

Here a sample of the points, spread over the night; `make crash` kills at each of them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from daybreak.registry import utc_now
from tests.crash import snapshot
from tests.crash.harness import RUN, Harness
from tests.crash.world import Shared, World, ended, small_monorepo, stopped

pytestmark = pytest.mark.aws
SAMPLE = 4


@pytest.fixture(scope="module")
def harness(tmp_path_factory, aws, postgres_url, built) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("crash")
    yesterday, today = small_monorepo(folder / "acme")
    shared = Shared(folder, built, aws.endpoint_url, postgres_url, yesterday, today)
    with shared.host():
        yield Harness(shared, aws)


def test_the_points_cover_all_that_a_night_changes(harness: Harness) -> None:
    places = {point.split("/")[1].split(":")[0] for point in harness.points}
    assert places == {"aws", "registry", "sql", "host", "store"}
    text = " ".join(harness.points)
    for change in ("DeleteStack", "CreateStack", "UpdateStack", "DeleteTable", "DisableRule", "EnableRule",
                   "UpdateFunctionCode", "sql:DROP", "host:put", "registry:UPDATE environments"):  # fmt: skip
        assert change in text, change


@pytest.mark.parametrize("number", range(SAMPLE))
def test_a_night_that_is_killed_and_run_again_ends_as_an_undisturbed_one(
    harness: Harness, number: int
) -> None:
    point = harness.sample(SAMPLE)[number]
    assert harness.kill_at(point) == [], point


@pytest.mark.parametrize(
    "point",
    [
        "tear_down/aws:cloudformation.DeleteStack:after",
        "scorch/aws:dynamodb.DeleteTable:after",
        "data/sql:UPDATE daybreak_marker:committed",
        "deploy/host:put:after",
    ],
)
def test_what_wakes_up_after_another_try_took_over_changes_nothing(harness: Harness, point: str) -> None:
    """The orphan of a killed supervisor, or a machine that was asleep: the retry is the same run."""
    world = harness.at(point)
    orphan = world.started(RUN, DAYBREAK_STOP_AT=point)
    assert stopped(orphan)
    world.night(RUN)
    assert harness.differences() == []
    _nothing_more(harness, world, orphan)


def test_the_orphan_of_a_killed_supervisor_stops_once_a_second_try_took_over(harness: Harness) -> None:
    """Only the supervisor is killed: for some seconds two tries of one step are at work at once."""
    world = harness.at("tear_down/begin")
    stack = f"{world.name}-ephemeral"
    harness.emulator.inject("stack_duration", "cloudformation", account=world.account, stack=stack, seconds=2)
    supervisor, orphan = world.supervised(RUN)
    formation = world.client("cloudformation")
    while formation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] != "DELETE_IN_PROGRESS":
        time.sleep(0.02)
    try:
        supervisor.kill()
        ended(supervisor)
        os.kill(orphan, 0)  # it works on
        harness.emulator.faults.clear(world.account)
        world.night(RUN)
        while Path(f"/proc/{orphan}").exists():
            time.sleep(0.02)
    finally:
        harness.emulator.faults.clear(world.account)
    assert harness.differences() == []
    assert "was taken over and must stop" in world.told(RUN)["said"][-1]


def test_a_teardown_that_slept_past_its_deadline_finds_the_environment_rebuilt(harness: Harness) -> None:
    world = harness.at("decide/begin")
    zombie = world.started("zombie", DAYBREAK_STOP_AT="quiesce/aws:events.DisableRule:after")
    assert stopped(zombie)
    present = world.installation
    world.installation = replace(present, clock=lambda: utc_now() + timedelta(hours=1))
    try:
        world.night("by-hand")
        _nothing_more(harness, world, zombie)
    finally:
        world.installation = present
    assert any("left alone" in line for line in world.told("zombie")["said"])


def _nothing_more(harness: Harness, world: World, sleeper: BaseProcess) -> None:
    before = snapshot.of(world)
    version = world.installation.environments.get(world.name).version
    assert before["registry"]["environment"][0] == "READY"
    harness.mutations()

    os.kill(sleeper.pid or 0, signal.SIGCONT)
    ended(sleeper)

    assert harness.mutations() == []
    assert snapshot.difference(snapshot.of(world), before) == []
    assert world.installation.environments.get(world.name).version == version
