"""A night over two environments, by the same steps as the DAG, on real servers and acme."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest
from sqlalchemy import create_engine, inspect, text

from daybreak.deploy.host import HostClient, HostDown
from daybreak.environment.calendar import tonight
from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.environment.night.engine import run_night
from daybreak.environment.night.prepare import Request
from daybreak.settings import Settings
from examples.acme_history import create_repository


class World:
    """An installation with acme, two environments, a host for their services."""

    def __init__(self, folder: Path, endpoint: str, account: str, server: str) -> None:
        self.yesterday, self.today = create_repository(folder / "acme")
        self.account, self.endpoint = account, endpoint
        template = server.replace("/postgres?", "/{database}?")
        self.settings = Settings.model_validate(
            {
                "monorepo": {"url": str(folder / "acme")},
                "home": str(folder / "h"),
                "aws": {
                    "endpoint_url": endpoint,
                    "accounts": {account: {"workload": {"access_key_id": account, "secret_access_key": "x"}}},
                },
                "environments": [
                    {"name": f"dev-{account[:4]}{n}", "account": account, "sql": template} for n in (1, 2)
                ],
            }
        )
        self.session = boto3.Session(account, "x", region_name="us-east-1")
        self.installation = Installation.open(self.settings, lambda _: self.session)
        self.names = [each.name for each in self.settings.environments]

    def night(self, run_id: str, **more: object) -> list[str]:
        said: list[str] = []
        request = Request(environments=tuple(self.names), wait=False, **more)  # type: ignore[arg-type]
        self.summary = run_night(self.installation, run_id, request, actor="test", say=said.append)
        return said

    def client(self, service: str):
        return self.session.client(service, endpoint_url=self.endpoint)

    def database(self, name: str):
        environment = self.settings.environment(name)
        return create_engine(environment.database_url("fleet_db"))


@pytest.fixture
def world(tmp_path, aws, aws_account, postgres_url) -> Iterator[World]:
    made = World(tmp_path, aws.endpoint_url, aws_account, postgres_url)
    host = subprocess.Popen([sys.executable, "-m", "daybreak.deploy.host", "--home", str(tmp_path / "h")])
    try:
        for _ in range(100):
            try:
                HostClient(tmp_path / "h").ping()
                break
            except HostDown:
                pass
        yield made
    finally:
        host.send_signal(signal.SIGTERM)
        host.wait(30)


def test_a_night_rebuilds_what_is_dirty_and_keeps_what_is_preserved(world: World) -> None:
    one, two = world.names
    world.installation.switches.arm(world.account, "test")

    # Yesterday's main, on environments that never existed.
    said = world.night("yesterday", ref=world.yesterday)
    assert world.summary.faulted == (), said
    rows = {env.name: env for env in world.installation.environments.all()}
    # Yesterday's commit has a queue that e2e says must not be there.
    assert {rows[name].state for name in world.names} == {State.DEGRADED}
    queues = world.client("sqs").list_queues()["QueueUrls"]
    assert sum("legacy-export" in url for url in queues) == 2

    # A day of use.
    for name in world.names:
        world.client("dynamodb").put_item(TableName=f"{name}-reference", Item={"id": {"S": "left over"}})
        with world.database(name).begin() as connection:
            connection.execute(text("CREATE TABLE scratch (note VARCHAR(9))"))
    world.client("sqs").create_queue(QueueName="nobodys")
    night = tonight(world.settings.night, world.installation.clock()).key
    world.installation.leases.preserve(two, night, "dana", "load test")

    # The night.
    said = world.night("night")
    assert world.summary.faulted == (), said
    rows = {env.name: env for env in world.installation.environments.all()}
    assert (rows[one].state, rows[one].verdict, rows[one].commit) == (State.READY, "passed", world.today)
    assert rows[two].commit == world.yesterday

    items = {
        name: world.client("dynamodb").scan(TableName=f"{name}-reference")["Count"] for name in world.names
    }
    assert items == {one: 0, two: 1}
    scratch = {name: inspect(world.database(name)).has_table("scratch") for name in world.names}
    assert scratch == {one: False, two: True}
    queues = {url.rsplit("/", 1)[1] for url in world.client("sqs").list_queues()["QueueUrls"]}
    assert queues == {f"{one}-ingest", f"{two}-ingest", f"{two}-legacy-export", "nobodys"}

    # The rebuilt services answer for today's commit.
    url = HostClient(world.installation.home).status(one, "trips").url
    assert httpx.get(f"{url}/healthz").json() == {"environment": one, "commit": world.today}


def test_nothing_is_deleted_in_an_account_that_nobody_armed(world: World) -> None:
    world.installation.switches.arm(world.account, "test")
    world.night("first")
    world.installation.switches.disarm(world.account)

    said = world.night("second")

    assert world.summary.faulted == (), said
    assert all(f"dry run, account {world.account} is not armed" in line for line in said[:2])
    assert {env.state for env in world.installation.environments.all()} == {State.READY}
    for name in world.names:
        assert world.client("dynamodb").describe_table(TableName=f"{name}-positions")
