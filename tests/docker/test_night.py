"""acme's night where its services are containers, built by its own unmodified Dockerfiles."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from daybreak.environment.machine import State
from examples.standins.aws.emulator import AwsEmulator
from tests.docker.conftest import sweep
from tests.fixtures.engine import Engine
from tests.fixtures.night import running


@pytest.mark.deep
def test_a_night_ends_green_with_every_service_in_a_container(
    engine: Engine, tmp_path: Path, aws: AwsEmulator, aws_account: str, mariadb_url: str, built: Path
) -> None:
    at = {"url": engine.url}
    with (
        contextlib.closing(engine.client()) as client,
        running(
            tmp_path, aws, aws_account, mariadb_url, built,
            runtime={"runtime": "docker", "engine": at}, build={"images": {"engine": at, "network": "host"}},
        ) as world,
    ):  # fmt: skip
        try:
            [name, _] = world.names
            world.installation.switches.arm(world.account, "test")
            said = world.night("night-1", name)
            assert world.environment(name).state is State.READY, "\n".join(said)
            roles = sorted(
                (each.labels["dev.daybreak.resource"], each.labels["dev.daybreak.role"])
                for each in client.containers.list(filters={"label": f"dev.daybreak.environment={name}"})
                if each.labels["dev.daybreak.role"] != "loopback"
            )
            services = ("fleet", "telemetry", "trips")
            assert roles == sorted((each, role) for each in services for role in ("service", "front"))
            sboms = [path for path in world.installation.store.list("images") if path.endswith("sbom.json")]
            assert {path.split("/")[1] for path in sboms} == set(services)
        finally:
            sweep(client)
