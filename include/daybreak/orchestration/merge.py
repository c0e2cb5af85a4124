"""The tasks of a pull request's way to main: thin, so that all they do can be done, and tested, without
Airflow. Nothing is ever decided by a run's colour: the registry has the truth, and the colour follows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator, Param, SkipMixin, TaskGroup, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from daybreak.orchestration import builds, graph, images, notify, prebuild
from daybreak.orchestration.builds import run_id, told
from daybreak.orchestration.gate import LaneTrigger

if TYPE_CHECKING:
    from daybreak.merge.rows import Entry
    from daybreak.merge.rules import AttemptState
    from daybreak.merge.run import Merge

DAG = "pr_e2e"
#: The group that shows what the attempt brought to run.
DEPLOYED = "deployed"
#: What can be deployed by itself, of the types of the graph.
_RUNS = frozenset({"create", "deploy"})
#: Under which `resolve` leaves the entry's id.
_ENTRY = "entry"
#: How long a run may wait for its turn.
PATIENCE = timedelta(hours=12)


def params() -> dict[str, Param]:
    """The form: what :class:`daybreak.merge.conf.Conf` takes."""
    return {
        "pr": Param(None, type="integer", minimum=1, title="Pull request", description="Its number"),
        "sha": Param(None, type=["null", "string"], pattern="^[0-9a-fA-F]{7,64}$", title="Commit",
                     description="The approved commit; empty: the pull request's head as it is now"),
        "mode": Param("land", type="string", enum=["land", "try"], title="Mode",
                      description="try: deploy and test, never land"),
        "priority": Param("normal", type="string", enum=["low", "normal", "high"], title="Priority",
                          description="Before the others, or after them"),
        "by": Param(None, type=["null", "string"], title="By", maxLength=255,
                    description="Whom a bot made this run for"),
        "entry": Param(None, type=["null", "integer"], minimum=1, title="Entry",
                       description="Of the queue, where a bot made this run for it; it asks for no new one"),
    }  # fmt: skip


def _merge() -> Merge:
    from daybreak.orchestration import connections

    return connections.merge(connections.installation())


def _entry(merge: Merge) -> Entry | None:
    """The entry that this run is for; ``None`` when `resolve` did not come to it."""
    found = get_current_context()["ti"].xcom_pull(task_ids="resolve", key=_ENTRY)
    return merge.queue.get(int(found)) if found else None


def _actor() -> str:
    return str(get_current_context()["dag_run"].triggering_user_name or "gandalf")


@contextmanager
def _not_ready() -> Iterator[None]:
    """What people must mend first is not tried again."""
    from daybreak.talk.gandalf.gates import NotReady

    try:
        yield
    except NotReady as missing:
        raise AirflowFailException(str(missing)) from missing


class Resolve(builds.Select):
    """Find or make the queue's entry, pin what can be built before the lane, skip the groups without work."""

    def execute(self, context: Any) -> None:
        """Leaves the entry's id for the tasks that follow."""
        from daybreak.errors import CatalogError
        from daybreak.git.merging import MergeConflict
        from daybreak.merge.conf import Conf
        from daybreak.talk.gandalf.refused import answered

        merge, actor, asked = _merge(), _actor(), dict(context["params"])
        with told(), _not_ready(), answered(merge, asked, actor, run_id()):
            entry = merge.resolve(Conf.of(asked), actor, run_id())
        print(f"{entry.name} at {entry.sha[:12]}, entry {entry.id}: {entry.title} ({entry.author})")
        # At once: what is skipped below ends the task, and what it would return is lost.
        context["ti"].xcom_push(key=_ENTRY, value=entry.id)
        if entry.ended_at is not None:
            raise AirflowSkipException(f"{entry.name} is {entry.state}: {entry.reason or 'nothing is to do'}")
        try:
            planned = merge.pin_entry(run_id(), entry, actor)
        except (CatalogError, MergeConflict) as error:
            if merge.queue.get(entry.id).ended_at is None:
                raise AirflowSkipException(f"{error}; it is in an attempt, which decides") from error
            raise AirflowFailException(f"{entry.name}: {error}") from error
        for step in planned.steps:
            print(f"  {step.name:<24} {step.key[:12]}  {', '.join(step.because)}")
        # It may be what follows the attempt that has the lane now, and is built for that too.
        _build_ahead(merge)
        self.keep(context, planned, merge.to_build(planned))


def _build_ahead(merge: Merge) -> None:
    from daybreak.orchestration.connections import airflow

    for line in prebuild.build_ahead(merge, airflow(merge.installation.settings)):
        print(line)


class Gate(builds.Step):
    """Wait, deferred, until the run's entry is next and the lane is free; skip the rest when it is over."""

    def execute(self, context: Any) -> None:
        """Refuse what cannot be built, then wait."""
        merge = _merge()
        entry = _entry(merge)
        if entry is None:
            raise AirflowSkipException("nothing is in the queue: see the log of `resolve`")
        why = "" if entry.ended_at else merge.refuse_unbuilt(run_id(), entry, _actor())
        if why:
            raise AirflowFailException(f"{entry.name}: {why}")
        _wait(self, entry.id, "resume")

    def resume(self, context: Any, event: Mapping[str, str]) -> None:
        """The trigger fired."""
        print(event["why"])
        if event["may"] == "over":
            raise AirflowSkipException(event["why"])


def _wait(operator: BaseOperator, entry: int, method: str) -> None:
    """Defer, unless there is nothing to wait for."""
    trigger = LaneTrigger(run_id(), entry)
    seen = trigger.look()
    print(seen.why)
    if seen.may == "over":
        raise AirflowSkipException(seen.why)
    if seen.may == "wait":
        operator.defer(trigger=trigger, method_name=method, timeout=PATIENCE)


class TakeLane(builds.Step):
    """Make the attempt and take the lane. Where somebody was quicker, wait again."""

    def execute(self, context: Any) -> str:
        """Returns the attempt's state."""
        merge = _merge()
        entry = _entry(merge)
        assert entry is not None, "the gate lets nobody pass without an entry"
        state = merge.enter(run_id(), entry.id, _actor())
        if state is None:
            _wait(self, entry.id, "again")
            # The lane is free after all, or this run's turn came in this moment.
            state = merge.enter(run_id(), entry.id, _actor())
        if state is None:
            raise RuntimeError(f"{entry.name}: it is its turn, and it could not enter; tried again")
        return _required(merge, state, "PREPARED")

    def again(self, context: Any, event: Mapping[str, str]) -> str:
        """The trigger fired."""
        if event["may"] == "over":
            raise AirflowSkipException(event["why"])
        return self.execute(context)


@task(execution_timeout=timedelta(minutes=5), retries=0)
def build_ahead() -> None:
    """Build what may be in the lane next, in runs of `prebuild`, while this one is deployed and tested."""
    _build_ahead(_merge())


def _required(merge: Merge, state: AttemptState | None, *wanted: str) -> str:
    """Go on only in the state that follows; the attempt's own reason is the task's."""
    attempt = merge.queue.attempt(run_id())
    if state is None:
        raise AirflowSkipException(f"the attempt is {attempt.state}: it is not this task's turn")
    if state not in wanted:
        raise AirflowFailException(f"{attempt.state}: {attempt.reason or attempt.reason_code or ''}")
    return str(state)


@contextmanager
def _lost() -> Iterator[None]:
    """Whoever lost the lane stops at once: another one goes on, and no retry may come between. So does whom
    the remote takes no lease from, until people mend that.
    """
    from daybreak.errors import LostOp
    from daybreak.merge.protocol import LeaseRefused

    try:
        yield
    except (LostOp, LeaseRefused) as lost:
        raise AirflowFailException(f"{lost.code}: {lost}") from lost


class Deploy(builds.Step, SkipMixin):
    """Make the merge environment run the candidate; in the group `deployed`, show what that took."""

    inherits_from_skipmixin = True

    def execute(self, context: Any) -> None:
        """Says what was deployed and what was left as it was."""
        from daybreak.merge import protocol

        merge = _merge()
        with _lost():
            state = merge.go(run_id(), protocol.deploy(), _actor())
        rows = merge.installation.deployments.current(merge.environment)
        done = {name: str(row.key) for name, row in rows.items() if row.run_id == run_id()}
        for name, row in sorted(rows.items()):
            said = "deployed" if name in done else f"runs since {row.run_id}"
            print(f"  {name:<24} {str(row.key)[:12]}  {said}")
        _required(merge, state, "DEPLOYED")
        shown = [each for each in self.dag.tasks if each.task_id.startswith(f"{DEPLOYED}.")]
        # Last: it ends the task.
        self.skip(context["ti"], [each for each in shown if each.task_id.partition(".")[2] not in done])


def deployed() -> TaskGroup:
    """A mark for each resource that can be deployed: green when this attempt did, skipped when it did not."""
    with TaskGroup(group_id=DEPLOYED, tooltip="what the attempt brought to run") as group:
        for node in graph.read():
            if _RUNS & set(node.actions):
                EmptyOperator(task_id=node.name, execution_timeout=timedelta(minutes=1))
    return group


@task
def e2e() -> str:
    """Unit tests and e2e suites of what the candidate affects; fails with the names of what failed.

    `dags/pr_e2e.py` says how long it has.
    """
    from daybreak.merge import protocol

    merge = _merge()
    with _lost():
        state = merge.go(run_id(), protocol.test(), _actor())
    return _required(merge, state, "PASSED")


# Some five minutes of GitHub's troubles cost less than another deploy and other tests.
@task(
    execution_timeout=timedelta(minutes=15), outlets=[images.MAIN], retries=8,
    max_retry_delay=timedelta(minutes=1),
)  # fmt: skip
def land() -> str:
    """Move main to exactly what was tested, in one atomic push; skipped for a try."""
    from daybreak.merge import protocol

    merge = _merge()
    with _lost():
        state = merge.go(run_id(), protocol.land(), _actor())
    if state == "REVERTING" and merge.queue.attempt(run_id()).reason_code == "tried":
        # Not a success: that would say that main moved, to whoever follows the asset.
        raise AirflowSkipException("it passed; it was not to land")
    return _required(merge, state, "LANDED")


@task(execution_timeout=timedelta(minutes=90), retries=3)
def settle() -> dict[str, Any]:
    """Whatever happened: main runs there, the lane is free; fails unless what was asked for is done."""
    from daybreak.merge.rules import EntryState
    from daybreak.orchestration import merge_care

    merge = _merge()
    state = merge.settle(run_id(), _actor())
    entry = _entry(merge)
    merge.finish(run_id())
    if entry is None:
        raise AirflowFailException("nothing was in the queue: see the log of `resolve`")
    again = "" if entry.ended_at is not None else merge_care.start_again(merge.installation, entry)
    said = _ended(merge, entry, state, again)
    print("\n  ".join(said))
    from daybreak.orchestration.connections import airflow
    from daybreak.talk.markdown import words

    # Airflow shows it as Markdown; much of it is other people's words. The number is ours: it stays as it is,
    # for whoever reads the note over REST.
    first = f"{entry.name} {words(said[0].removeprefix(entry.name), 1000)}"
    note = "\n".join([first, *(f"- {words(line, 1000)}" for line in said[1:])])
    notify.write_note(airflow(merge.installation.settings), DAG, run_id(), note)
    tried = entry.state is EntryState.TRIED and entry.reason_code == "tried"
    if not (entry.state is EntryState.LANDED or tried):
        raise AirflowFailException(said[0])
    return {"entry": entry.id, "state": str(entry.state)}


def _ended(merge: Merge, entry: Entry, state: AttemptState | None, again: str) -> list[str]:
    """For people: how it ended, what was tested and what was not."""
    from daybreak.environment.failures import flaky
    from daybreak.merge.findings import Findings

    why = f": {entry.reason}" if entry.reason else ""
    lines = [f"{entry.name} at {entry.sha[:12]} is {entry.state}{why}"]
    if again:
        lines[0] += f"; it goes on as {again}"
    if state is not None:
        lines.append(f"the attempt is {state}")
    found = Findings.of(merge.installation.store, run_id())
    if found is not None:
        lines.append(f"deployed: {', '.join(sorted(found.deployed)) or 'nothing'}")
        lines.append(f"left as it was: {', '.join(sorted(found.skipped)) or 'nothing'}")
        lines.append(f"e2e: {found.suites}; {found.tests} tests")
        lines += [f"failed: {name}: {why}".rstrip(": ") for name, why in found.failures[:10]]
        if found.flaky:
            lines.append(flaky(found.flaky))
    return lines
