"""The night's tasks: thin, so that everything they do can be done, and tested, without Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from daybreak.orchestration import builds, notify
from daybreak.orchestration.builds import run_id, told
from daybreak.orchestration.gate import TurnTrigger

_UNDECIDED = "nothing was decided and nothing was changed: see the log of `decide`"
NAME = "{{ environment }}"
AWS: dict[str, Any] = {"pool": "aws", "map_index_template": NAME}


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
    by = context["params"].get("by")
    actor = by or context["dag_run"].triggering_user_name or "schedule"
    night = date.fromisoformat(decision["night"])
    ti = context["ti"]
    last_try = ti.try_number > ti.max_tries
    return Work(installation(), run_id(), night, Decision.from_json(known), actor, last_try)


def _name(context: Any, decision: dict[str, Any]) -> None:
    context["environment"] = decision["environment"]  # what `map_index_template` shows


def _only(decision: dict[str, Any], *parts: str) -> None:
    """Name the task by its environment, and skip it where the decision has none of these parts."""
    _name(get_current_context(), decision)
    if decision["dry_run"]:
        raise AirflowSkipException(f"dry run: {decision['environment']} would be {decision['action']}")
    if not any(decision[part] for part in parts):
        raise AirflowSkipException(f"{decision['environment']}: {decision['action']}, {decision['reason']}")


@task(execution_timeout=timedelta(minutes=10))
def decide() -> list[dict[str, Any]]:
    """Which night it is, and what happens to each environment; nothing is touched."""
    from daybreak.environment.night.prepare import check_main, decide_night
    from daybreak.orchestration.connections import installation

    with told():
        request = _request(get_current_context())
        found = installation()
        check_main(found, request)
        night, decisions = decide_night(found, run_id(), request)
    for each in decisions:
        print(f"{each.environment:<12} {each.action.value:<9} {each.reason}")
    return [{**each.to_json(), "night": night.isoformat(), "dry_run": request.dry_run} for each in decisions]


@task(execution_timeout=timedelta(minutes=20), **AWS)
def quiesce(decision: dict[str, Any]) -> None:
    """Memorise and disable the schedules; of what is torn down, stop the services."""
    from daybreak.environment.night import evening

    _only(decision, "teardown", "pauses")
    with told():
        evening.quiesce(_work(decision))


@task(execution_timeout=timedelta(minutes=90), **AWS)
def tear_down(decision: dict[str, Any]) -> None:
    """Delete the stack that costs money."""
    from daybreak.environment.night import evening

    _only(decision, "teardown")
    with told():
        evening.tear_down(_work(decision))


class WaitForMorning(builds.Step):
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


class PinMain(builds.Select):
    """Pin commit, catalog and plan; skip the build groups that have nothing to do."""

    def execute(self, context: Any) -> str:
        """Returns the pinned commit."""
        from daybreak.build.artifact import Artifacts
        from daybreak.environment.night.prepare import pin
        from daybreak.orchestration.connections import installation

        decisions = context["ti"].xcom_pull(task_ids="decide")
        needed = any(each["rebuild"] and not each["dry_run"] for each in decisions)
        found = installation()
        with told():
            plan = pin(found, _request(context), run_id())
        self.keep(context, plan, Artifacts(found.store).missing(plan) if needed else ())
        return plan.commit


class Stage(builds.Step):
    """One stage of an environment's morning: the one of the task's name.

    The first one waits, deferred, until the pull request that is in the lane of this environment is done.

    :param decision: what `decide` said of the environment.
    """

    # Resolved only: what people wrote into a reason is no template.
    template_fields = ("decision",)

    def __init__(self, *, decision: Any, **more: Any) -> None:
        super().__init__(**{**AWS, "execution_timeout": timedelta(minutes=90), **more})
        self.decision = decision

    def execute(self, context: Any) -> None:
        """Do it, or wait for the turn."""
        from daybreak.environment.night.work import TURN
        from daybreak.registry import utc_now

        self._run(context, utc_now() + TURN)

    def resume(self, context: Any, until: str, event: Mapping[str, str] | None = None) -> None:
        """The trigger fired; the same patience goes on."""
        print(event["why"] if event else "")
        self._run(context, datetime.fromisoformat(until))

    def _run(self, context: Any, until: datetime) -> None:
        from daybreak.environment.night import morning, work
        from daybreak.registry import utc_now

        _only(self.decision, "rebuild")
        todo = _work(self.decision)
        name = self.task_id.rpartition(".")[2]
        chosen = next(each for each in morning.STAGES if each.name == name)

        def wait() -> None:
            trigger = TurnTrigger(todo.environment, until.isoformat())
            # The trigger knows `until` itself; beyond it this ends one that never gets to ask.
            limit = until - utc_now() + timedelta(minutes=30)
            said = {"until": until.isoformat()}
            self.defer(trigger=trigger, method_name="resume", kwargs=said, timeout=limit)

        with told():
            work.run(todo, morning.stage_for(todo, chosen), work.Turn(until, wait))


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
    from daybreak.orchestration import timeline
    from daybreak.orchestration.connections import airflow, installation

    found = installation()
    run = found.nights.find(run_id())
    if run is None:
        raise AirflowFailException(_UNDECIDED)
    stopped = run.stopped  # before the report takes its place
    rest = airflow(found.settings)
    timed = timeline.measured(
        rest, get_current_context()["dag"], run_id(), began=run.decided_at, now=found.clock(),
        without=("wait_for_morning",),
    )  # fmt: skip
    told = notify.told_of_night(found.settings, run_id(), notify.run_url("nightly", run_id()))
    summary = summarise(found, run_id(), timed, told)
    found.runs.finish(run_id())
    print("\n".join(summary.lines))
    if told is not None:
        notify.tell(found, told(summary).key)
    notify.note_night(rest, "nightly", run_id(), summary)
    if stopped:
        raise AirflowFailException(f"{summary.headline}; {stopped[0]}: {stopped[1]}")
    if not summary.as_decided:
        raise AirflowFailException(summary.headline)
    return summary.headline
