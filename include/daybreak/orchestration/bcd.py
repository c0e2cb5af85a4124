"""The tasks of a deploy by hand: thin, so that all they do can be done, and tested, without Airflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from daybreak.orchestration import builds, graph, notify
from daybreak.orchestration.builds import run_id

if TYPE_CHECKING:
    from daybreak.change.plan import Plan
    from daybreak.environment.bcd.request import Request
    from daybreak.environment.installation import Installation
    from daybreak.settings import Settings

DAG = "bcd"
_MORE = "More"


def params(settings: Settings) -> dict[str, Param]:
    """The form: what :class:`daybreak.environment.bcd.request.Request` takes, with the names that exist."""
    names = [each.name for each in settings.environments if each.role != "merge"]
    resources = [node.name for node in graph.read()]
    actions = ["build", "test", "create", "deploy"]
    # An empty enum is no schema; the first task says that there is no environment.
    known: dict[str, Any] = {"enum": names} if names else {}
    return {
        "environment": Param(None, type="string", **known, title="Environment",
                             description="Is locked for you while the run goes on"),
        "ref": Param(None, type=["null", "string"], title="Revision", maxLength=255,
                     description="Branch, #12 for a pull request, tag or commit; empty: the latest main"),
        "resources": Param(None, type=["null", "array"], items={"type": "string"}, examples=resources,
                           title="Resources",
                           description="Only these; empty: all that the environment does not run yet"),
        "reason": Param("", type=["null", "string"], title="Reason", maxLength=500,
                        description="Whoever meets the lock reads it"),
        "everything": Param(False, type="boolean", title="Everything", section=_MORE,
                            description="Build and test what is not deployed by itself, too"),
        "force": Param(False, type="boolean", title="Deploy again", section=_MORE,
                       description="Also what runs there already"),
        "remove": Param(False, type="boolean", title="Remove what is gone", section=_MORE,
                        description="Destroy what the revision does not have any more"),
        "e2e": Param(False, type="boolean", title="e2e", section=_MORE,
                     description="Run the revision's e2e suites afterwards"),
        "actions": Param(actions, type="array", items={"type": "string", "enum": actions}, examples=actions,
                         title="Actions", section=_MORE, description="Which of these are done"),
    }  # fmt: skip


@contextmanager
def _told() -> Iterator[None]:
    """What another try cannot mend fails at once, with the error's own name: ``EnvironmentLocked: …``."""
    from daybreak.environment.bcd.deploy import UNBUILT
    from daybreak.environment.leases.lease import WaitedFor
    from daybreak.environment.machine import OpBusy, StaleState
    from daybreak.errors import DaybreakError, EnvironmentLocked, LostOp, Refused, UsageError

    final = (UsageError, Refused, EnvironmentLocked, WaitedFor, OpBusy, StaleState, LostOp)
    try:
        yield
    except DaybreakError as error:
        if isinstance(error, final) or error.code == UNBUILT:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error
        raise


def actor(installation: Installation, user: str, request: Request) -> str:
    """Who deploys: the person behind the user of Airflow, or whom a bot asks for.

    :param user: who triggered the run; empty where Airflow does not know.
    :raises UsageError: when somebody but the bot asks on another's behalf.
    """
    from daybreak.errors import UsageError
    from daybreak.talk.people import People

    settings = installation.settings
    bot = settings.airflow.username if settings.airflow else ""
    if request.by:
        if user not in ("", bot):
            raise UsageError(f"conf: by: {user} cannot deploy as {request.by}; leave it out")
        return request.by
    person = People(settings, installation.engine, installation.clock).by_airflow(user)
    return person.name if person else user or "airflow"


class Prepare(builds.Select):
    """Refuse, or lock the environment and pin the plan; then skip what has nothing to do."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Returns what is planned."""
        from daybreak.environment.bcd.prepare import prepare
        from daybreak.environment.bcd.request import Request
        from daybreak.orchestration.connections import installation

        found = installation()
        with _told():
            request = Request.of(dict(context["params"]))
            who = actor(found, context["dag_run"].triggering_user_name or "", request)
            prepared = prepare(found, run_id(), request, who, notify.run_url(DAG, run_id()))
        print("\n".join(prepared.lines))
        idle = [*([] if request.changes else ["deploy"]), *([] if request.e2e else ["e2e"])]
        self.keep(context, prepared.plan, _to_build(found, prepared.plan), *idle)
        steps = {step.name: list(step.actions) for step in prepared.plan.steps}
        return {"environment": request.environment, "commit": prepared.plan.commit, "actor": who,
                "steps": steps}  # fmt: skip


def _to_build(installation: Installation, plan: Plan) -> set[str]:
    """What has no artifact yet, or no green unit tests."""
    from daybreak.build.artifact import Artifacts
    from daybreak.build.checks import passed
    from daybreak.catalog.resource import Action
    from daybreak.catalog.snapshot import stored

    artifacts = Artifacts(installation.store)
    tested = {step.name for step in plan.steps if Action.TEST in step.actions}
    keys = {step.name: step.key for step in plan.steps}
    catalog = stored(installation.store, plan.commit)
    green = passed(installation.mirror(), catalog, keys, artifacts) if tested else set()
    return {*artifacts.missing(plan), *(tested - green)}


@task(execution_timeout=timedelta(hours=2), pool="aws")
def deploy() -> dict[str, str]:
    """Create and deploy what is planned, each as soon as what it needs runs; a retry repeats what lacks."""
    from daybreak.environment.bcd import deploy as stage

    with _told():
        return dict(stage.deploy(_work()))


@task(pool="e2e")
def e2e() -> dict[str, Any]:
    """Run the e2e suites of the revision; fails when they are not green.

    `dags/bcd.py` says how long it has.
    """
    from daybreak.environment.bcd import deploy as stage
    from daybreak.environment.failures import named

    with _told():
        said = dict(stage.e2e(_work()))
    if said["verdict"] != "passed":
        raise AirflowFailException(f"e2e {said['verdict']}: {named(said['failures']) or 'see its log'}")
    return said


@task(execution_timeout=timedelta(minutes=30), pool="aws")
def report() -> dict[str, Any]:
    """Account for every planned step, say what changed, let go of the environment; fails when the run did."""
    from daybreak.environment.bcd.report import Outcome
    from daybreak.environment.bcd.settle import settle
    from daybreak.errors import UsageError
    from daybreak.orchestration.connections import airflow, installation

    found = installation()
    try:
        ended = settle(found, run_id())
    except UsageError as unknown:
        raise AirflowFailException(f"nothing was begun: see the log of `prepare` ({unknown})") from None
    lines = ended.table()
    print("\n".join(lines))
    notify.write_note(airflow(found.settings), DAG, run_id(), _note(ended.to_json()))
    if not ended.ok:
        # The run's state is this task's: a teardown that counts is the only leaf.
        refused = ended.outcome is Outcome.REFUSED
        raise AirflowFailException(ended.message if refused else f"{ended.headline}: {ended.message}")
    return ended.to_json()


def _note(ended: Mapping[str, Any]) -> str:
    """Airflow shows it as Markdown; much of it is other people's words."""
    from daybreak.talk.markdown import code, link, words

    changed = [line for line in ended["lines"] if line["ended"] != "unchanged"]
    lines = []
    for each in changed:
        why = each["why"] or each["red"]
        more = words(why, 1000) if why else link(each["link"], each["link"])
        was, key = (code(each[name][:12]) for name in ("was", "key"))
        lines.append(f"- **{words(each['resource'])}** {each['ended']} {was} → {key} {more}".rstrip())
    said = [f"- {words(each, 1000)}" for each in (*ended["wrong"], *ended["notes"])]
    return "\n".join([words(ended["headline"], 1000), *said, *lines])


def _work() -> Any:
    from daybreak.environment.bcd.work import Work
    from daybreak.orchestration.connections import installation

    get_current_context()
    return Work.of(installation(), run_id())
