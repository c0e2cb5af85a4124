"""A night over two environments: what is dirty is rebuilt, what is preserved stays, what broke says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import httpx
import pytest
from sqlalchemy import create_engine, inspect, select, text

from daybreak.aws import journal
from daybreak.deploy.host import HostClient
from daybreak.environment.calendar import Phase, tonight
from daybreak.environment.decision import Decision, NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.environment.night.report import summarise
from daybreak.environment.scorch.plan import ScorchPlan
from daybreak.registry import tables
from tests.fixtures.night import World


def test_a_night_rebuilds_what_is_dirty_and_keeps_what_is_preserved(world: World) -> None:
    one, two = world.names
    world.installation.switches.arm(world.account, "test")

    # Yesterday's main, on environments that never existed.
    said = world.night("yesterday", ref=world.yesterday)
    assert world.summary.faulted == (), said
    rows = {env.name: env for env in world.installation.environments.all()}
    assert {rows[name].state for name in world.names} == {State.READY}
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


def test_one_broken_environment_is_faulted_and_the_other_is_ready(world: World) -> None:
    one, two = world.names
    # Somebody's database of that very name, without our marker.
    somebodys = world.settings.environment(one).database_url("fleet_db")
    server = create_engine(somebodys.replace(somebodys.split("?")[0].rsplit("/", 1)[1], "postgres", 1))
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'CREATE DATABASE "{one.replace("-", "_")}_fleet_db"'))
    with world.database(one).begin() as connection:
        connection.execute(text("CREATE TABLE payroll (salary INTEGER)"))

    said = world.night("night")

    rows = {env.name: env for env in world.installation.environments.all()}
    assert (rows[one].state, rows[one].fault_code) == (State.FAULTED, "marker_missing"), said
    assert rows[two].state is State.READY
    assert world.summary.faulted == (one,)
    assert inspect(world.database(one)).has_table("payroll")


def test_credentials_of_another_account_change_nothing(world: World, aws) -> None:
    stranger = str(int(world.account) ^ 1).zfill(12)
    session = boto3.Session(stranger, "x", region_name="us-east-1")
    world.installation = Installation.open(world.settings, lambda _: session)

    world.night("night")

    rows = world.installation.environments.all()
    assert {env.fault_code for env in rows} == {"wrong_account"}
    assert [call for call in aws.journal(account=stranger) if call["mutating"]] == []


def test_credentials_that_change_in_the_middle_are_noticed_by_the_step_that_gets_them(
    world: World, aws
) -> None:
    stranger = str(int(world.account) ^ 1).zfill(12)
    other = boto3.Session(stranger, "x", region_name="us-east-1")
    # Seeding has no interlock of its own: it deletes nothing.
    world.installation = Installation.open(
        world.settings,
        lambda environment: (
            other
            if world.installation.environments.get(environment.name).state is State.SEEDING
            else world.session
        ),
    )

    world.night("night")

    assert {env.fault_code for env in world.installation.environments.all()} == {"wrong_account"}
    assert [call for call in aws.journal(account=stranger) if call["mutating"]] == []


def test_a_scorch_that_was_cut_off_between_delete_and_create_gives_the_table_back(world: World, aws) -> None:
    world.installation.switches.arm(world.account, "test")
    world.night("first")
    dynamodb = world.client("dynamodb")
    for name in world.names:
        dynamodb.put_item(TableName=f"{name}-reference", Item={"id": {"S": "left over"}})

    with dying_after("DeleteTable"):
        world.night("cut-off")
    references = {f"{name}-reference" for name in world.names}
    assert not references <= set(dynamodb.list_tables()["TableNames"])

    # The same run again, as Airflow's retry is.
    said = world.night("cut-off")

    assert world.summary.faulted == (), said
    # Asked of the journal: the emulator's UpdateStack makes a missing table anew, which CloudFormation
    # does not.
    calls = [call for call in aws.journal(account=world.account) if call["service"] == "dynamodb"]
    made, gone = (
        sorted(call["resources"][0] for call in calls if call["action"] == action)
        for action in ("CreateTable", "DeleteTable")
    )
    assert gone
    assert made == gone


def test_a_teardown_that_failed_is_not_called_torn_down(world: World) -> None:
    world.installation.switches.arm(world.account, "test")
    world.night("first")
    one, two = world.names
    queue = world.client("sqs").get_queue_url(QueueName=f"{one}-ingest")["QueueUrl"]
    world.client("sqs").tag_queue(QueueUrl=queue, Tags={"daybreak:protect": "audit"})

    said = world.night("evening", phases=frozenset({Phase.TEARDOWN}))

    rows = {env.name: env for env in world.installation.environments.all()}
    assert (rows[one].state, rows[one].fault_code) == (State.FAULTED, "protected"), said
    assert rows[two].state is State.ABSENT
    assert world.summary.faulted == (one,)
    assert "1 torn down" in world.summary.headline


@pytest.mark.deep
def test_plans_are_kept_whole_and_in_the_measure_that_the_next_are_compared_in(world: World) -> None:
    world.installation.switches.arm(world.account, "test")
    world.night("first")
    world.night("second")
    table = tables.scorch_plans
    with world.installation.engine.connect() as connection:
        rows = connection.execute(select(table.c.size, table.c["items"], table.c.status)).all()
    assert rows
    for size, plan, status in rows:
        assert ScorchPlan.from_json(plan).size == size > 0
        assert status == "executed"


@contextmanager
def dying_after(operation: str) -> Iterator[None]:
    """What a killed worker looks like from outside: the call had its effect, and nothing follows it."""

    class Killed(BaseException):
        pass

    def die(call: journal.Call) -> None:
        if call.operation == operation:
            raise Killed

    with journal.listening(die):
        try:
            yield
        except Killed:
            pass
        else:
            raise AssertionError(f"{operation} was never called")


def test_an_environment_that_never_got_its_verdict_is_reported_as_faulted(world: World) -> None:
    installation = world.installation
    night = tonight(world.settings.night, installation.clock()).key
    installation.nights.open(night, "killed")
    decision = Decision(world.names[0], NightAction.REBUILD, "weekend", teardown=True)
    installation.nights.claim(night, world.names[0], "killed", decision.to_json())

    summary = summarise(installation, "killed")

    assert summary.faulted == (world.names[0],)
    assert "torn down" not in summary.headline
