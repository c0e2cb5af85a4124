"""Whole nights that an interlock refuses: each with its own code, and no call was made that changes anything.

The evening refuses before a schedule is switched off, also what only the morning would meet; so does the
rebuild in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from daybreak.environment.calendar import Phase
from daybreak.environment.machine import State
from daybreak.registry import utc_now
from examples.standins.aws.emulator import AwsEmulator
from tests.fixtures.aws import new_account
from tests.fixtures.night import World, running
from tests.fixtures.tiny import bare_monorepo

pytestmark = [pytest.mark.aws, pytest.mark.postgres]

#: Environment → the code that refuses it. Those of role merge are rebuilt in place: of them the data is
#: scorched at once. Of the others the evening deletes a stack, and the morning scorches what stayed.
REFUSED = {
    "stranger": "wrong_account",
    "stolen-1": "other_environment",
    "older": "other_nonce",
    "unreadable": "tags_unreadable",
    "protected": "protected",
    "merge-blank": "marker_missing",
    "old": "marker_mismatch",
    "large": "plan_too_large",
    "shared": "forbidden_database",
    "rooted": "other_environment",
    "merge-rooted": "other_nonce",
}
#: Whose credentials somebody put where those of `stranger` belong.
STRANGER = new_account()


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, aws: AwsEmulator, postgres_url: str, built: Path
) -> Iterator[World]:
    """After yesterday, when `large` was rebuilt once more: that says what is usual."""
    accounts = {name: new_account() for name in ("unarmed", *REFUSED)}
    twins = new_account()
    accounts |= {"dev-1": twins, "dev-10": twins}
    with running(
        tmp_path_factory.mktemp("locks"), aws, twins, postgres_url, built,
        monorepo=bare_monorepo, accounts=accounts,
    ) as made:  # fmt: skip
        for account in set(accounts.values()):
            made.installation.switches.arm(account, "test")
        today = made.installation
        made.installation = replace(today, clock=lambda: utc_now() - timedelta(days=1))
        made.night("yesterday", ref=made.yesterday)
        assert {made.environment(name).state for name in made.names} == {State.DEGRADED}
        made.night("again", "large")
        made.installation = today
        made.installation.switches.disarm(accounts["unarmed"])
        yield made


def changes(world: World, aws: AwsEmulator, since: int = 0) -> list[Mapping[str, object]]:
    """The mutating calls of all accounts of the world."""
    ours = {*world.accounts.values(), STRANGER}
    return [call for call in aws.journal(since) if call["mutating"] and call["account"] in ours]


def last(aws: AwsEmulator) -> int:
    return max(call["n"] for call in aws.journal())


def test_a_frozen_night_touches_nothing(world: World, aws: AwsEmulator) -> None:
    since, before = last(aws), {name: world.environment(name).version for name in world.names}
    world.installation.switches.freeze("dana", "an audit")
    try:
        said = world.night("frozen")
    finally:
        world.installation.switches.thaw()
    assert changes(world, aws, since) == []
    assert {name: world.environment(name).version for name in world.names} == before
    assert all("an audit" in line for line in said)


def test_an_account_that_nobody_armed_has_a_dry_run(world: World, aws: AwsEmulator) -> None:
    since = last(aws)
    said = world.night("unarmed", "unarmed")
    assert changes(world, aws, since) == []
    assert world.environment("unarmed").state is State.DEGRADED
    assert f"{world.accounts['unarmed']} is not armed" in said[0]


def test_a_twin_by_prefix_in_the_same_account_is_not_touched(world: World, aws: AwsEmulator) -> None:
    since, before = last(aws), world.environment("dev-10").version
    # And its database's creation had been killed before the marker was written.
    with world.database("dev-1").begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    world.night("twins", "dev-1")
    assert world.environment("dev-1").state is State.DEGRADED
    touched = {resource for call in changes(world, aws, since) for resource in call["resources"]}
    assert any("dev-1-" in resource for resource in touched)
    assert not [resource for resource in touched if "dev-10" in resource]
    assert world.environment("dev-10").version == before


@pytest.fixture(scope="module")
def refused(world: World, aws: AwsEmulator) -> list[Mapping[str, object]]:
    """What was called that changes something, in a night in which all of them are to be refused."""

    def stack_tags(name: str, kind: str, **tags: str) -> None:
        formation = world.client("cloudformation", name)
        stack = f"{name}-{kind}"
        now = formation.describe_stacks(StackName=stack)["Stacks"][0]
        labels = {tag["Key"]: tag["Value"] for tag in now["Tags"]}
        formation.update_stack(
            StackName=stack, UsePreviousTemplate=True, Parameters=now["Parameters"],
            Tags=[{"Key": key, "Value": value} for key, value in {**labels, **tags}.items()],
        )  # fmt: skip

    def sql(name: str, *statements: str) -> None:
        with world.database(name).begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    stack_tags("stolen-1", "ephemeral", **{"daybreak:env": "stolen-10"})
    stack_tags("older", "ephemeral", **{"daybreak:nonce": "0123456789abcdef"})
    stack_tags("rooted", "base", **{"daybreak:env": "rooted-1"})
    stack_tags("merge-rooted", "base", **{"daybreak:nonce": "0123456789abcdef"})
    aws.inject("error", "sqs", "ListQueueTags", account=world.accounts["unreadable"], status=403,
               code="AccessDenied", reason="not yours to read")  # fmt: skip
    queue = world.client("sqs", "protected").get_queue_url(QueueName="protected-ingest")["QueueUrl"]
    world.client("sqs", "protected").tag_queue(QueueUrl=queue, Tags={"daybreak:protect": "audit"})
    sql("merge-blank", "DROP TABLE daybreak_marker")
    sql("old", "UPDATE daybreak_marker SET nonce = '0123456789abcdef'")
    sql("large", *(f"CREATE TABLE restored_{n} (note TEXT)" for n in range(40)))
    stranger = boto3.Session(STRANGER, "x", region_name="us-east-1")
    world.sessions[world.accounts["stranger"]] = stranger

    forbidden = world.settings.environment("shared").database_url("fleet_db")
    scorch = world.settings.scorch.model_copy(update={"forbidden": (SecretStr(forbidden),)})
    settings = world.settings.model_copy(update={"scorch": scorch})
    world.installation = replace(world.installation, settings=settings)

    since = last(aws)
    world.night("night", *REFUSED)
    aws.clear_faults(world.accounts["unreadable"])
    return changes(world, aws, since)


@pytest.mark.parametrize("name", REFUSED)
def test_an_interlock_refuses_with_its_code_and_nothing_is_changed(
    world: World, refused: list[Mapping[str, object]], name: str
) -> None:
    env = world.environment(name)
    assert (env.state, env.fault_code) == (State.FAULTED, REFUSED[name]), env.fault_message
    mine = {world.accounts[name]} | ({STRANGER} if name == "stranger" else set())
    assert [call["action"] for call in refused if call["account"] in mine] == []


def test_a_sql_server_that_is_away_in_the_evening_forbids_no_teardown(world: World) -> None:
    plain = world.settings
    asleep = SecretStr("postgresql+psycopg2://nobody@127.0.0.1:1/{database}")
    environments = tuple(
        each.model_copy(update={"sql": asleep}) if each.name == "dev-10" else each
        for each in plain.environments
    )
    settings = plain.model_copy(update={"environments": environments})
    world.installation = replace(world.installation, settings=settings)
    said = world.night("asleep", "dev-10", phases=frozenset({Phase.TEARDOWN}))
    assert world.environment("dev-10").state is State.ABSENT, said
