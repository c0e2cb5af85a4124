"""The disk of the machine that runs the night is full from the morning on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine

from daybreak.environment.machine import State
from examples.standins.aws.emulator import AwsEmulator
from tests.fixtures.disk import FULL, Disk
from tests.fixtures.night import running
from tests.fixtures.tiny import tiny_monorepo

pytestmark = [pytest.mark.aws, pytest.mark.postgres, pytest.mark.deep]


def test_a_disk_that_fills_up_faults_by_name_and_the_night_after_heals(
    disk: Disk, aws: AwsEmulator, aws_account: str, postgres_url: str, postgres_registry: Engine, built: Path
) -> None:
    registry = postgres_registry.url.render_as_string(hide_password=False)
    with running(
        disk.folder, aws, aws_account, postgres_url, built, registry, monorepo=tiny_monorepo
    ) as world:
        world.installation.switches.arm(aws_account, "test")
        world.night("yesterday", ref=world.yesterday)

        said = world.night("full", hears=lambda line: line.endswith(": scorch") and disk.fill())
        for name in world.names:
            env = world.environment(name)
            assert (env.state, env.fault_code) == (State.FAULTED, "disk_full"), said
            assert re.search(rf"({FULL}): {disk.folder}/.*; make room", env.fault_message or ""), said

        disk.clear()
        said = world.night("roomy")
        assert {world.environment(name).state for name in world.names} == {State.READY}, said
