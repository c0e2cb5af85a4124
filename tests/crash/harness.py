"""Kill a night at a point, run it again, and compare its end with that of a night that nobody disturbed."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sqlalchemy import select

from daybreak.environment.rows import Event
from daybreak.registry import tables
from examples.standins.aws.emulator import AwsEmulator
from tests.crash import events, journal, snapshot
from tests.crash.points import BUILD
from tests.crash.saved import Saved, restore, save
from tests.crash.world import Shared, World, ended, stopped

#: The run that is killed and run again.
RUN = "night"


@dataclass
class Undisturbed:
    """A night that nobody disturbed.

    :param saved: the world at the beginning of each step; `decide` is the evening.
    """

    points: list[str]
    after: dict[str, Any]
    events: list[Event]
    saved: dict[str, Saved] = field(default_factory=dict)


class Harness:
    """The undisturbed night, and what it is compared with."""

    def __init__(self, shared: Shared, emulator: AwsEmulator) -> None:
        self.shared, self.emulator = shared, emulator
        self.world = World(shared)
        self._last = 0
        self._goes_with_its_stack: dict[str, set[str]] = {}

    @cached_property
    def undisturbed(self) -> Undisturbed:
        """A whole night, saved at the beginning of each of its steps."""
        world = self.world
        world.yesterday()
        self._goes_with_its_stack = self._members("ephemeral")
        saved = [save(world, self.emulator, "evening")]
        self._seen()
        process = world.started(RUN, DAYBREAK_STOP_AT="*/begin")
        while stopped(process):
            saved.append(save(world, self.emulator, f"step_{len(saved)}"))
            os.kill(process.pid or 0, signal.SIGCONT)
        assert ended(process) == 0
        told, after = world.told(RUN), snapshot.of(world)
        assert after["registry"]["environment"][0] == "READY", told["said"]
        assert self._journal() == []
        path = [point for point in told["path"] if not point.startswith(f"{BUILD}/")]
        steps = list(dict.fromkeys(point.split("/")[0] for point in path))
        assert len(steps) == len(saved), steps
        by_step = dict(zip(steps, saved, strict=True))
        # After the teardown, but nothing of today is built yet. What is built is there for every later night.
        by_step[BUILD] = replace(by_step["tear_down"], stored=saved[0].stored)
        # Building is the same for each resource: it is killed once at each kind of point.
        building = [point for point in told["path"] if re.fullmatch(f"{BUILD}/.*:1", point)]
        return Undisturbed(
            [*path, *building], after, world.installation.environments.events(world.name), by_step
        )

    @property
    def points(self) -> list[str]:
        """All points of a night."""
        return self.undisturbed.points

    def sample(self, count: int) -> list[str]:
        """So many points, spread evenly over the night."""
        step = len(self.points) / count
        return [self.points[int(number * step)] for number in range(count)]

    def at(self, point: str) -> World:
        """The world at the beginning of the point's step, as the undisturbed night found it."""
        step, place = point.split("/", 1)
        # What is in the store already is not put there again, so a night would not come by.
        unbuilt = step == BUILD or place.startswith("store:")
        restore(self.world, self.emulator, self.undisturbed.saved[step], unbuilt=unbuilt)
        self._seen()
        return self.world

    def kill_at(self, point: str) -> list[str]:
        """What is not as after an undisturbed night; empty when all is."""
        world = self.at(point)
        code = ended(world.started(RUN, DAYBREAK_CRASH_AT=point))
        if code == 0:
            return ["this night did not come by here"]
        if code != -signal.SIGKILL:
            return [f"the night that was to be killed ended with {code}"]
        said = world.night(RUN)
        wrong = self.differences()
        return [*wrong, *(said if wrong else [])]

    def differences(self) -> list[str]:
        """What is not as after an undisturbed night, or was done on the way and must not be."""
        present = self.world.installation.environments.events(self.world.name)
        return [
            *snapshot.difference(snapshot.of(self.world), self.undisturbed.after),
            *events.wrong(present, self.undisturbed.events),
            *self._journal(),
        ]

    def mutations(self) -> list[str]:
        """What changed the account since the last look."""
        return [f"{call['service']}.{call['action']}" for call in self._seen() if call["mutating"]]

    def _journal(self) -> list[str]:
        calls = journal.done(self._seen())
        with self.world.installation.engine.connect() as connection:
            plans = connection.execute(select(tables.scorch_plans.c["items"])).scalars().all()
        return [*journal.doubled(calls), *journal.unplanned(calls, plans, self._goes_with_its_stack)]

    def _seen(self) -> list[dict[str, Any]]:
        """The calls since the last look."""
        calls = self.emulator.journal(self._last, account=self.world.account)
        self._last = calls[-1]["n"] if calls else self._last
        return calls

    def _members(self, kind: str) -> dict[str, set[str]]:
        stack = f"{self.world.name}-{kind}"
        client = self.world.client("cloudformation")
        found = client.describe_stack_resources(StackName=stack)["StackResources"]
        buckets = {each["PhysicalResourceId"] for each in found if each["ResourceType"] == "AWS::S3::Bucket"}
        return {"cloudformation": {stack}, "s3": buckets}
