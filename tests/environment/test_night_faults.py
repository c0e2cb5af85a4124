"""A night in which every environment has a trouble of its own, and the night after.

Each lives in an account of its own, so that what is broken in one is whole in the others. What can be waited
for is waited for; what cannot is FAULTED with code and reason; nobody is held up by another's trouble; and
the night after, when all is well again, everybody is READY.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daybreak.aws import session as aws_session
from daybreak.aws.retry import Policy
from daybreak.environment.machine import State
from examples.standins.aws.emulator import AwsEmulator
from tests.fixtures.aws import new_account
from tests.fixtures.night import World, running
from tests.fixtures.relay import Outages, Relay
from tests.fixtures.tiny import tiny_monorepo

pytestmark = [pytest.mark.aws, pytest.mark.postgres, pytest.mark.deep]

Fault = dict[str, Any]


def throttled(service: str, action: str, times: int | None = None) -> Fault:
    return {"kind": "throttle", "service": service, "action": action, "times": times}


def bucket(service: str, calls: int) -> Fault:
    """So many calls at once, and so many a second: how EC2 throttles, and here every stage's service."""
    return {"kind": "bucket", "service": service, "capacity": calls, "refill": calls}


def denied(service: str, action: str) -> Fault:
    return {"kind": "error", "service": service, "action": action, "code": "AccessDeniedException",
            "status": 400, "reason": "no permission tonight"}  # fmt: skip


def unanswered(kind: str, service: str, *actions: str) -> list[Fault]:
    """Done once, and the answer does not arrive."""
    return [{"kind": kind, "service": service, "action": action, "times": 1} for action in actions]


def stack(operation: str, logical_id: str, times: int | None = None) -> Fault:
    return {"kind": "stack_failure", "service": None, "operation": operation, "logical_id": logical_id,
            "reason": "no capacity tonight", "times": times}  # fmt: skip


#: What is endured, spread over the stages of evening and morning: READY in the same night.
ENDURED: dict[str, list[Fault]] = {
    "calm": [],
    "slow": [{"kind": "delay", "service": None, "seconds": 0.05},
             {"kind": "linger", "service": None, "seconds": 1.0},
             {"kind": "stack_duration", "service": None, "seconds": 0.5}],
    "bucket": [bucket("dynamodb", 1), *(bucket(service, 2) for service in
               ("cloudformation", "ec2", "events", "lambda", "sqs", "sts"))],
    "busy": [throttled(service, action, 2) for service, action in (
        ("events", "DisableRule"), ("cloudformation", "DeleteStack"), ("dynamodb", "DeleteTable"),
        ("dynamodb", "CreateTable"), ("cloudformation", "UpdateStack"), ("cloudformation", "CreateStack"),
        ("lambda", "UpdateFunctionCode"), ("dynamodb", "BatchWriteItem"), ("events", "EnableRule"))],
    # One of each step's calls: the step is tried twice.
    "broken": [*unanswered("error5xx_after", "events", "DisableRule"),
               *unanswered("error5xx_after", "cloudformation", "DeleteStack", "CreateStack"),
               *unanswered("error5xx_after", "dynamodb", "DeleteTable"),
               *unanswered("error5xx_after", "lambda", "UpdateFunctionCode")],
    "cut": [*unanswered("hang_up_after", "dynamodb", "CreateTable", "BatchWriteItem"),
            *unanswered("hang_up_after", "cloudformation", "UpdateStack"),
            *unanswered("hang_up_after", "events", "EnableRule")],
    # DELETE_FAILED in the evening, ROLLBACK_COMPLETE in the morning.
    "rolled": [stack("delete", "PositionsTable", 1), stack("create", "PositionsTable", 1)],
    # UPDATE_ROLLBACK_COMPLETE
    "back": [stack("update", "WarehouseQueue", 1)],
}  # fmt: skip

#: What is not: code, and a part of the reason.
FAULTED: dict[str, tuple[Fault, str, str]] = {
    "no-quiesce": (denied("events", "DisableRule"), "AccessDeniedException", "quiesce"),
    "no-delete": (stack("delete", "PositionsTable"), "stack_failed", "cannot be deleted: PositionsTable"),
    "no-scorch": (throttled("dynamodb", "DeleteTable"), "scorch_failed", "ThrottlingException"),
    "no-create": (stack("create", "PositionsTable"), "stack_failed", "is ROLLBACK_COMPLETE: PositionsTable"),
    "no-update": (stack("update", "WarehouseQueue"), "stack_failed", "is UPDATE_ROLLBACK_COMPLETE"),
    "no-seed": (throttled("dynamodb", "BatchWriteItem"), "seed_failed", "ThrottlingException"),
    "no-enable": (denied("events", "EnableRule"), "AccessDeniedException", "schedules"),
}

Ends = Mapping[str, tuple[State, str | None, str]]


class Nights:
    """One world and its nights."""

    def __init__(self, world: World, relay: Relay) -> None:
        self.world, self.relay = world, relay

    def ends(self) -> Ends:
        """State, code and reason of each environment."""
        rows = [self.world.environment(name) for name in self.world.names]
        return {row.name: (row.state, row.fault_code, row.fault_message or row.verdict or "") for row in rows}


@pytest.fixture(scope="module")
def nights(
    tmp_path_factory: pytest.TempPathFactory, aws: AwsEmulator, relay: Relay, postgres_url: str, built: Path
) -> Iterator[Nights]:
    """After yesterday."""
    accounts = {name: new_account() for name in (*ENDURED, *FAULTED)}
    with running(
        tmp_path_factory.mktemp("faults"), aws, accounts["calm"], postgres_url, built,
        endpoint=relay.url, monorepo=tiny_monorepo, accounts=accounts,
    ) as world:  # fmt: skip
        for account, session in world.sessions.items():
            aws_session.prepare(session, Policy(attempts=8, base=0.2, cap=2.0))
            world.installation.switches.arm(account, "test")
        made = Nights(world, relay)
        world.night("yesterday", ref=world.yesterday)
        assert {state for state, *_ in made.ends().values()} == {State.READY}
        yield made
        for account in accounts.values():
            aws.clear_faults(account)


@pytest.fixture(scope="module")
def bad(nights: Nights, aws: AwsEmulator) -> Ends:
    """How the night of all the troubles ended."""
    for name, account in nights.world.accounts.items():
        for fault in ENDURED[name] if name in ENDURED else [FAULTED[name][0]]:
            aws.inject(account=account, **fault)
    nights.world.night("bad")
    fired: Counter[str] = Counter()
    for fault in aws.faults.listed():
        fired[fault["account"]] += fault["fired"]
    for name, account in nights.world.accounts.items():
        assert name == "calm" or fired[account], f"{name}: its fault never happened"
        aws.clear_faults(account)
    return nights.ends()


@pytest.mark.parametrize("name", ENDURED)
def test_what_can_be_waited_for_or_tried_again_costs_an_environment_nothing(bad: Ends, name: str) -> None:
    assert bad[name] == (State.READY, None, "passed")


@pytest.mark.parametrize("name", FAULTED)
def test_what_cannot_is_faulted_with_code_and_reason(bad: Ends, name: str) -> None:
    _, code, reason = FAULTED[name]
    assert bad[name][:2] == (State.FAULTED, code)
    assert reason in bad[name][2]


def test_the_night_after_heals_them_all_though_aws_goes_away_in_every_part_of_it(
    nights: Nights, bad: Ends
) -> None:
    # Two outages in a row may meet the same step.
    policy = nights.world.settings.night.model_copy(update={"step_attempts": 3})
    settings = nights.world.settings.model_copy(update={"night": policy})
    plain = nights.world.installation
    nights.world.installation = replace(plain, settings=settings)
    outages = Outages(nights.relay, "quiesce", "tear_down", "scorch", "infra", "deploy", "seed")
    said = "\n".join(nights.world.night("next", hears=outages))
    assert outages.left == [], said
    nights.world.installation = plain
    assert {state for state, *_ in nights.ends().values()} == {State.READY}, said


@pytest.mark.parametrize("since", ["the evening", "infra"])
def test_aws_is_away_for_the_rest_of_a_night_and_the_next_one_heals_them_all(
    nights: Nights, since: str
) -> None:
    world, relay = nights.world, nights.relay
    if since == "the evening":
        relay.cut()
    try:
        world.night(f"away since {since}", hears=lambda line: line.endswith(f": {since}") and relay.cut())
    finally:
        relay.mend()
    for name, (state, code, reason) in nights.ends().items():
        assert state is State.FAULTED, name
        assert code, name
        assert "Could not connect to the endpoint" in reason or "Connection was closed" in reason, reason
    said = "\n".join(world.night(f"after {since}"))
    assert {state for state, *_ in nights.ends().values()} == {State.READY}, said
