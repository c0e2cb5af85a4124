"""What is broken on main costs what needs it, not the whole environment; and the end says what is missing."""

from __future__ import annotations

import pytest

from daybreak.environment.machine import State
from daybreak.environment.night.engine import run_night
from daybreak.environment.night.prepare import Request
from daybreak.errors import UsageError
from tests.fixtures.night import World


@pytest.mark.deep
def test_a_service_that_never_becomes_healthy_costs_itself_and_its_dependents(world: World) -> None:
    one, two = world.names
    world.commit(
        {
            "services/telemetry/src/acme_telemetry/app.py": (
                "        positions.load()\n",
                '        raise RuntimeError("no positions today")\n',
            ),
            "resources.py": (
                '"command": ["python", "-m", "acme_telemetry"]',
                '"command": ["python", "-m", "acme_telemetry"], "healthy_seconds": 3',
            ),
        }
    )

    said = world.night("night")

    env = world.installation.environments.get(one)
    assert (env.state, env.verdict) == (State.DEGRADED, "failed"), said
    [row] = world.installation.nights.environments(run_id="night", environment=one)
    assert "telemetry was not deployed: " in row.detail["message"]
    # The end of the service's own log.
    assert "no positions today" in row.detail["message"]
    assert "trips was not deployed: needs telemetry, which was not deployed" in row.detail["message"]
    # What does not need it is there, with its seeds.
    deployed = set(world.installation.deployments.current(two))
    assert {"fleet", "trip_scorer", "daily_mileage"} <= deployed
    assert not {"telemetry", "trips"} & deployed
    assert world.client("dynamodb").scan(TableName=f"{two}-positions")["Count"] > 0


@pytest.mark.deep
def test_a_build_that_fails_costs_its_dependents_only(world: World) -> None:
    one = world.names[0]
    world.commit({"packages/geo/pyproject.toml": ("setuptools.build_meta", "setuptools.no_such")})

    said = world.night("night")

    env = world.installation.environments.get(one)
    assert env.state is State.DEGRADED, said
    [row] = world.installation.nights.environments(run_id="night", environment=one)
    message = row.detail["message"]
    # trips needs mobility, which needs geo.
    assert all(f"{name} was not deployed" in message for name in ("trips", "trip_scorer", "daily_mileage"))
    assert {"fleet", "telemetry"} <= set(world.installation.deployments.current(one))


def test_red_unit_tests_on_main_make_no_environment_ready(world: World) -> None:
    one = world.names[0]
    world.commit({"functions/trip_scorer/tests/test_red.py": ("", "def test_red():\n    assert 1 == 2\n")})

    said = world.night("night")

    env = world.installation.environments.get(one)
    # It is deployed, and e2e is green: of use, but not as it should be.
    assert (env.state, env.verdict) == (State.DEGRADED, "passed"), said
    [row] = world.installation.nights.environments(run_id="night", environment=one)
    assert row.detail["message"] == "unit tests are not green: trip_scorer"


def test_something_untagged_in_the_way_of_the_stack_stays_and_is_named(world: World) -> None:
    one, two = world.names
    sqs = world.client("sqs")
    sqs.create_queue(QueueName=f"{one}-ingest", Attributes={"VisibilityTimeout": "77"})

    said = world.night("night")

    rows = {env.name: env for env in world.installation.environments.all()}
    assert rows[one].state is State.FAULTED, said
    assert f"{one}-ingest" in rows[one].fault_message
    assert rows[two].state is State.READY
    url = sqs.get_queue_url(QueueName=f"{one}-ingest")["QueueUrl"]
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"] == {
        "VisibilityTimeout": "77"
    }


COMMON = 'COMMON = Resource(name="common", type=rt.PACKAGE, '
WRONG = {
    "an unknown name": ("[COMMON]", "[COMON]", r"resources\.py:\d+: .*COMON"),
    "a name twice": ('name="geo"', 'name="common"', r"resources\.py:\d+: .*common"),
    "no such path": ('["packages/geo"]', '["packages/gone"]', r"resources\.py:\d+: .*packages/gone"),
    "a cycle": (
        COMMON,
        f"EDGES = []\n{COMMON}packages_dependency=EDGES, ",
        r"common -\(resources\.py:\d+\)-> geo -\(resources\.py:\d+\)-> common",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_main_whose_catalog_is_wrong_stops_the_night_before_anything_is_changed(
    world: World, aws, wrong: str
) -> None:
    old, new, said = WRONG[wrong]
    world.commit({"resources.py": (old, new)})
    if wrong == "a cycle":
        world.commit({"resources.py": ("BILLING = ", "EDGES += [GEO]\nBILLING = ")})
    world.installation.switches.arm(world.account, "test")

    with pytest.raises(UsageError, match=said):
        world.night("night")

    assert [call for call in aws.journal(account=world.account) if call["mutating"]] == []
    assert world.installation.nights.find("night") is None


def test_a_main_that_breaks_overnight_leaves_environments_absent_with_the_reason(world: World) -> None:
    world.installation.switches.arm(world.account, "test")
    world.night("first")
    one = world.names[0]

    def overnight(line: str) -> None:
        # The evening saw a good main.
        if line == f"{one}: tear_down":
            world.commit({"resources.py": ("[COMMON]", "[COMON]")})

    request = Request(environments=(one,), wait=False)
    summary = run_night(world.installation, "second", request, actor="test", say=overnight)

    env = world.installation.environments.get(one)
    [row] = world.installation.nights.environments(run_id="second", environment=one)
    assert env.state is State.ABSENT
    assert "COMON" in row.detail["message"]
    assert summary.faulted == (one,)
