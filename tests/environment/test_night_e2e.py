"""acme's suites are worth their name: whatever is missing from an environment, they say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from daybreak.deploy.host import HostClient
from daybreak.environment.e2e import Verdict
from daybreak.environment.machine import State
from tests.fixtures.night import World

VIN = "1M8GDM9AXKP042788"


@dataclass(frozen=True)
class Missing:
    """Something that is taken away, the test that must find out, and what it must say then."""

    what: str
    take: Callable[[World, str], object]
    test: str
    says: str


def sql(statement: str) -> Callable[[World, str], None]:
    def take(world: World, name: str) -> None:
        with world.database(name).begin() as connection:
            connection.execute(text(statement))

    return take


def a_generated_position(world: World, name: str) -> None:
    dynamodb, table = world.client("dynamodb"), f"{name}-positions"
    generated = next(item for item in dynamodb.scan(TableName=table)["Items"] if item["vin"]["S"] != VIN)
    dynamodb.delete_item(TableName=table, Key={key: generated[key] for key in ("vin", "at")})


def the_positions_of_the_file(world: World, name: str) -> None:
    dynamodb, table = world.client("dynamodb"), f"{name}-positions"
    for item in dynamodb.scan(TableName=table)["Items"]:
        if item["vin"]["S"] == VIN:
            dynamodb.delete_item(TableName=table, Key={key: item[key] for key in ("vin", "at")})


def the_table(table: str) -> Callable[[World, str], object]:
    return lambda world, name: world.client("dynamodb").delete_table(TableName=f"{name}-{table}")


def the_service(service: str) -> Callable[[World, str], object]:
    return lambda world, name: HostClient(world.installation.home).remove(name, service)


DRIVERS = "fleet.test_drivers::test_the_generated_drivers_are_there_and_nobody_else"
VEHICLES = "fleet.test_fleet::test_the_seeded_vehicles_are_there_and_nothing_else"
POSITIONS = "platform.test_platform::test_positions_were_generated"
REFERENCE = "platform.test_platform::test_nothing_of_yesterday_is_in_the_reference_table"
TRIP = "trips.test_trips::test_a_trip_joins_fleet_and_telemetry"

#: In an order in which each one still changes what is said.
MISSING = (
    Missing("seed drivers", sql("DELETE FROM drivers"), DRIVERS, "assert [] == [1, 2"),
    Missing("table drivers", sql("DROP TABLE drivers"), DRIVERS, "UndefinedTable"),
    Missing("seed positions", a_generated_position, POSITIONS, "assert 201 == 202"),
    Missing("file positions", the_positions_of_the_file, TRIP, "404"),
    Missing("table positions", the_table("positions"), POSITIONS, "ResourceNotFoundException"),
    Missing("table reference", the_table("reference"), REFERENCE, "ResourceNotFoundException"),
    Missing("seed vehicles", sql("DELETE FROM vehicles"), VEHICLES, "assert set() == {"),
    Missing("table vehicles", sql("DROP TABLE vehicles"), VEHICLES, "JSONDecodeError"),
    Missing("service trips", the_service("trips"), TRIP, "ConnectError"),
    Missing(
        "service telemetry", the_service("telemetry"),
        "telemetry.test_telemetry::test_the_service_is_of_this_environment", "ConnectError",
    ),
    Missing(
        "service fleet", the_service("fleet"),
        "fleet.test_fleet::test_the_service_is_of_this_environment", "ConnectError",
    ),
)  # fmt: skip


@pytest.mark.deep
def test_every_service_table_and_seed_is_missed_when_it_is_gone(shared_world: World) -> None:
    one, _ = shared_world.names
    said = shared_world.night("whole", one)
    assert shared_world.environment(one).state is State.READY, said

    def found(missing: Missing) -> bool:
        return any(test == missing.test and missing.says in message for test, message in result.failures)

    result = shared_world.e2e("whole", one)
    assert (result.verdict, result.failures) == (Verdict.PASSED, ())
    for missing in MISSING:
        assert not found(missing), f"{missing.what} is missed before it is gone"
        missing.take(shared_world, one)
        result = shared_world.e2e("whole", one)
        assert result.verdict is Verdict.FAILED
        assert found(missing), f"{missing.what}: {result.failures}"


@pytest.mark.deep
def test_all_else_that_the_environment_has_is_missed_too(shared_world: World) -> None:
    _, two = shared_world.names
    account = shared_world.account
    said = shared_world.night("whole too", two)
    assert shared_world.environment(two).state is State.READY, said

    url = shared_world.client("sqs").get_queue_url(QueueName=f"{two}-ingest")["QueueUrl"]
    shared_world.client("sqs").delete_queue(QueueUrl=url)
    shared_world.client("glue").delete_database(Name=f"{two}-lake")
    shared_world.client("events").disable_rule(Name=f"{two}-hourly-mileage")
    shared_world.client("lambda").delete_function(FunctionName=f"{two}-trip-scorer")
    s3 = shared_world.client("s3")
    s3.delete_object(Bucket=f"{two}-lake-{account}", Key="apps/daily_mileage/current.json")
    s3.delete_object(Bucket=f"acme-{two}-geofences", Key="current.json")

    result = shared_world.e2e("whole too", two)

    assert {test for test, _ in result.failures} == {
        "platform.test_platform::test_the_queue_is_there_and_yesterdays_is_not",
        "platform.test_platform::test_the_lake_has_a_catalog",
        "platform.test_platform::test_the_schedule_is_on",
        "platform.test_platform::test_the_scorer_runs_the_deployed_code",
        "platform.test_platform::test_the_spark_application_ran_and_is_remembered",
        "geofences.test_geofences::test_the_rules_are_of_this_environment_and_say_their_commit",
        "geofences.test_geofences::test_a_seeded_position_is_in_its_zone",
    }
