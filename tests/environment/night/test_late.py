"""Which environments people wait for at ready-time; on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from daybreak.environment.decision import Decision, NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.environment.night.late import NotReady, lateness
from daybreak.environment.nights import NightStatus
from daybreak.environment.steps import StepStatus

NIGHT = date(2026, 3, 5)
RUN = "run-1"


@pytest.fixture
def night(installation: Installation) -> Installation:
    """dev-01 and dev-02 are to be rebuilt, dev-03 is preserved."""
    installation.register()
    installation.nights.open(NIGHT, RUN)
    for name in ("dev-01", "dev-02", "dev-03"):
        action = NightAction.PRESERVE if name == "dev-03" else NightAction.REBUILD
        decision = Decision(name, action, "", rebuild=action is NightAction.REBUILD)
        installation.nights.claim(NIGHT, name, RUN, decision.to_json())
    return installation


def bring(installation: Installation, name: str, *states: State) -> None:
    for state in states:
        op = installation.environments.begin(
            name, step=state.lower(), holder=RUN, actor="test", expect=set(State), to=state,
            deadline=timedelta(minutes=5), takeover=True,
        )  # fmt: skip
        installation.environments.finish(op)


def test_only_what_is_rebuilt_is_waited_for_and_only_until_its_verdict(night: Installation) -> None:
    bring(night, "dev-01", State.PROVISIONING, State.DEPLOYING, State.SEEDING, State.VERIFYING)
    op = night.environments.begin(
        "dev-01", step="verdict", holder=RUN, actor="test", expect={State.VERIFYING},
        deadline=timedelta(minutes=5),
    )  # fmt: skip
    night.environments.finish(op, State.DEGRADED)
    found = lateness(night, NIGHT)
    # Usable, but its verdict is not written: the night is still at work on it.
    assert [each.name for each in found.missing] == ["dev-01", "dev-02"]
    night.nights.mark(NIGHT, "dev-01", RUN, NightStatus.DONE, {"verdict": "failed"})
    found = lateness(night, NIGHT)
    assert found.missing == (NotReady("dev-02", "ABSENT"),)
    assert (found.expected, found.decided, found.reported) == (2, True, False)
    assert found.ready == datetime(2026, 3, 6, 8, 30, tzinfo=UTC)


def test_what_holds_an_environment_is_its_stage_and_its_last_fault(night: Installation) -> None:
    step = night.nights.step_started(NIGHT, "dev-01", "rebuild", "infra", RUN)
    night.nights.step_finished(step, StepStatus.FAILED, detail={"code": "stack_failed", "message": "no IPs"})
    night.environments.begin(
        "dev-01", step="infra", holder=RUN, actor="test", expect={State.ABSENT}, to=State.PROVISIONING,
        deadline=timedelta(minutes=5),
    )  # fmt: skip
    fault = {"code": "unhealthy", "message": "deploy: trips answers 503"}
    night.nights.mark(NIGHT, "dev-02", RUN, NightStatus.FAULTED, fault)
    assert lateness(night, NIGHT).missing == (
        NotReady("dev-01", "PROVISIONING", "infra", "stack_failed", "no IPs"),
        NotReady("dev-02", "ABSENT", None, "unhealthy", "deploy: trips answers 503"),
    )


def test_a_night_is_reported_when_each_of_its_runs_is(night: Installation) -> None:
    night.nights.open(NIGHT, "rebuild-2")
    night.nights.finish(RUN, {})
    assert not lateness(night, NIGHT).reported
    night.nights.finish("rebuild-2", {})
    assert lateness(night, NIGHT).reported


def test_a_night_that_nobody_decided_left_every_environment_as_it_was(installation: Installation) -> None:
    found = lateness(installation, NIGHT)
    assert (found.decided, found.expected) == (False, 4)
    assert found.missing[0] == NotReady("dev-01", "ABSENT")
    # Before a day off nobody waits.
    assert lateness(installation, date(2026, 3, 6)).missing == ()
