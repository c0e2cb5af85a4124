"""What the registry remembers beside states and nights; on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import Engine

from daybreak.environment.memos import ScheduleMemos
from daybreak.environment.records import (
    BuildPart,
    Builds,
    Deployments,
    PlanStatus,
    Runs,
    ScorchPlans,
    Switch,
    Switches,
)
from daybreak.errors import UsageError
from tests.fixtures.registry import ManualClock

NIGHT = date(2026, 3, 5)


def test_a_runs_plan_is_pinned_by_its_first_words(registry: Engine, clock: ManualClock) -> None:
    runs = Runs(registry, clock)
    first = runs.pin("run-1", kind="nightly", commit="c0ffee", catalog_digest="d", plan={"steps": [1]})
    assert runs.pin("run-1", kind="bcd", commit="other", catalog_digest="x", plan={}) == first
    runs.pin("run-2", kind="bcd", commit="c0ffee", catalog_digest="d", plan={})
    runs.finish("run-1")
    assert [run.run_id for run in runs.unfinished()] == ["run-2"]
    ended = runs.get("run-1").finished_at
    clock.advance(hours=1)
    runs.finish("run-1")
    assert runs.get("run-1").finished_at == ended
    with pytest.raises(UsageError, match="nothing is pinned for run 'run-3'"):
        runs.get("run-3")


def test_deployments_keep_their_history_and_know_the_last(registry: Engine, clock: ManualClock) -> None:
    deployments = Deployments(registry, clock)
    deployments.record("dev-01", "trips", "key-1", "c1", "run-1")
    deployments.record("dev-01", "trips", "key-2", "c2", "run-2")
    deployments.record("dev-01", "billing", "key-b", "c1", "run-1")
    deployments.record("dev-02", "trips", "key-9", "c9", "run-9")
    current = deployments.current("dev-01")
    assert {name: found.key for name, found in current.items()} == {"billing": "key-b", "trips": "key-2"}
    assert [found.key for found in deployments.history("dev-01", "trips")] == ["key-2", "key-1"]
    deployments.removed("dev-01", "run-3")
    assert deployments.current("dev-01") == {}
    assert [found.key for found in deployments.history("dev-01", "trips")] == [None, "key-2", "key-1"]
    assert deployments.current("dev-02")["trips"].commit == "c9"


def test_a_build_is_known_by_its_key(registry: Engine, clock: ManualClock) -> None:
    builds = Builds(registry, clock)
    assert builds.find("common", "k") is None
    builds.record("common", "k", commit="c1", status="failed", seconds=2, run_id="run-1", detail={"log": "x"})
    clock.advance(seconds=9)
    builds.record("common", "k", commit="c1", status="built", seconds=3.5, run_id="run-1")
    builds.record("geo", "k2", commit="c1", status="built", seconds=1, run_id="run-2")
    found = builds.find("common", "k")
    assert found is not None
    assert (found.status, found.seconds, found.at) == ("built", 3.5, clock.now)
    assert found.parts == [BuildPart("build", "built", 3.5, clock.now, "run-1")]
    assert [build.resource for build in builds.of("run-1")] == ["common"]


def test_unit_tests_stand_beside_the_build_and_not_in_its_place(registry: Engine, clock: ManualClock) -> None:
    builds = Builds(registry, clock)
    builds.record("geo", "k", commit="c1", status="built", seconds=12, run_id="run-1")
    built = clock.now
    clock.advance(seconds=5)
    builds.record("geo", "k", commit="c1", status="passed", seconds=4, run_id="run-2", what="test")
    (found,) = builds.known({"geo": "k", "common": "k"})
    assert found.parts == [
        BuildPart("build", "built", 12, built, "run-1"),
        BuildPart("test", "passed", 4, clock.now, "run-2"),
    ]
    assert (found.status, found.run_id) == ("passed", "run-2")


def test_a_reuse_leaves_written_how_the_artifact_came_about(registry: Engine, clock: ManualClock) -> None:
    builds = Builds(registry, clock)
    builds.record("geo", "k", commit="c1", status="built", seconds=12, run_id="run-1")
    before = builds.find("geo", "k")
    clock.advance(days=1)
    builds.record("geo", "k", commit="c2", status="reused", seconds=0.1, run_id="run-2")
    builds.record("common", "k", commit="c2", status="reused", seconds=0.1, run_id="run-2")
    assert builds.find("geo", "k") == before
    assert builds.find("common", "k") is None


def test_a_schedules_memo_is_written_once(registry: Engine, clock: ManualClock) -> None:
    """Else the second night remembers "disabled" as the original."""
    memos, others = ScheduleMemos(registry, "dev-01", clock), ScheduleMemos(registry, "dev-02", clock)
    assert memos.get("rule/a") is None
    assert memos.put_once("rule/a", {"State": "ENABLED"})
    assert not memos.put_once("rule/a", {"State": "DISABLED"})
    others.put_once("rule/a", {"State": "DISABLED"})
    assert memos.get("rule/a") == {"State": "ENABLED"}
    assert memos.all() == {"rule/a": {"State": "ENABLED"}}
    memos.clear("dev-01")
    assert memos.all() == {}
    assert others.all() == {"rule/a": {"State": "DISABLED"}}
    with pytest.raises(ValueError, match="dev-02"):
        others.clear("dev-01")
    others.clear()
    assert others.all() == {}


def test_the_usual_size_of_a_plan_is_the_median_of_ten_nights_that_were_believed(registry: Engine) -> None:
    plans = ScorchPlans(registry)
    assert plans.usual_size("dev-01", "evening", before=NIGHT) is None

    def record(days_ago: int, size: int, status: PlanStatus, phase: str = "evening") -> None:
        items = [f"item-{n}" for n in range(size)]
        digest = f"digest-{days_ago}-{size}"
        day = NIGHT - timedelta(days=days_ago)
        plans.record(day, "dev-01", phase, digest=digest, size=len(items), plan=items, status=status)

    for days_ago in range(1, 11):
        record(days_ago, days_ago, PlanStatus.EXECUTED)
    record(1, 400, PlanStatus.REFUSED)
    record(0, 0, PlanStatus.EXECUTED)  # this night's own
    record(20, 300, PlanStatus.EXECUTED)  # too long ago
    record(2, 300, PlanStatus.EXECUTED, phase="morning")
    assert plans.usual_size("dev-01", "evening", before=NIGHT) == 5.5
    assert plans.usual_size("dev-02", "evening", before=NIGHT) is None


def test_the_same_plan_again_only_changes_what_became_of_it(registry: Engine) -> None:
    plans = ScorchPlans(registry)
    for status in (PlanStatus.REFUSED, PlanStatus.EXECUTED):
        plans.record(NIGHT, "dev-01", "evening", digest="d", size=2, plan=["a", "b"], status=status)
    assert plans.usual_size("dev-01", "evening", before=NIGHT + timedelta(days=1)) == 2


def test_an_account_is_armed_by_somebody(registry: Engine, clock: ManualClock) -> None:
    switches = Switches(registry, clock)
    assert not switches.is_armed("123456789012")
    switches.arm("123456789012", "dana")
    switches.arm("123456789012", "eli")
    assert switches.armed("123456789012") == Switch("dana", clock.now)
    assert not switches.is_armed("999999999999")
    switches.disarm("123456789012")
    assert not switches.is_armed("123456789012")


def test_the_brake_is_pulled_and_released(registry: Engine, clock: ManualClock) -> None:
    switches = Switches(registry, clock)
    assert switches.frozen() is None
    switches.freeze("eli", "audit")
    switches.freeze("dana", "later")
    assert switches.frozen() == Switch("eli", clock.now, "audit")
    assert switches.is_frozen()
    switches.thaw()
    assert not switches.is_frozen()
