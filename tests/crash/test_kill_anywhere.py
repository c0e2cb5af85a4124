"""A night that is killed anywhere and run again ends as one that nobody disturbed.

Here a sample of the points, spread over the night; `make crash` kills at each of them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from daybreak.registry import utc_now
from tests.crash import snapshot
from tests.crash.harness import Harness
from tests.crash.world import Shared, World, ended, small_monorepo, stopped

pytestmark = pytest.mark.aws
SAMPLE = 6


@pytest.fixture(scope="module")
def harness(tmp_path_factory, aws, postgres_url) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("crash")
    yesterday, today = small_monorepo(folder / "acme")
    shared = Shared(folder, aws.endpoint_url, postgres_url, yesterday, today)
    with shared.host():
        yield Harness(shared, aws)


def test_the_points_cover_all_that_a_night_changes(harness: Harness) -> None:
    places = {point.split(":")[0] for point in harness.points}
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
        "aws:cloudformation.DeleteStack:after",
        "aws:dynamodb.DeleteTable:after",
        "sql:UPDATE daybreak_marker:committed",
        "host:put:after",
    ],
)
def test_what_wakes_up_after_another_try_took_over_changes_nothing(harness: Harness, point: str) -> None:
    """The orphan of a killed supervisor, or a machine that was asleep: the retry is the same run."""
    world = harness.world()
    try:
        orphan = world.started("night", DAYBREAK_STOP_AT=point)
        assert stopped(orphan)
        world.night("night")
        _nothing_more(harness, world, orphan)
    finally:
        world.close()


def test_a_teardown_that_slept_past_its_deadline_finds_the_environment_rebuilt(harness: Harness) -> None:
    world = harness.world()
    try:
        zombie = world.started("zombie", DAYBREAK_STOP_AT="aws:events.DisableRule:after")
        assert stopped(zombie)
        world.installation = replace(world.installation, clock=lambda: utc_now() + timedelta(hours=1))
        world.night("by-hand")
        _nothing_more(harness, world, zombie)
        assert any("left alone" in line for line in world.told("zombie")["said"])
    finally:
        world.close()


def _nothing_more(harness: Harness, world: World, sleeper) -> None:
    before = snapshot.of(world)
    version = world.installation.environments.get(world.name).version
    assert before["registry"]["environment"][0] == "READY"
    seen = len(harness.emulator.journal(account=world.account))

    os.kill(sleeper.pid, signal.SIGCONT)
    ended(sleeper)

    late = [call for call in harness.emulator.journal(account=world.account)[seen:] if call["mutating"]]
    assert late == []
    assert snapshot.difference(snapshot.of(world), before) == []
    assert world.installation.environments.get(world.name).version == version
