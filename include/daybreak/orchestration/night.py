"""The night's tasks: thin, so that everything they do can be done, and tested, without Airflow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator, SkipMixin, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from daybreak.orchestration.graph import Node

NAME = "{{ environment }}"
AWS: dict[str, Any] = {"pool": "aws", "map_index_template": NAME}


def _run_id() -> str:
    return str(get_current_context()["dag_run"].run_id)


def _name(context: Any, decision: dict[str, Any]) -> None:
    """`map_index_template` shows the environment's name instead of a number."""
    context["environment"] = decision["environment"]


def _work(decision: dict[str, Any]) -> Any:
    from datetime import date

    from daybreak.environment.decision import Decision
    from daybreak.environment.night.work import Work
    from daybreak.orchestration.connections import installation

    context = get_current_context()
    _name(context, decision)
    known = {key: value for key, value in decision.items() if key not in ("night", "dry_run")}
    actor = context["dag_run"].triggering_user_name or "schedule"
    return Work(
        installation(), _run_id(), date.fromisoformat(decision["night"]), Decision.from_json(known), actor
    )


def _only(decision: dict[str, Any], *phases: str) -> None:
    context = get_current_context()
    _name(context, decision)
    if decision["dry_run"]:
        raise AirflowSkipException(f"dry run: {decision['environment']} would be {decision['action']}")
    if not any(decision[phase] for phase in phases):
        raise AirflowSkipException(f"{decision['environment']}: {decision['action']}, {decision['reason']}")


@task(retries=1, retry_delay=timedelta(seconds=10), execution_timeout=timedelta(minutes=5))
def decide() -> list[dict[str, Any]]:
    """Which night it is, and what happens to each environment; nothing is touched."""
    from daybreak.environment.night.prepare import Request, decide_night
    from daybreak.errors import UsageError
    from daybreak.orchestration.connections import installation

    context = get_current_context()
    try:
        request = Request.of(dict(context["params"]))
        night, decisions = decide_night(installation(), _run_id(), request)
    except UsageError as error:
        raise AirflowFailException(str(error)) from None
    for each in decisions:
        print(f"{each.environment:<12} {each.action.value:<9} {each.reason}")
    return [{**each.to_json(), "night": night.isoformat(), "dry_run": request.dry_run} for each in decisions]


@task(execution_timeout=timedelta(minutes=20), retries=1, retry_delay=timedelta(seconds=15), **AWS)
def quiesce(decision: dict[str, Any]) -> None:
    """Memorise and disable the schedules, stop the services."""
    from daybreak.environment.night import evening, work

    _only(decision, "teardown")
    work.run(_work(decision), evening.QUIESCE)


@task(execution_timeout=timedelta(minutes=90), retries=1, retry_delay=timedelta(seconds=30), **AWS)
def tear_down(decision: dict[str, Any]) -> None:
    """Delete the stack that costs money."""
    from daybreak.environment.night import evening, work

    _only(decision, "teardown")
    work.run(_work(decision), evening.TEAR_DOWN)


class WaitForMorning(BaseOperator):
    """Defer until the policy's morning; a worker slot is held by nobody meanwhile."""

    def execute(self, context: Any) -> None:
        """Defer, unless the run was told not to wait."""
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        from daybreak.environment.calendar import tonight
        from daybreak.registry import utc_now
        from daybreak.settings import load

        if not context["params"].get("wait", True):
            return
        now = utc_now()
        morning = tonight(load().night, now).morning
        if morning > now:
            self.defer(
                trigger=DateTimeTrigger(morning),
                method_name="resume",
                timeout=morning - now + timedelta(hours=1),
            )

    def resume(self, context: Any, event: Any = None) -> None:
        """It is morning."""


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
        found = installation()
        plan = pin(found, context["dag_run"].run_id, context["params"].get("ref"))
        wanted = set(missing(found, plan))
        needed = any(each["rebuild"] for each in decisions) and not any(e["dry_run"] for e in decisions)
        keep = _between(wanted, {step.name: step.dependencies for step in plan.steps}) if needed else set()
        groups = {step.name for step in plan.steps} - keep
        unwanted = [
            each for each in self.dag.tasks
            if "." in each.task_id and each.task_id.split(".")[0] in groups
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


@task(
    trigger_rule="none_failed", retries=1, retry_delay=timedelta(seconds=10),
    execution_timeout=timedelta(minutes=30), pool="builds",
)  # fmt: skip
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
    lacking = list(missing(found, Plan.from_json(found.runs.get(_run_id()).plan)))
    if lacking:
        print(f"not built, see the groups of: {', '.join(lacking)}")
    return {"missing": lacking}


def stage(name: str, **more: Any) -> Any:
    """The task of one stage of the morning, by its name in ``environment.night.morning``."""

    settings: dict[str, Any] = {
        "pool": "aws", "retries": 1, "retry_delay": timedelta(seconds=15),
        "execution_timeout": timedelta(minutes=90), "map_index_template": NAME,
    }  # fmt: skip

    @task(task_id=name, **{**settings, **more})
    def run_stage(decision: dict[str, Any]) -> None:
        from daybreak.environment.night import morning, work

        _only(decision, "rebuild")
        todo = _work(decision)
        chosen = next(each for each in morning.STAGES if each.name == name)
        work.run(todo, morning.stage_for(todo, chosen))

    return run_stage


@task(trigger_rule="all_done", execution_timeout=timedelta(minutes=10), **AWS)
def verdict(decision: dict[str, Any]) -> dict[str, Any]:
    """How the environment ended; fails when it is FAULTED."""
    from daybreak.environment.night import morning

    _only(decision, "teardown", "rebuild")
    return dict(morning.verdict(_work(decision)))


@task(trigger_rule="all_done", execution_timeout=timedelta(minutes=5))
def report() -> str:
    """Write the night's report; fails when an environment did, so that the run's colour is true."""
    from daybreak.environment.night.report import summarise
    from daybreak.orchestration.connections import installation

    found = installation()
    summary = summarise(found, _run_id())
    found.runs.finish(_run_id())
    print("\n".join(summary.lines))
    if summary.faulted:
        raise AirflowFailException(summary.headline)
    return summary.headline
