"""What a night says of an environment at its end, from what its steps wrote."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import boto3
import pytest
from sqlalchemy import Engine

from daybreak.change.plan import SCHEMA
from daybreak.environment.calendar import Phase
from daybreak.environment.decision import Decision, NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.environment.night import morning
from daybreak.environment.night.verdict import verdict
from daybreak.environment.night.work import Work, run
from daybreak.environment.nights import LeftAlone, NightStatus
from daybreak.environment.steps import StepStatus
from daybreak.errors import DaybreakError
from daybreak.settings import Settings
from daybreak.store import Store
from tests.fixtures.registry import ManualClock

ACCOUNT = "123456789012"
NIGHT = date(2026, 3, 5)
REBUILD = Decision("dev-01", NightAction.REBUILD, "a working day follows", teardown=True, rebuild=True)


@pytest.fixture
def installation(tmp_path: Path, registry: Engine, clock: ManualClock) -> Installation:
    settings = Settings.model_validate(
        {
            "home": str(tmp_path / "home"),
            "aws": {"accounts": {ACCOUNT: {}}},
            "environments": [{"name": "dev-01", "account": ACCOUNT}],
        }
    )
    store = Store((tmp_path / "store").as_uri())
    made = Installation(settings, registry, store, lambda _: boto3.Session(), clock)
    made.register()
    return made


@pytest.fixture
def work(installation: Installation) -> Work:
    installation.nights.open(NIGHT, "run", plan=[REBUILD.to_json()])
    installation.nights.claim(NIGHT, "dev-01", "run", REBUILD.to_json())
    return Work(installation, "run", NIGHT, REBUILD)


def state(work: Work) -> State:
    return work.installation.environments.get("dev-01").state


def status(work: Work) -> tuple[NightStatus, dict]:
    [row] = work.installation.nights.environments(environment="dev-01")
    return row.status, dict(row.detail)


def go(work: Work, *states: State) -> None:
    env = work.installation.environments.get("dev-01")
    for each in states:
        env = work.installation.environments.transition(env, each, actor="test")


def step(work: Work, name: str, outcome: StepStatus = StepStatus.DONE, **detail: object) -> None:
    nights = work.installation.nights
    row = nights.step_started(NIGHT, "dev-01", Phase.REBUILD, name, "run")
    nights.step_finished(row, outcome, detail=detail)


def pin(work: Work) -> None:
    """A plan of nothing."""
    work.installation.runs.pin(
        "run", kind="nightly", commit="c", catalog_digest="d",
        plan={"schema": SCHEMA, "commit": "c" * 40, "base": None, "catalog_digest": "d", "steps": [],
              "removed": [], "unowned": [], "fallback": None},
    )  # fmt: skip


BUILT = (State.PROVISIONING, State.DEPLOYING, State.SEEDING, State.VERIFYING)


@pytest.mark.parametrize(
    ("said", "expected"),
    [("passed", State.READY), ("failed", State.DEGRADED), ("not_run", State.DEGRADED)],
)
def test_only_green_e2e_makes_it_ready(work: Work, said: str, expected: State) -> None:
    pin(work)
    go(work, *BUILT)
    step(work, "e2e", verdict=said, tests=3)
    assert verdict(work)["verdict"] == said
    env = work.installation.environments.get("dev-01")
    assert (env.state, env.verdict, env.commit) == (expected, said, "c" * 40)
    # A second try of the same task finds it judged.
    assert verdict(work)["verdict"] == said


def test_what_passed_only_when_it_was_tried_again_is_ready_and_named(work: Work) -> None:
    pin(work)
    go(work, *BUILT)
    step(work, "e2e", verdict="passed", tests=9, flaky=[f"test_{n}" for n in range(7)])
    said = "flaky, passed when tried again: test_0, test_1, test_2, test_3, test_4 and 2 more"
    assert verdict(work) == {"verdict": "passed", "tests": 9, "message": said}
    assert state(work) is State.READY


@pytest.mark.parametrize(("seconds", "minutes"), [(900, 60), (3600, 150), (1, 31)])
def test_e2e_has_the_time_of_two_tries(work: Work, seconds: int, minutes: int) -> None:
    settings = work.installation.settings
    build = settings.build.model_copy(update={"timeout_seconds": seconds})
    given = replace(work.installation, settings=settings.model_copy(update={"build": build}))
    assert morning.stage_for(replace(work, installation=given), morning.E2E).minutes == minutes


def test_a_failed_step_faults_it_with_its_code_and_message(work: Work) -> None:
    go(work, *BUILT[:2])
    step(work, "deploy", StepStatus.FAILED, code="unhealthy", message="trips is not healthy")
    with pytest.raises(DaybreakError, match="dev-01 is FAULTED: deploy: trips is not healthy") as caught:
        verdict(work)
    assert caught.value.code == "unhealthy"
    assert state(work) is State.FAULTED
    assert status(work) == (
        NightStatus.FAULTED,
        {"code": "unhealthy", "message": "deploy: trips is not healthy"},
    )


def test_what_stopped_the_whole_run_faults_no_environment_that_it_did_not_begin(work: Work) -> None:
    work.installation.nights.stop("run", "catalog", "resources.py:3: no such path")
    with pytest.raises(DaybreakError, match=r"dev-01 is ABSENT: resources\.py:3: no such path"):
        verdict(work)
    assert state(work) is State.ABSENT
    assert status(work)[0] is NightStatus.FAULTED


def test_a_run_that_was_cut_off_in_the_middle_leaves_it_faulted(work: Work) -> None:
    go(work, *BUILT[:2])
    step(work, "scorch")
    work.installation.nights.stop("run", "catalog", "whatever")
    with pytest.raises(DaybreakError, match="the run ended in DEPLOYING before e2e"):
        verdict(work)
    assert state(work) is State.FAULTED


def test_what_another_run_took_meanwhile_is_its_to_judge(work: Work) -> None:
    nights = work.installation.nights
    nights.mark(NIGHT, "dev-01", "run", NightStatus.WAITING)
    nights.claim(NIGHT, "dev-01", "by-hand", REBUILD.to_json())
    assert verdict(work)["verdict"] == "left alone"
    with pytest.raises(LeftAlone, match="by-hand has it"):
        run(work, morning.SCORCH)
    assert state(work) is State.ABSENT
    assert [row.run_id for row in nights.environments(environment="dev-01")] == ["by-hand"]


def test_who_preserves_it_between_decision_and_first_step_keeps_it(work: Work) -> None:
    go(work, *BUILT, State.READY)
    work.installation.leases.preserve("dev-01", NIGHT, "dana", "load test")
    with pytest.raises(LeftAlone, match=r"preserved until the night of 2026-03-05 by dana \(load test\)"):
        run(work, morning.SCORCH_IN_PLACE)
    assert verdict(work)["verdict"] == "left alone"
    assert state(work) is State.READY
    assert work.installation.nights.steps("run") == []


def test_who_is_at_work_on_it_when_the_night_comes_is_not_disturbed(work: Work) -> None:
    go(work, *BUILT, State.READY)
    work.installation.environments.begin(
        "dev-01", step="bcd", holder="bcd/1", actor="dana", expect={State.READY}, deadline=timedelta(hours=1)
    )
    with pytest.raises(LeftAlone, match="busy"):
        run(work, morning.SCORCH_IN_PLACE)
    assert verdict(work)["verdict"] == "left alone"
    assert work.installation.environments.get("dev-01").op_holder == "bcd/1"
