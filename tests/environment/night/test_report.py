"""The report of a night, from the rows that its steps wrote; on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date

import pytest

from daybreak.catalog.resource import Action, ResourceType
from daybreak.change.plan import Plan, PlannedResource
from daybreak.environment.decision import Decision, NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.night.report import NightReport, kept_report, night_report, summarise
from daybreak.environment.nights import NightStatus
from daybreak.environment.steps import Step, StepStatus
from daybreak.errors import UsageError
from tests.fixtures.registry import ManualClock

NIGHT = date(2026, 3, 5)
RUN = "run-1"
Do = Callable[..., Step]


def planned(name: str, *needs: str) -> PlannedResource:
    return PlannedResource(name, ResourceType.PACKAGE, f"key-{name}", (Action.BUILD,), needs, True, ())


#: geo needs common by way of maps, which is not built.
PLAN = Plan("c0ffee", None, "d", (planned("common"), planned("maps", "common"), planned("geo", "maps")))


@pytest.fixture
def do(installation: Installation, clock: ManualClock) -> Do:
    """One step of one environment, done in so many seconds."""

    def make(environment: str, phase: str, name: str, seconds: float, **detail: object) -> Step:
        step = installation.nights.step_started(NIGHT, environment, phase, name, RUN)
        clock.advance(seconds=seconds)
        failed = "code" in detail
        status = StepStatus.FAILED if failed else StepStatus.DONE
        return installation.nights.step_finished(step, status, detail=detail)

    return make


@pytest.fixture
def night(installation: Installation, clock: ManualClock, do: Do) -> Installation:
    """dev-01 is rebuilt, dev-02 breaks in deploy, dev-03 is preserved, dev-04 died before its verdict."""
    clock.now = clock.now.replace(hour=20)
    nights = installation.nights
    nights.open(NIGHT, RUN)
    rebuild = {"teardown": True, "rebuild": True}
    for name, action, reason, more in (
        ("dev-01", NightAction.REBUILD, "a working day follows", rebuild),
        ("dev-02", NightAction.REBUILD, "a working day follows", rebuild),
        ("dev-03", NightAction.PRESERVE, "preserved by dana (load test)", {}),
        ("dev-04", NightAction.REBUILD, "a working day follows", rebuild),
    ):
        nights.claim(NIGHT, name, RUN, Decision(name, action, reason, **more).to_json())
    for name in ("dev-01", "dev-02"):
        do(name, "teardown", "quiesce", 5)
        do(name, "teardown", "tear_down", 30)
    clock.now = clock.now.replace(day=6, hour=6, minute=0, second=2)
    installation.runs.pin(RUN, kind="nightly", commit="c0ffee", catalog_digest="d", plan=PLAN.to_json())
    for name, what, status, seconds in (
        ("common", "build", "built", 10), ("common", "test", "passed", 4), ("geo", "build", "built", 8),
        ("maps", "build", "reused", 0.1),
    ):  # fmt: skip
        clock.advance(seconds=seconds)
        installation.builds.record(
            name, f"key-{name}", commit="c0ffee", status=status, seconds=seconds, run_id=RUN, what=what
        )
    installation.builds.record("geo", "an older key", commit="b", status="built", seconds=99, run_id=RUN)
    do("dev-01", "rebuild", "scorch", 20)
    do("dev-01", "rebuild", "e2e", 60, verdict="failed", tests=7, failures=[["test_trips", "boom"]])
    do("dev-02", "rebuild", "scorch", 10)
    do("dev-02", "rebuild", "deploy", 15, code="unhealthy", message="trips answers 503")
    nights.mark(NIGHT, "dev-01", RUN, NightStatus.DONE, {"verdict": "failed"})
    fault = {"code": "unhealthy", "message": "deploy: trips answers 503"}
    nights.mark(NIGHT, "dev-02", RUN, NightStatus.FAULTED, fault)
    clock.advance(seconds=3)
    return installation


def test_every_environment_says_what_was_decided_how_it_ended_and_why(night: Installation) -> None:
    report = night_report(night, RUN, finished_at=night.clock())
    said = {e.name: (e.action, e.ended, e.verdict, e.code, e.said) for e in report.environments}
    assert said == {
        "dev-01": ("rebuild", "rebuilt", "failed", None, "failed"),
        "dev-02": ("rebuild", "faulted", None, "unhealthy", "deploy: trips answers 503"),
        "dev-03": ("preserve", "preserved", None, None, "preserved by dana (load test)"),
        "dev-04": ("rebuild", "faulted", None, "incomplete", "the run ended before its first step"),
    }
    one, *_ = report.environments
    assert (one.tests, one.failures, one.seconds) == (7, ("test_trips",), 115)
    assert [(s.phase, s.name, s.status, s.seconds, s.tries) for s in one.stages] == [
        ("teardown", "quiesce", "done", 5, 1),
        ("teardown", "tear_down", "done", 30, 1),
        ("rebuild", "scorch", "done", 20, 1),
        ("rebuild", "e2e", "done", 60, 1),
    ]


def test_only_what_this_run_built_for_the_planned_keys_is_its_work(night: Installation) -> None:
    night.builds.record("maps", "key-maps", commit="b", status="built", seconds=50, run_id="another")
    report = night_report(night, RUN, finished_at=night.clock())
    assert [(b.resource, b.what, b.status, b.seconds) for b in report.builds] == [
        ("common", "build", "built", 10),
        ("common", "test", "passed", 4),
        ("geo", "build", "built", 8),
    ]
    assert (report.planned, report.commit) == (3, "c0ffee")


def test_the_figures_follow_the_plan_s_edges_and_leave_out_the_wait_for_the_morning(
    night: Installation,
) -> None:
    timing = night_report(night, RUN, finished_at=night.clock()).timing
    assert [(span.name, span.began, span.ended) for span in timing.spans] == [
        ("evening", 0, 70),
        ("morning", 36_000, 36_132.1),
    ]
    # geo waits for common's tests, although maps between them was not built.
    assert [link.name for link in timing.chain] == [
        "dev-02 quiesce", "dev-02 tear_down", "common build", "common test", "geo build",
        "dev-01 scorch", "dev-01 e2e",
    ]  # fmt: skip
    assert timing.critical_path == 35 + 22 + 80
    # Two ran in a row, so the load of `aws` is far below the critical path.
    loads = {load.pool: (load.slots, load.seconds) for load in timing.loads}
    assert loads == {"aws": (4, 115), "builds": (2, 22), "e2e": (2, 60)}
    assert timing.ratio == pytest.approx(202.1 / 137)


def test_the_kept_report_is_data_and_what_the_demo_reads_is_still_there(night: Installation) -> None:
    summary = summarise(night, RUN)
    kept = json.loads(json.dumps(night.nights.get(RUN).report))
    assert kept["headline"] == summary.headline
    assert summary.headline == (
        "night 2026-03-05: 4 environments, 1 rebuilt, 1 preserved, 2 faulted; 202 s"
    )  # fmt: skip
    assert kept["faulted"] == list(summary.faulted) == ["dev-02", "dev-04"]
    assert (*kept["lines"], summary.headline) == summary.lines
    assert kept["environments"][1]["code"] == "unhealthy"
    assert NightReport.from_json(kept) == summary.report


def test_a_finished_report_stays_as_it_was_when_the_registry_goes_on(
    night: Installation, clock: ManualClock
) -> None:
    before = summarise(night, RUN).report
    clock.advance(days=2)
    night.builds.record("geo", "key-geo", commit="c0ffee", status="failed", seconds=1, run_id="run-9")
    assert kept_report(night, RUN) == before


def test_a_run_that_goes_on_says_how_far_it_is(
    installation: Installation, clock: ManualClock, do: Do
) -> None:
    nights = installation.nights
    clock.now = clock.now.replace(hour=20)
    nights.open(NIGHT, RUN)
    for name in ("dev-01", "dev-02", "dev-03"):
        decision = Decision(name, NightAction.REBUILD, "", teardown=True, rebuild=True)
        nights.claim(NIGHT, name, RUN, decision.to_json())
    do("dev-01", "teardown", "quiesce", 5)
    nights.step_started(NIGHT, "dev-02", "teardown", "quiesce", RUN)
    clock.advance(seconds=20)

    report = kept_report(installation, RUN)

    assert [each.ended for each in report.environments] == ["waiting", "running", "planned"]
    assert report.headline.endswith("0 faulted, 1 running, 1 waiting, 1 planned; 25 s")
    assert report.finished_at is None
    assert (report.commit, report.planned, report.builds) == (None, 0, ())
    assert report.timing.makespan == 25
    assert report.faulted == ()


def test_a_run_that_was_abandoned_says_so(night: Installation) -> None:
    night.nights.abandon(RUN, "its machine is gone")
    report = night_report(night, RUN, finished_at=night.clock())
    assert report.environments[3].message == "the run ended before its first step: its machine is gone"


def test_an_unknown_run_is_named(installation: Installation) -> None:
    with pytest.raises(UsageError, match="no night's run 'run-7'"):
        kept_report(installation, "run-7")
