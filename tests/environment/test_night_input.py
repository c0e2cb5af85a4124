"""What people put in a night's way, and the one clear reason with which it ends."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from daybreak.deploy.host import HostClient
from daybreak.environment.machine import USABLE, State
from tests.fixtures.night import World

BASE = "infra/base/template.yaml"
OLD = """
  OldTable:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: !Sub "${Environment}-old"
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
  OldQueue:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub "${Environment}-old"
"""


@pytest.fixture(scope="module")
def ready(shared_world: World) -> World:
    """Both environments are READY; the tests rebuild the first one and leave the second alone."""
    said = shared_world.night("ready")
    assert {env.state for env in shared_world.installation.environments.all()} == {State.READY}, said
    return shared_world


def test_the_same_seed_gives_every_environment_the_same_rows(ready: World) -> None:
    drivers, positions = [], []
    for name in ready.names:
        with ready.database(name).connect() as connection:
            drivers.append(connection.execute(text("SELECT * FROM drivers ORDER BY id")).all())
        items = ready.client("dynamodb").scan(TableName=f"{name}-positions")["Items"]
        positions.append(sorted(map(repr, items)))
    assert drivers[0] == drivers[1]
    assert positions[0] == positions[1]


def test_suites_without_a_test_are_not_run_and_never_green(ready: World) -> None:
    one, two = ready.names
    monorepo = Path(ready.settings.monorepo.url)
    suites = [str(path.relative_to(monorepo)) for path in (monorepo / "e2e").rglob("test_*.py")]
    ready.branch("no-tests", {}, gone=suites)

    said = ready.night("no-tests", one, ref="no-tests")

    env = ready.environment(one)
    assert (env.state, env.verdict) == (State.DEGRADED, "not_run"), said
    assert ready.ended("no-tests", one).detail["message"] == "no e2e test ran"
    assert ready.environment(two).state is State.READY


def test_a_failing_suite_leaves_the_environment_usable_and_is_named(ready: World) -> None:
    one, _ = ready.names
    ready.branch("red", {"e2e/trips/test_trips.py": ('"roadster"', '"coupe"')})

    said = ready.night("red", one, ref="red")

    env = ready.environment(one)
    assert (env.state, env.verdict) == (State.DEGRADED, "failed"), said
    assert ready.ended("red", one).detail["message"] == (
        "e2e failed: trips.test_trips::test_a_trip_joins_fleet_and_telemetry"
    )
    assert one in ready.summary.lines[0]
    assert "test_a_trip_joins_fleet_and_telemetry" in ready.summary.lines[0]
    url = HostClient(ready.installation.home).status(one, "trips").url
    assert httpx.get(f"{url}/healthz").json()["commit"] == env.commit


def test_data_that_scorching_had_to_leave_is_named_at_the_end(ready: World) -> None:
    one, _ = ready.names
    ready.night("to-spare", one)
    dynamodb, s3 = ready.client("dynamodb"), ready.client("s3")
    table, bucket = f"{one}-reference", f"{one}-lake-{ready.account}"
    arn = dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
    dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": "daybreak:protect", "Value": "audit"}])
    dynamodb.put_item(TableName=table, Item={"id": {"S": "evidence"}})
    s3.delete_bucket_tagging(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="tmp/export.csv", Body=b"stale")

    said = ready.night("spared", one)

    message = str(ready.ended("spared", one).detail.get("message"))
    assert f"dynamodb {table}: it is tagged daybreak:protect" in message, said
    assert f"s3 {bucket}: it is not tagged daybreak:env and daybreak:nonce" in message
    assert dynamodb.scan(TableName=table)["Count"] == 1
    assert s3.get_object(Bucket=bucket, Key="tmp/export.csv")["Body"].read() == b"stale"

    # Without the protection the next night has everything: the stack gave the bucket its tags again.
    dynamodb.untag_resource(ResourceArn=arn, TagKeys=["daybreak:protect"])
    said = ready.night("nothing-spared", one)
    assert ready.environment(one).state is State.READY, said
    assert "message" not in ready.ended("nothing-spared", one).detail
    assert s3.list_objects_v2(Bucket=bucket, Prefix="tmp/")["KeyCount"] == 0


def test_what_could_not_be_built_is_named_with_what_it_cost(ready: World) -> None:
    one, _ = ready.names
    ready.branch("unbuilt", {"packages/geo/pyproject.toml": ("setuptools.build_meta", "setuptools.gone")})

    said = ready.night("unbuilt", one, ref="unbuilt")

    assert ready.environment(one).state is State.DEGRADED, said
    message = ready.ended("unbuilt", one).detail["message"]
    for name in ("trips", "trip_scorer", "daily_mileage"):
        assert f"{name} was not deployed: {name} needs geo, which was not built" in message
    # What is independent of it runs today's commit.
    deployed = ready.installation.deployments.current(one)
    assert set(deployed) == {"infra_base", "infra_ephemeral", "fleet_db", "fleet", "telemetry", "geofences"}
    url = HostClient(ready.installation.home).status(one, "fleet").url
    assert httpx.get(f"{url}/healthz").json()["environment"] == one


def test_two_environments_never_share_a_nonce(ready: World, aws) -> None:
    one, two = ready.names
    environments = ready.installation.environments
    # The nonce that the next run would give to the first environment.
    nonce = hashlib.sha256(f"clash/{one}".encode()).hexdigest()[:16]
    op = environments.begin(
        two, step="clash", holder="clash", actor="test", expect=USABLE, deadline=timedelta(minutes=5)
    )
    environments.rotate_nonce(op, nonce)
    environments.finish(op)
    seen = len(aws.journal(account=ready.account))

    ready.night("clash", one)

    env = ready.environment(one)
    assert (env.state, env.fault_code) == (State.FAULTED, "nonce_taken")
    assert env.fault_message == f"infra: {one} cannot have nonce {nonce}: {two} has it"
    # Nothing carries a name that is not its own.
    stacks = [
        call["action"]
        for call in aws.journal(account=ready.account)[seen:]
        if call["service"] == "cloudformation" and call["mutating"]
    ]
    assert set(stacks) <= {"DeleteStack"}


@pytest.mark.deep
def test_infra_that_main_no_longer_has_goes_unless_it_is_protected(ready: World, aws) -> None:
    one, _ = ready.names
    ready.branch("more", {BASE: ("\n  LakeBucket:", f"{OLD}  LakeBucket:")})
    ready.night("more", one, ref="more")
    sqs, dynamodb = ready.client("sqs"), ready.client("dynamodb")
    queue = sqs.get_queue_url(QueueName=f"{one}-old")["QueueUrl"]
    assert f"{one}-old" in dynamodb.list_tables()["TableNames"]

    sqs.tag_queue(QueueUrl=queue, Tags={"daybreak:protect": "audit"})
    ready.night("refused", one)
    env = ready.environment(one)
    assert (env.state, env.fault_code) == (State.FAULTED, "protected")
    assert f"{one}-old" in env.fault_message
    assert sqs.get_queue_url(QueueName=f"{one}-old")["QueueUrl"] == queue

    sqs.untag_queue(QueueUrl=queue, TagKeys=["daybreak:protect"])
    seen = len(aws.journal(account=ready.account))
    said = ready.night("less", one)

    assert ready.environment(one).state is State.READY, said
    assert f"{one}-old" not in dynamodb.list_tables()["TableNames"]
    assert not [url for url in sqs.list_queues()["QueueUrls"] if url.endswith(f"{one}-old")]
    # By the stack's own update: Daybreak itself deletes no queue, and no table that it does not make anew.
    changes = [
        (call["action"], call["resources"][0])
        for call in aws.journal(account=ready.account)[seen:]
        if call["mutating"] and call["service"] in {"cloudformation", "dynamodb", "sqs"}
    ]
    assert ("UpdateStack", f"{one}-base") in changes
    assert not [action for action, _ in changes if action == "DeleteQueue"]
    deleted, created = (
        {name for action, name in changes if action == wanted} for wanted in ("DeleteTable", "CreateTable")
    )
    assert deleted == created
