"""The night's tasks: thin, so that everything they do can be done, and tested, without Airflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator, SkipMixin, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from daybreak.orchestration import notify
from daybreak.orchestration.graph import Node

_UNDECIDED = "nothing was decided and nothing was changed: see the log of `decide`"
NAME = "{{ environment }}"
AWS: dict[str, Any] = {"pool": "aws", "map_index_template": NAME}


def _run_id() -> str:
    return str(get_current_context()["dag_run"].run_id)


def _request(context: Any) -> Any:
    """What the run was asked for; only a scheduled one can be too late."""
    from daybreak.environment.night.prepare import Request

    run = context["dag_run"]
    scheduled = run.logical_date if run.run_type == "scheduled" else None
    return Request.of(dict(context["params"]), scheduled)


def _work(decision: dict[str, Any]) -> Any:
    from datetime import date

    from daybreak.environment.decision import Decision
    from daybreak.environment.night.work import Work
    from daybreak.orchestration.connections import installation

    context = get_current_context()
    known = {key: value for key, value in decision.items() if key not in ("night", "dry_run")}
    actor = context["dag_run"].triggering_user_name or "schedule"
    night = date.fromisoformat(decision["night"])
    ti = context["ti"]
    last_try = ti.try_number > ti.max_tries
    return Work(installation(), _run_id(), night, Decision.from_json(known), actor, last_try)


def _name(context: Any, decision: dict[str, Any]) -> None:
    context["environment"] = decision["environment"]  # what `map_index_template` shows


def _only(decision: dict[str, Any], *parts: str) -> None:
    """Name the task by its environment, and skip it where the decision has none of these parts."""
    _name(get_current_context(), decision)
    if decision["dry_run"]:
        raise AirflowSkipException(f"dry run: {decision['environment']} would be {decision['action']}")
    if not any(decision[part] for part in parts):
        raise AirflowSkipException(f"{decision['environment']}: {decision['action']}, {decision['reason']}")


@contextmanager
def _told() -> Iterator[None]:
    """Errors as Airflow understands them: left alone is a skip, and what no retry can heal is not retried."""
    from daybreak.environment.nights import LeftAlone
    from daybreak.errors import Refused, UsageError

    try:
        yield
    except LeftAlone as left:
        raise AirflowSkipException(str(left)) from None
    except (Refused, UsageError) as error:
        raise AirflowFailException(f"{error.code}: {error}") from error


@task(execution_timeout=timedelta(minutes=10))
def decide() -> list[dict[str, Any]]:
    """Which night it is, and what happens to each environment; nothing is touched."""
    from daybreak.environment.night.prepare import check_main, decide_night
    from daybreak.orchestration.connections import installation

    with _told():
        request = _request(get_current_context())
        found = installation()
        check_main(found, request)
        night, decisions = decide_night(found, _run_id(), request)
    for each in decisions:
        print(f"{each.environment:<12} {each.action.value:<9} {each.reason}")
    return [{**each.to_json(), "night": night.isoformat(), "dry_run": request.dry_run} for each in decisions]


@task(execution_timeout=timedelta(minutes=20), **AWS)
def quiesce(decision: dict[str, Any]) -> None:
    """Memorise and disable the schedules; of what is torn down, stop the services."""
    from daybreak.environment.night import evening

    _only(decision, "teardown", "pauses")
    with _told():
        evening.quiesce(_work(decision))


@task(execution_timeout=timedelta(minutes=90), **AWS)
def tear_down(decision: dict[str, Any]) -> None:
    """Delete the stack that costs money."""
    from daybreak.environment.night import evening

    _only(decision, "teardown")
    with _told():
        evening.tear_down(_work(decision))


class WaitForMorning(BaseOperator):
    """Defer until the night's morning; a worker slot is held by nobody meanwhile."""

    def execute(self, context: Any) -> None:
        """Defer, unless the run was told not to wait, or it is morning already."""
        from datetime import date

        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        from daybreak.environment.calendar import night
        from daybreak.registry import utc_now
        from daybreak.settings import load

        decisions = context["ti"].xcom_pull(task_ids="decide")
        if decisions is None:
            raise AirflowFailException(_UNDECIDED)
        touched = [each for each in decisions if each["teardown"] or each["rebuild"] or each["pauses"]]
        if not touched or not context["params"].get("wait", True) or touched[0]["dry_run"]:
            return
        # The night that was decided for: after its morning, "tonight" would mean the next one.
        its = night(load().night, date.fromisoformat(touched[0]["night"]))
        now = utc_now()
        if its.morning > now:
            # An hour beyond the cut-off, `pin_main` says better than a timeout what is too late.
            timeout = its.build_cutoff - now + timedelta(hours=1)
            self.defer(trigger=DateTimeTrigger(its.morning), method_name="resume", timeout=timeout)

    def resume(self, context: Any, event: Any = None) -> None:
        """It is morning."""


#: The group of planned resources that the graph does not show yet.
NEWCOMERS = "newcomers"


class PinMain(BaseOperator, SkipMixin):
    """Pin commit, catalog and plan; skip the build groups that have nothing to do.

    A resource between two selected ones is not skipped here: its follower would start too soon. It runs,
    finds its artifact and is done.
    """

    inherits_from_skipmixin = True

    def execute(self, context: Any) -> str:
        """Returns the pinned commit."""
        from daybreak.environment.night.prepare import missing, pin
        from daybreak.orchestration.connections import installation

        decisions = context["ti"].xcom_pull(task_ids="decide")
        needed = any(each["rebuild"] and not each["dry_run"] for each in decisions)
        found = installation()
        with _told():
            plan = pin(found, _request(context), _run_id())
        wanted = set(missing(found, plan)) if needed else set()
        keep = _between(wanted, {step.name: step.dependencies for step in plan.steps})
        drawn = {each.task_id.split(".")[0] for each in self.dag.tasks if each.task_id.endswith(".build")}
        if wanted - drawn:
            keep.add(NEWCOMERS)
        unwanted = [
            each for each in self.dag.tasks
            if "." in each.task_id and each.task_id.split(".")[0] in {*drawn, NEWCOMERS} - keep
        ]  # fmt: skip
        print(f"{plan.commit[:12]}: to build {', '.join(sorted(wanted)) or 'nothing'}")
        self.skip(context["ti"], unwanted)
        return plan.commit


def _between(wanted: set[str], dependencies: dict[str, Sequence[str]]) -> set[str]:
    """``wanted`` and what lies on a path from one of them to another."""
    after: set[str] = set()
    for name in dependencies:  # topological order
        if name in wanted or any(each in after for each in dependencies[name]):
            after.add(name)
    before: set[str] = set()
    for name in reversed(list(dependencies)):
        users = [user for user, needs in dependencies.items() if name in needs]
        if name in wanted or any(user in before for user in users):
            before.add(name)
    return wanted | (after & before)


def build_steps(node: Node) -> None:
    """The tasks of one resource's group: build, then its unit tests."""
    built = build.override(task_id="build")(node.name)
    if node.has_tests and "test" in node.actions:
        built >> test.override(task_id="test")(node.name)


def _build(name: str, what: str) -> str:
    from daybreak.build import builder, checks
    from daybreak.build.artifact import Artifacts
    from daybreak.catalog.snapshot import stored
    from daybreak.change.plan import Plan
    from daybreak.orchestration.connections import installation

    found = installation()
    plan = Plan.from_json(found.runs.get(_run_id()).plan)
    step = plan.step(name)
    if step is None:
        raise AirflowSkipException(f"{name} is not in the plan of {plan.commit[:12]}")
    keys = {each.name: each.key for each in plan.steps}
    do = builder.build if what == "build" else checks.test
    result = do(
        found.mirror(), stored(found.store, plan.commit), name, keys, Artifacts(found.store), found.home,
        found.settings.build, print,
    )  # fmt: skip
    found.builds.record(
        name, step.key, commit=plan.commit, status=str(result.status), seconds=result.seconds,
        run_id=_run_id(), detail={"what": what},
    )  # fmt: skip
    return str(result.status)


@task(task_id="build", execution_timeout=timedelta(hours=1), pool="builds")
def build_newcomers() -> list[str]:
    """Build and unit-test what main introduced and the graph does not show yet, with all that it needs."""
    from daybreak.build.artifact import Artifacts
    from daybreak.build.runner import Outcome, build_all
    from daybreak.catalog.snapshot import stored
    from daybreak.change.plan import Plan
    from daybreak.environment.night.prepare import missing
    from daybreak.errors import DaybreakError
    from daybreak.orchestration.connections import installation

    found = installation()
    plan = Plan.from_json(found.runs.get(_run_id()).plan)
    drawn = {each.split(".")[0] for each in get_current_context()["dag"].task_ids if each.endswith(".build")}
    names = [name for name in missing(found, plan) if name not in drawn]
    keys = {step.name: step.key for step in plan.steps}
    failed = []
    for progress in build_all(
        found.mirror(), stored(found.store, plan.commit), names, keys, Artifacts(found.store), found.home,
        found.settings.build, print,
    ):  # fmt: skip
        print(f"{progress.resource}: {progress.outcome.value} in {progress.seconds:.1f} s {progress.detail}")
        found.builds.record(
            progress.resource, progress.key, commit=plan.commit, status=progress.outcome.value,
            seconds=progress.seconds, run_id=_run_id(), detail={"what": NEWCOMERS},
        )  # fmt: skip
        if progress.outcome in (Outcome.FAILED, Outcome.SKIPPED):
            failed.append(f"{progress.resource}: {progress.detail}")
    if failed:
        raise DaybreakError("; ".join(failed), code="build_failed")
    return names


@task(trigger_rule="none_failed", execution_timeout=timedelta(minutes=30), pool="builds")
def build(name: str) -> str:
    """Build the resource from the pinned commit, unless its artifact is there."""
    return _build(name, "build")


@task(trigger_rule="none_failed", execution_timeout=timedelta(minutes=30), pool="builds")
def test(name: str) -> str:
    """Unit-test the resource, unless this content key was tested before."""
    return _build(name, "test")


@task(trigger_rule="all_done", execution_timeout=timedelta(minutes=5))
def artifacts() -> dict[str, list[str]]:
    """What was built and what is missing; the environments get what there is."""
    from daybreak.change.plan import Plan
    from daybreak.environment.night.prepare import missing
    from daybreak.orchestration.connections import installation

    found = installation()
    with _told():
        lacking = list(missing(found, Plan.from_json(found.runs.get(_run_id()).plan)))
    if lacking:
        print(f"not built, see the groups of: {', '.join(lacking)}")
    return {"missing": lacking}


def stage(name: str, **more: Any) -> Any:
    """The task of one stage of the morning, by its name in ``environment.night.morning``."""

    @task(task_id=name, execution_timeout=timedelta(minutes=90), **{**AWS, **more})
    def run_stage(decision: dict[str, Any]) -> None:
        from daybreak.environment.night import morning, work

        _only(decision, "rebuild")
        todo = _work(decision)
        chosen = next(each for each in morning.STAGES if each.name == name)
        with _told():
            work.run(todo, morning.stage_for(todo, chosen))

    return run_stage


@task(trigger_rule="all_done", execution_timeout=timedelta(minutes=20), **AWS)
def verdict(decision: dict[str, Any]) -> dict[str, Any]:
    """How the environment ended; fails when not as decided. One that stayed up gets its schedules back."""
    from daybreak.environment.night.verdict import verdict as judge

    _only(decision, "teardown", "rebuild", "pauses")
    said = dict(judge(_work(decision)))
    if said.get("degraded"):
        raise AirflowFailException(f"{decision['environment']} is DEGRADED: {said['message']}")
    return said


@task(trigger_rule="all_done", execution_timeout=timedelta(minutes=5))
def report() -> str:
    """Write the night's report; fails when an environment did, so that the run's colour is true."""
    from daybreak.environment.night.report import summarise
    from daybreak.orchestration.connections import installation

    found = installation()
    run = found.nights.find(_run_id())
    if run is None:
        raise AirflowFailException(_UNDECIDED)
    stopped = run.stopped  # before the report takes its place
    summary = summarise(found, _run_id())
    found.runs.finish(_run_id())
    print("\n".join(summary.lines))
    notify.post_night(summary, notify.run_url("nightly", _run_id()))
    if stopped:
        raise AirflowFailException(f"{summary.headline}; {stopped[0]}: {stopped[1]}")
    if not summary.as_decided:
        raise AirflowFailException(summary.headline)
    return summary.headline
