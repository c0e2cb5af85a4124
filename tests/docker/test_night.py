"""acme's night where its services are containers, built by its own Dockerfiles; and what prune leaves."""

from __future__ import annotations

import contextlib
from pathlib import Path

import docker
import pytest

from daybreak.build.images.engine import KEY, RESOURCE
from daybreak.build.images.image import Images
from daybreak.environment.images import needed, prune_all
from daybreak.environment.machine import State
from examples.standins.aws.emulator import AwsEmulator
from tests.docker.conftest import sweep
from tests.fixtures.engine import Engine
from tests.fixtures.night import World, running


def images_of(world: World, client: docker.DockerClient) -> Images:
    settings = world.settings.build.images
    return Images(client, settings.engine, settings, world.installation.home)


@pytest.mark.deep
def test_a_night_ends_green_with_every_service_in_a_container(
    engine: Engine, tmp_path: Path, aws: AwsEmulator, aws_account: str, mariadb_url: str, built: Path
) -> None:
    at = {"url": engine.url}
    images = {"engine": at, "network": "host", "keep": 1, "keep_days": 0}
    with (
        contextlib.closing(engine.client()) as client,
        running(
            tmp_path, aws, aws_account, mariadb_url, built,
            runtime={"runtime": "docker", "engine": at}, build={"images": images},
        ) as world,
    ):  # fmt: skip
        sweep(client)
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
            # With nothing kept for its age or number: what runs and what was deployed lately stays.
            wanted = {pair for pair in needed(world.installation) if pair[0] in services}
            assert {pair[0] for pair in wanted} == set(services)
            for kind in ("stray", "newest"):  # of each service the newest one stays
                labels = {RESOURCE: "trips", KEY: kind.ljust(64, "0")}
                made = client.api.create_container("python:3.13-slim", ["true"], labels=labels)
                client.api.commit(made, "daybreak/trips", kind)
                client.api.remove_container(made)
            running_now = {each.id for each in client.containers.list()}
            gone = [each.tag for each in prune_all(world.installation, said.append)]
            assert gone == ["daybreak/trips:stray"]
            left = {(each.labels[RESOURCE], each.labels[KEY])
                    for each in client.images.list(filters={"label": KEY})}  # fmt: skip
            assert wanted <= left
            assert {each.id for each in client.containers.list()} == running_now
            for resource, key in wanted:
                # What an environment would go back to is found by its key, and nothing is built for it.
                assert images_of(world, client).of_key(resource, key) is not None
            sboms = [path for path in world.installation.store.list("images") if path.endswith("sbom.json")]
            assert {path.split("/")[1] for path in sboms} == set(services)
        finally:
            sweep(client)
