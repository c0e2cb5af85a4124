"""A preserved environment over a night: only its schedules are touched, and they are on again at its end."""

from __future__ import annotations

import pytest

from daybreak.environment.calendar import tonight
from daybreak.environment.machine import State
from tests.fixtures.night import World


@pytest.mark.deep
def test_of_a_preserved_environment_only_the_schedules_are_touched(world: World, aws) -> None:
    one, two = world.names
    world.installation.switches.arm(world.account, "test")
    world.night("first")
    night = tonight(world.settings.night, world.installation.clock()).key
    for name in world.names:
        world.installation.leases.preserve(name, night, "dana", "load test")
    events = world.client("events")
    [by_hand] = [rule["Name"] for rule in events.list_rules(NamePrefix=f"{two}-")["Rules"]]
    events.disable_rule(Name=by_hand)
    seen = len(aws.journal(account=world.account))
    before = world.installation.environments.get(one)

    said = world.night("second")

    assert world.summary.faulted == (), said
    assert "2 preserved" in world.summary.headline
    calls = aws.journal(account=world.account)[seen:]
    changes = [(call["action"], call["resources"][0]) for call in calls if call["mutating"]]
    [rule] = [each["Name"] for each in events.list_rules(NamePrefix=f"{one}-")["Rules"]]
    assert changes == [("DisableRule", rule), ("EnableRule", rule)]
    # What a person had switched off stays off.
    assert events.describe_rule(Name=by_hand)["State"] == "DISABLED"
    after = world.installation.environments.get(one)
    assert (after.state, after.verdict, after.commit) == (State.READY, before.verdict, before.commit)
    [row] = world.installation.nights.environments(run_id="second", environment=one)
    assert row.detail == {"verdict": "preserve", "services": 3, "unhealthy": []}


@pytest.mark.deep
def test_schedules_that_cannot_be_switched_on_again_are_said_and_the_environment_stays_usable(
    world: World, aws
) -> None:
    one, _ = world.names
    world.installation.switches.arm(world.account, "test")
    world.night("first")
    night = tonight(world.settings.night, world.installation.clock()).key
    world.installation.leases.preserve(one, night, "dana", "load test")
    aws.inject("error5xx_before", "events", "EnableRule", account=world.account)

    world.night("second")

    assert world.installation.environments.get(one).state is State.READY
    [row] = world.installation.nights.environments(run_id="second", environment=one)
    assert "its schedules are still off" in row.detail["message"]
    assert one in world.summary.faulted
