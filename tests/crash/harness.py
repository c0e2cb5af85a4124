"""Kill a night at a point, run it again, and compare its end with that of a night that nobody disturbed."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sqlalchemy import select

from daybreak.registry import tables
from examples.standins.aws.emulator import AwsEmulator
from tests.crash import snapshot
from tests.crash.world import Shared, World, ended

#: What creates a thing, and what takes it away again.
_PAIRS = {"CreateStack": "DeleteStack", "CreateTable": "DeleteTable", "CreateBucket": "DeleteBucket"}


class Harness:
    """The undisturbed night, and what it is compared with."""

    def __init__(self, shared: Shared, emulator: AwsEmulator) -> None:
        self.shared, self.emulator = shared, emulator

    @cached_property
    def undisturbed(self) -> tuple[list[str], dict[str, Any]]:
        """The points of a whole night in their order, and the world after it."""
        world = self.world()
        assert ended(world.started("night")) == 0
        told, after = world.told("night"), snapshot.of(world)
        assert after["registry"]["environment"][0] == "READY", told["said"]
        world.close()
        return told["path"], after

    @property
    def points(self) -> list[str]:
        """All points of a night."""
        return self.undisturbed[0]

    def sample(self, count: int) -> list[str]:
        """So many points, spread evenly over the night."""
        step = len(self.points) / count
        return [self.points[int(number * step)] for number in range(count)]

    def world(self) -> World:
        """A new world with an evening's environment."""
        world = World(self.shared)
        world.yesterday()
        return world

    def kill_at(self, point: str) -> list[str]:
        """What is not as after an undisturbed night; empty when all is."""
        world = self.world()
        try:
            seen = len(self.emulator.journal(account=world.account))
            code = ended(world.started("night", DAYBREAK_CRASH_AT=point))
            if code not in (-9, 0):
                return [f"the night that was to be killed ended with {code}"]
            said = world.night("night")
            wrong = snapshot.difference(snapshot.of(world), self.undisturbed[1])
            wrong += self.journal(world, seen)
            return [*wrong, *(said if wrong else [])]
        finally:
            world.close()

    def journal(self, world: World, seen: int) -> list[str]:
        """What the night did that it must not: make a thing twice, delete what no plan lists."""
        calls = [
            call
            for call in self.emulator.journal(account=world.account)[seen:]
            if call["mutating"] and call["status"] < 400
        ]
        return [*_doubled(calls), *_unplanned(world, calls)]


def _doubled(calls: list[dict[str, Any]]) -> list[str]:
    there: set[str] = set()
    wrong = []
    for call in calls:
        thing = str(call["resources"][:1])
        if call["action"] in _PAIRS:
            if thing in there:
                wrong.append(f"{call['action']} {thing} twice")
            there.add(thing)
        elif call["action"] in _PAIRS.values():
            there.discard(thing)
    return wrong


def _unplanned(world: World, calls: list[dict[str, Any]]) -> list[str]:
    with world.installation.engine.connect() as connection:
        plans = connection.execute(select(tables.scorch_plans.c["items"])).scalars().all()
    listed = {item["identifier"] for plan in plans for item in plan["items"]}
    stacks = {f"{world.name}-{kind}" for kind in ("base", "ephemeral")}
    wrong = []
    for call in calls:
        if not call["action"].startswith(("Delete", "Terminate", "Purge")):
            continue
        names = set(call["resources"])
        planned = any(each in names or any(name in each for name in names) for each in listed)
        if not planned and not any(stack in name for stack in stacks for name in names):
            wrong.append(f"{call['action']} {sorted(names)} is in no plan")
    return wrong
