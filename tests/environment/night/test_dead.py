"""What a dead task left behind is ended, long after its next try could have come; on both databases."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from daybreak.environment.dead import GIVEN_UP, Dead, settle
from daybreak.environment.decision import Decision, NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.machine import Op, State
from daybreak.environment.nights import NightStatus
from daybreak.errors import LostOp
from tests.fixtures.registry import ManualClock

NIGHT, RUN = date(2026, 3, 5), "scheduled__2026-03-05"


@pytest.fixture
def begun(installation: Installation) -> Op:
    """dev-01 in the middle of its infra stage."""
    installation.register()
    installation.nights.open(NIGHT, RUN)
    decision = Decision("dev-01", NightAction.REBUILD, "", rebuild=True)
    installation.nights.claim(NIGHT, "dev-01", RUN, decision.to_json())
    installation.nights.mark(NIGHT, "dev-01", RUN, NightStatus.RUNNING)
    return begin(installation, RUN, State.PROVISIONING)


def begin(installation: Installation, holder: str, state: State) -> Op:
    return installation.environments.begin(
        "dev-01", step="infra", holder=holder, actor="night", expect=set(State), to=state,
        deadline=timedelta(hours=2), takeover=True,
    )  # fmt: skip


def test_a_live_step_and_one_whose_next_try_may_come_are_left(
    installation: Installation, begun: Op, clock: ManualClock
) -> None:
    assert settle(installation) == []
    clock.now += GIVEN_UP - timedelta(seconds=1)
    installation.environments.heartbeat(begun)
    clock.now += GIVEN_UP
    assert settle(installation) == []


def test_what_died_in_the_middle_is_faulted_and_free_for_another_run(
    installation: Installation, begun: Op, clock: ManualClock
) -> None:
    clock.now += GIVEN_UP + timedelta(seconds=1)
    assert settle(installation) == [Dead("dev-01", RUN, "infra", "faulted")]
    env = installation.environments.get("dev-01")
    assert (env.state, env.fault_code, env.op_token) == (State.FAULTED, "dead_op", None)
    assert RUN in (env.fault_message or "")
    with pytest.raises(LostOp):
        installation.environments.check(begun)
    [row] = installation.nights.environments(night=NIGHT)
    assert (row.status, row.detail["code"]) == (NightStatus.FAULTED, "dead_op")
    assert settle(installation) == []


def test_an_environment_that_was_of_use_stays_so(
    installation: Installation, begun: Op, clock: ManualClock
) -> None:
    op = begun
    for state in (State.DEPLOYING, State.SEEDING, State.VERIFYING, State.READY):
        installation.environments.update(op, to=state)
    clock.now += GIVEN_UP + timedelta(seconds=1)
    assert settle(installation) == [Dead("dev-01", RUN, "infra", "freed")]
    env = installation.environments.get("dev-01")
    assert (env.state, env.op_token) == (State.READY, None)


def test_a_try_that_comes_after_all_keeps_what_it_took(
    installation: Installation, begun: Op, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.now += GIVEN_UP + timedelta(seconds=1)
    rows = installation.environments.all()
    again = begin(installation, RUN, State.PROVISIONING)
    monkeypatch.setattr(installation.environments, "all", lambda: rows)
    assert settle(installation) == []
    installation.environments.check(again)
