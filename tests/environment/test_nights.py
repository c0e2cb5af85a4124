"""Nights in the registry: runs, who has which environment, steps; on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import Engine

from daybreak.environment.nights import NightBusy, Nights, NightStatus
from daybreak.environment.steps import StepStatus
from daybreak.errors import LostOp, UsageError
from tests.fixtures.registry import ManualClock

NIGHT = date(2026, 3, 5)
DECISION = {"action": "rebuild", "reason": "because"}


@pytest.fixture
def nights(registry: Engine, clock: ManualClock) -> Nights:
    return Nights(registry, clock)


def test_a_run_is_pinned_by_its_first_words(nights: Nights, clock: ManualClock) -> None:
    first = nights.open(NIGHT, "run-1", commit="c0ffee", catalog_digest="d1", plan=[DECISION])
    assert (first.commit, first.plan, first.decided_at, first.finished_at) == (
        "c0ffee", [DECISION], clock.now, None,
    )  # fmt: skip
    clock.advance(minutes=5)
    assert nights.open(NIGHT, "run-1", commit="other", plan=[]) == first
    with pytest.raises(UsageError, match="belongs to the night 2026-03-05"):
        nights.open(date(2026, 3, 6), "run-1")


def test_several_runs_share_a_night_and_the_last_one_is_known(nights: Nights, clock: ManualClock) -> None:
    assert nights.latest() is None
    nights.open(NIGHT, "run-1")
    clock.advance(hours=1)
    nights.open(NIGHT, "rebuild-2")
    assert [run.run_id for run in nights.of(NIGHT)] == ["run-1", "rebuild-2"]
    latest = nights.latest()
    assert latest is not None
    assert latest.run_id == "rebuild-2"
    assert nights.of(date(2026, 3, 4)) == []


def test_a_report_ends_a_run(nights: Nights, clock: ManualClock) -> None:
    nights.open(NIGHT, "run-1")
    done = nights.finish("run-1", {"rebuilt": 3})
    assert (done.report, done.finished_at) == ({"rebuilt": 3}, clock.now)
    with pytest.raises(UsageError, match="run-2"):
        nights.finish("run-2", {})


def test_one_run_has_an_environment_in_a_night(nights: Nights) -> None:
    row = nights.claim(NIGHT, "dev-01", "run-1", DECISION)
    assert (row.run_id, row.status, row.decision) == ("run-1", NightStatus.PLANNED, DECISION)
    nights.mark(NIGHT, "dev-01", "run-1", NightStatus.RUNNING)
    with pytest.raises(NightBusy, match=r"rebuild-2 cannot have dev-01 .*: run-1 has it \(running since"):
        nights.claim(NIGHT, "dev-01", "rebuild-2", DECISION)
    # A resumed run gets its row as it is.
    assert nights.claim(NIGHT, "dev-01", "run-1", {}).status is NightStatus.RUNNING
    # Another environment, another night: free.
    nights.claim(NIGHT, "dev-02", "rebuild-2", DECISION)
    nights.claim(date(2026, 3, 6), "dev-01", "rebuild-2", DECISION)


@pytest.mark.parametrize("status", [NightStatus.WAITING, NightStatus.DONE, NightStatus.FAULTED])
def test_a_rebuild_by_hand_follows_when_the_first_waits_or_is_through(
    nights: Nights, status: NightStatus
) -> None:
    nights.claim(NIGHT, "dev-01", "run-1", DECISION)
    nights.mark(NIGHT, "dev-01", "run-1", status, {"seconds": 3})
    taken = nights.claim(NIGHT, "dev-01", "rebuild-2", {"action": "rebuild"})
    assert (taken.run_id, taken.status, taken.detail) == ("rebuild-2", NightStatus.PLANNED, {})
    with pytest.raises(NightBusy, match="rebuild-2 has it"):
        nights.mark(NIGHT, "dev-01", "run-1", NightStatus.RUNNING)
    with pytest.raises(NightBusy, match="rebuild-2 has it"):
        nights.claim(NIGHT, "dev-01", "run-1", DECISION)


def test_a_dead_runs_environments_become_free(nights: Nights) -> None:
    for name in ("dev-01", "dev-02", "dev-03"):
        nights.claim(NIGHT, name, "run-1", DECISION)
    nights.mark(NIGHT, "dev-03", "run-1", NightStatus.DONE)
    nights.claim(NIGHT, "dev-04", "rebuild-2", DECISION)
    assert nights.abandon("run-1", "its DAG run failed") == ["dev-01", "dev-02"]
    row = nights.claim(NIGHT, "dev-01", "rebuild-2", DECISION)
    assert row.run_id == "rebuild-2"
    by_name = {row.environment: row for row in nights.environments(run_id="run-1")}
    assert by_name["dev-02"].detail == {"abandoned": "its DAG run failed"}
    assert by_name["dev-03"].status is NightStatus.DONE


def test_a_takeover_is_said_aloud(nights: Nights) -> None:
    nights.claim(NIGHT, "dev-01", "run-1", DECISION)
    assert nights.claim(NIGHT, "dev-01", "rebuild-2", DECISION, takeover=True).run_id == "rebuild-2"


def test_marking_what_nobody_has_is_a_mistake(nights: Nights) -> None:
    with pytest.raises(UsageError, match="no run has dev-01"):
        nights.mark(NIGHT, "dev-01", "run-1", NightStatus.DONE)


def test_the_newest_night_of_an_environment_comes_first(nights: Nights) -> None:
    for day in (4, 6, 5):
        nights.claim(date(2026, 3, day), "dev-01", f"run-{day}", DECISION)
    assert [row.run_id for row in nights.environments(environment="dev-01")] == ["run-6", "run-5", "run-4"]


def test_a_step_counts_its_tries_and_its_seconds(nights: Nights, clock: ManualClock) -> None:
    first = nights.step_started(NIGHT, "dev-01", "rebuild", "infra", "run-1", "token-1")
    assert (first.tries, first.status, first.token) == (1, StepStatus.RUNNING, "token-1")
    clock.advance(seconds=5)
    failed = nights.step_finished(first, StepStatus.FAILED, detail={"error": "throttled"})
    assert (failed.seconds, failed.detail) == (5, {"error": "throttled"})
    assert not nights.is_done(NIGHT, "dev-01", "rebuild", "infra", "run-1")
    second = nights.step_started(NIGHT, "dev-01", "rebuild", "infra", "run-1")
    assert (second.tries, second.ended_at, second.detail) == (2, None, {})
    clock.advance(seconds=7)
    done = nights.step_finished(second, StepStatus.DONE)
    assert (done.tries, done.seconds, done.ended_at) == (2, 7, clock.now)
    assert nights.is_done(NIGHT, "dev-01", "rebuild", "infra", "run-1")
    assert not nights.is_done(NIGHT, "dev-01", "rebuild", "infra", "rebuild-2")
    assert nights.steps("run-1") == [done]


def test_an_overtaken_try_cannot_write_its_result(nights: Nights) -> None:
    zombie = nights.step_started(NIGHT, "dev-01", "rebuild", "infra", "run-1")
    nights.step_started(NIGHT, "dev-01", "rebuild", "infra", "run-1")
    with pytest.raises(LostOp, match="try 1 of step infra was overtaken by try 2"):
        nights.step_finished(zombie, StepStatus.DONE)
    assert not nights.is_done(NIGHT, "dev-01", "rebuild", "infra", "run-1")


def test_steps_come_in_the_order_in_which_they_started(nights: Nights, clock: ManualClock) -> None:
    for name, environment in (("scorch", "dev-02"), ("infra", "dev-01"), ("data", "dev-02")):
        nights.step_started(NIGHT, environment, "rebuild", name, "run-1")
        clock.advance(seconds=1)
    assert [step.step for step in nights.steps("run-1")] == ["scorch", "infra", "data"]
    assert [step.step for step in nights.steps(night=NIGHT, environment="dev-02")] == ["scorch", "data"]


def test_the_usual_length_of_a_step_is_that_of_the_last_ten_nights(nights: Nights) -> None:
    assert nights.usual_seconds("rebuild", "infra") is None
    for day in range(1, 15):
        step = nights.step_started(date(2026, 3, day), "dev-01", "rebuild", "infra", f"run-{day}")
        nights.step_finished(step, StepStatus.DONE, seconds=1000 if day <= 4 else day)
    failed = nights.step_started(date(2026, 3, 15), "dev-01", "rebuild", "infra", "run-15")
    nights.step_finished(failed, StepStatus.FAILED, seconds=9999)
    assert nights.usual_seconds("rebuild", "infra") == 9.5
