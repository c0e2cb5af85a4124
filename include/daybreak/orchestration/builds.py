"""Building as tasks: one group for each resource of the graph, the same for every DAG that builds.

Which of them do something, the run's pinned plan says; the others are skipped by :class:`Select`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, SkipMixin, TaskInstanceState, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from daybreak.orchestration import graph
from daybreak.orchestration.graph import Node
from daybreak.settings import load

if TYPE_CHECKING:
    from daybreak.catalog.graph import Catalog
    from daybreak.change.plan import Plan
    from daybreak.git.repository import Repository

#: The group of planned resources that the graph does not show yet.
NEWCOMERS = "newcomers"


def run_id() -> str:
    """The DAG run's id, under which the registry knows the run too."""
    return str(get_current_context()["dag_run"].run_id)


@contextmanager
def told() -> Iterator[None]:
    """Errors as Airflow understands them: left alone is a skip, and what no retry can heal is not retried."""
    from daybreak.environment.nights import LeftAlone
    from daybreak.errors import Refused, UsageError

    try:
        yield
    except LeftAlone as left:
        raise AirflowSkipException(str(left)) from None
    except (Refused, UsageError) as error:
        raise AirflowFailException(f"{error.code}: {error}") from error


class Step(BaseOperator):
    """An operator whose docstring people read beside its instances, as they do a `@task`'s."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**{"doc_md": type(self).__doc__, **more})


class Select(Step, SkipMixin):
    """Pins a plan, then skips the build groups that have nothing to do.

    A resource between two selected ones is not skipped here: its follower would start too soon. It runs,
    finds its artifact and is done.
    """

    inherits_from_skipmixin = True

    def keep(self, context: Any, plan: Plan, wanted: Collection[str], *more: str) -> None:
        """Skip all groups but those of ``wanted`` and what lies between them.

        :param more: ids of other tasks to skip.
        """
        keep = between(wanted, {step.name: step.dependencies for step in plan.steps})
        known = drawn(context)
        if set(wanted) - known:
            keep.add(NEWCOMERS)
        unwanted = [
            each for each in self.dag.tasks
            if each.task_id in more
            or ("." in each.task_id and each.task_id.split(".")[0] in {*known, NEWCOMERS} - keep)
        ]  # fmt: skip
        print(f"{plan.commit[:12]}: to build {', '.join(sorted(wanted)) or 'nothing'}")
        self.skip(context["ti"], unwanted)


def drawn(context: Any) -> set[str]:
    """The resources that have a group of their own in this run.

    Asked of Airflow, not of the DAG file: this process parsed that after the run began, perhaps by a graph
    that the run itself published, and would take for drawn what nobody builds.
    """
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    tasks = {name for name, state in states.items() if state != TaskInstanceState.REMOVED}
    return {name.removesuffix(".build") for name in tasks if name.endswith(".build")} - {NEWCOMERS}


def between(wanted: Collection[str], dependencies: Mapping[str, Sequence[str]]) -> set[str]:
    """``wanted`` and what lies on a path from one of them to another.

    :param dependencies: in topological order.
    """
    after: set[str] = set()
    for name in dependencies:
        if name in wanted or any(each in after for each in dependencies[name]):
            after.add(name)
    before: set[str] = set()
    for name in reversed(list(dependencies)):
        users = [user for user, needs in dependencies.items() if name in needs]
        if name in wanted or any(user in before for user in users):
            before.add(name)
    return set(wanted) | (after & before)


def groups(first: Any, last: Any) -> None:
    """Draw ``newcomers`` and a group for each resource, between the tasks ``first`` and ``last``."""

    @task_group(group_id=NEWCOMERS, tooltip="resources of this commit that the graph does not show yet")
    def newcomers() -> None:
        build_newcomers()

    new = newcomers()
    first >> new >> last
    steps = partial(build_steps, images=load().build.images is not None)
    for group in graph.resource_groups(graph.read(), steps).values():
        # Each of them, not only the first and the last: what is skipped in between holds nobody back.
        [first, new] >> group >> last


def build_steps(node: Node, *, images: bool = False) -> None:
    """The tasks of one resource's group: build, then its unit tests.

    :param images: builds make images of services: the base of each before all else.
    """
    built = build.override(task_id="build")(node.name)
    if node.type == "service" and images:
        base.override(task_id="base")(node.name) >> built
    if node.has_tests and "test" in node.actions:
        built >> test.override(task_id="test")(node.name)


def keys_of(
    plan: Plan, repository: Repository, catalog: Catalog, names: Iterable[str], python: str
) -> dict[str, str]:
    """Content keys of ``names`` and of the packages that they are made of.

    The plan of a night has them all. That of a change has those that it touches alone; what they are made of
    beside that is read from the commit.
    """
    from daybreak.change.key import content_keys

    known = {step.name: step.key for step in plan.steps}
    needed = {package for name in names for package in catalog.package_closure(name)}
    return known if needed <= known.keys() else content_keys(repository, catalog, python=python)


def _build(name: str, what: str) -> str:
    import time

    from daybreak.build import builder, checks
    from daybreak.build.artifact import Artifacts
    from daybreak.catalog.snapshot import stored
    from daybreak.change.plan import Plan
    from daybreak.errors import DaybreakError
    from daybreak.orchestration.connections import installation

    found = installation()
    plan = Plan.from_json(found.runs.get(run_id()).plan)
    step = plan.step(name)
    if step is None or what not in step.actions:
        raise AirflowSkipException(f"{name} is not in the plan of {plan.commit[:12]} to {what}")
    repository, catalog = found.mirror(), stored(found.store, plan.commit)
    keys = keys_of(plan, repository, catalog, [name], found.settings.build.python)
    do = builder.build if what == "build" else checks.test
    began = time.monotonic()

    def record(status: str, seconds: float, **detail: str) -> None:
        found.builds.record(
            name, step.key, commit=plan.commit, status=status, seconds=seconds, run_id=run_id(), what=what,
            detail=detail,
        )  # fmt: skip

    try:
        result = do(
            repository, catalog, name, keys, Artifacts(found.store), found.home, found.settings.build, print,
        )  # fmt: skip
    except DaybreakError as error:
        record("failed", time.monotonic() - began, code=error.code, message=str(error)[:4000])
        raise
    record(str(result.status), result.seconds)
    return str(result.status)


@task(task_id="build", execution_timeout=timedelta(hours=1), pool="builds")
def build_newcomers() -> list[str]:
    """Build and unit-test what the run's commit introduced and the graph does not show yet, with all that it
    needs.
    """
    from daybreak.build.artifact import Artifacts
    from daybreak.build.runner import Outcome, build_all
    from daybreak.catalog.resource import Action
    from daybreak.catalog.snapshot import stored
    from daybreak.change.plan import Plan
    from daybreak.errors import DaybreakError
    from daybreak.orchestration.connections import installation

    found = installation()
    plan = Plan.from_json(found.runs.get(run_id()).plan)
    known = drawn(get_current_context())
    planned = [step for step in plan.steps if step.name not in known]
    names = [step.name for step in planned if Action.BUILD in step.actions]
    repository, catalog = found.mirror(), stored(found.store, plan.commit)
    keys = keys_of(plan, repository, catalog, names, found.settings.build.python)
    failed = []
    for progress in build_all(
        repository, catalog, names, keys, Artifacts(found.store), found.home, found.settings.build, print,
        tests=any(Action.TEST in step.actions for step in planned),
    ):  # fmt: skip
        print(f"{progress.resource}: {progress.outcome.value} in {progress.seconds:.1f} s {progress.detail}")
        found.builds.record(
            progress.resource, progress.key, commit=plan.commit, status=progress.outcome.value,
            seconds=progress.seconds, run_id=run_id(),
            detail={"message": progress.detail[:4000], "code": progress.code},
        )  # fmt: skip
        if progress.outcome in (Outcome.FAILED, Outcome.SKIPPED):
            failed.append(f"{progress.resource}: {progress.detail}")
    if failed:
        raise DaybreakError("; ".join(failed), code="build_failed")
    return names


@task(trigger_rule="none_failed", execution_timeout=timedelta(minutes=30), pool="builds")
def base(name: str) -> str:
    """Build the dependency layer of the service's image, unless it is there."""
    from daybreak.build.images import builds
    from daybreak.catalog.snapshot import stored
    from daybreak.change.plan import Plan
    from daybreak.orchestration.connections import installation

    found = installation()
    plan = Plan.from_json(found.runs.get(run_id()).plan)
    step = plan.step(name)
    if step is None or "build" not in step.actions:
        raise AirflowSkipException(f"{name} is not in the plan of {plan.commit[:12]} to build")
    made = builds.ensure(
        found.mirror(), stored(found.store, plan.commit), name, found.home, found.settings.build
    )
    return "none" if made is None else f"{made.tag}{' (degraded)' if made.degraded else ''}"


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
    from daybreak.build.artifact import Artifacts
    from daybreak.change.plan import Plan
    from daybreak.errors import UsageError
    from daybreak.orchestration.connections import installation

    found = installation()
    try:
        pinned = found.runs.get(run_id())
    except UsageError as nothing:
        # Whoever should have pinned it is red already.
        raise AirflowSkipException(str(nothing)) from None
    lacking = Artifacts(found.store).missing(Plan.from_json(pinned.plan))
    if lacking:
        print(f"not built, see the groups of: {', '.join(lacking)}")
    return {"missing": lacking}
