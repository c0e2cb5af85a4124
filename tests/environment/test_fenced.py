"""What a step remembers is written while it is at work, or not at all."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import Engine

from daybreak.environment.machine import Op, State
from daybreak.environment.memos import ScheduleMemos
from daybreak.environment.nights import Nights
from daybreak.environment.records import Deployments
from daybreak.environment.state import Environments
from daybreak.environment.steps import StepStatus
from daybreak.errors import LostOp
from daybreak.settings import EnvironmentSettings
from tests.fixtures.registry import ManualClock

NAME = "dev-01"


@pytest.fixture
def environments(registry: Engine, clock: ManualClock) -> Environments:
    made = Environments(registry, clock)
    made.ensure(EnvironmentSettings(name=NAME, account="111122223333"))
    return made


def begun(environments: Environments, **more: object) -> Op:
    words = {"step": "infra", "holder": "run-1", "actor": "test", "expect": {*State}, "takeover": True}
    return environments.begin(NAME, deadline=timedelta(minutes=20), **{**words, **more})  # type: ignore[arg-type]


def test_who_was_overtaken_remembers_and_forgets_nothing(
    registry: Engine, clock: ManualClock, environments: Environments
) -> None:
    """A try that slept since it saw a schedule off would else remember that as how it was."""
    orphan = begun(environments)
    old = ScheduleMemos(registry, NAME, clock, partial(environments.fenced, orphan))
    retry = begun(environments)
    new = ScheduleMemos(registry, NAME, clock, partial(environments.fenced, retry))

    with pytest.raises(LostOp):
        old.put_once("tick", {"state": "DISABLED"})
    new.put_once("tick", {"state": "ENABLED"})
    with pytest.raises(LostOp):
        old.clear()
    deployed = Deployments(registry, clock, partial(environments.fenced, orphan))
    with pytest.raises(LostOp):
        deployed.record(NAME, "trips", "k", "c", "r")

    assert new.all() == {"tick": {"state": "ENABLED"}}
    assert deployed.current(NAME) == {}


def test_past_its_deadline_a_step_remembers_nothing(
    registry: Engine, clock: ManualClock, environments: Environments
) -> None:
    op = begun(environments)
    clock.advance(minutes=21)
    with pytest.raises(LostOp) as lost:
        ScheduleMemos(registry, NAME, clock, partial(environments.fenced, op)).put_once("tick", {})
    assert lost.value.code == "deadline"


def test_the_end_of_a_step_is_one_transaction(
    registry: Engine, clock: ManualClock, environments: Environments
) -> None:
    """State, event and the step's row: what fails in one of them undoes the others."""
    nights = Nights(registry, clock)
    key = (clock().date(), NAME, "rebuild", "infra", "run-1")
    op = begun(environments, to=State.PROVISIONING)
    row = nights.step_started(*key, token=op.token)
    nights.step_started(*key, token="another try's")
    before = environments.get(NAME), environments.events(NAME)

    with pytest.raises(LostOp):
        environments.finish(
            op,
            State.DEPLOYING,
            also=[lambda tx, *_: nights.step_finished(row, StepStatus.DONE, connection=tx)],
        )
    assert (environments.get(NAME), environments.events(NAME)) == before
    assert not nights.is_done(*key)


def test_a_deployment_is_written_once_for_each_run(registry: Engine, clock: ManualClock) -> None:
    deployments = Deployments(registry, clock)
    for run in ("run-1", "run-1", "run-2"):
        deployments.record(NAME, "trips", "k1", "c1", run)
    assert [each.run_id for each in deployments.history(NAME, "trips")] == ["run-2", "run-1"]


def test_the_tokens_of_a_step_outlive_a_try_and_not_its_overtaking(
    registry: Engine, clock: ManualClock, environments: Environments
) -> None:
    nights = Nights(registry, clock)
    key = (clock().date(), NAME, "rebuild", "infra", "run-1")
    first = nights.step_started(*key)
    nights.keep_tokens(first, {"dev-01-base": {"request": "r", "token": "t"}})
    second = nights.step_started(*key)
    assert second.tokens == {"dev-01-base": {"request": "r", "token": "t"}}
    with pytest.raises(LostOp):
        nights.keep_tokens(first, {})
