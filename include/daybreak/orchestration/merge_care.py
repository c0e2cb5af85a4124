"""What the lane needs when nobody comes back: the duties of `dags/lane_care.py`.

Each finds by itself what there is to do, and does it once, however often it is called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context, task

from daybreak.merge.conf import DAG, conf_of, run_id_of
from daybreak.orchestration import prebuild

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation
    from daybreak.merge.rows import Entry
    from daybreak.merge.run import Merge
    from daybreak.orchestration.rest import Rest

log = logging.getLogger(__name__)

#: Of a run that was over before, another one is made; so many names are tried at most.
_NAMES = 100


@task(task_id="take_care")
def take_care() -> None:
    """Do all duties."""
    from daybreak.orchestration import connections

    installation = connections.installation()
    if not any(each.role == "merge" for each in installation.settings.environments):
        print("daybreak.yaml has no environment with `role: merge`")
        return
    installation.register()
    merge = connections.merge(installation)
    # Whoever makes a run by hand, or says `env heal`, waits for it.
    asked = get_current_context()["dag_run"].run_type != "scheduled"
    for line in attend(merge, connections.airflow(installation.settings), asked=asked):
        print(line)


def attend(merge: Merge, rest: Rest | None, *, asked: bool = False) -> Iterator[str]:
    """Do each duty; gives a line for each thing that was done.

    :param rest: Airflow, of whose runs the attempts are; without it nobody's end is known but by silence.
    :param asked: as `care.heal` has it.
    :raises AirflowUnreachable: at the end, when it cannot be asked: what needs no answer of it is done then.
    """
    from daybreak.merge.care import heal, settle_dead
    from daybreak.orchestration.rest import AirflowUnreachable

    away: list[AirflowUnreachable] = []

    def over(run_id: str) -> str | None:
        if rest is None or away:
            return None
        try:
            return _over(rest, DAG, run_id)
        except AirflowUnreachable as error:
            log.warning("%s; silence alone tells now which runs are over", error)
            away.append(error)
            return None

    for run_id, state in settle_dead(merge, over):
        yield f"{run_id} was left behind; it is {state} now"
    healed = heal(merge, asked=asked)
    if healed:
        yield healed
    if away:
        raise away[0]
    if rest is not None:
        yield from forget_builds(merge, rest)
        for entry in lonely(merge, rest):
            yield f"{entry.name} waits for nobody; it goes on as {start_again(merge.installation, entry)}"


def forget_builds(merge: Merge, rest: Rest) -> Iterator[str]:
    """End runs of `prebuild` that were marked or killed before they could say that they need nothing more."""
    for run in merge.installation.runs.unfinished():
        # One that Airflow does not know was deleted there: it pins nothing before it runs.
        if run.kind == prebuild.DAG and _over(rest, prebuild.DAG, run.run_id) != "":
            merge.finish(run.run_id)
            yield f"{run.run_id} is over; what it pinned is forgotten"


def lonely(merge: Merge, rest: Rest) -> list[Entry]:
    """Entries that wait and have no run that goes on."""
    from daybreak.merge.rules import EntryState

    waiting = [each for each in merge.queue.open() if each.state is EntryState.QUEUED]
    # Whoever put it there makes its run a moment later.
    moment = merge.installation.clock() - timedelta(minutes=1)
    waiting = [each for each in waiting if each.changed_at <= moment]
    if not waiting:
        return []
    alive = [(run.conf.get("pr"), run.conf.get("entry")) for run in rest.going_on(DAG)]
    # A run that was made for another entry of the pull request asks for no new one.
    return [each for each in waiting if not {(each.pr, None), (each.pr, each.id)} & {*alive}]


def start_again(installation: Installation, entry: Entry) -> str:
    """Make the entry's next run; its id, or nothing where nobody says how to reach Airflow.

    Never raises: what is not begun now is begun by `lane_care`.
    """
    from daybreak.orchestration.connections import airflow

    rest = airflow(installation.settings)
    if rest is None:
        log.warning("%s needs a new run, but daybreak.yaml has no `airflow:`: trigger it", entry.name)
        return ""
    try:
        for more in range(_NAMES):
            run = rest.trigger(DAG, run_id_of(entry, more), conf_of(entry))
            if not run.ended:
                return run.run_id
    except Exception as error:
        log.warning("%s has no new run yet: %s", entry.name, error)
    return ""


def _over(rest: Rest, dag_id: str, run_id: str) -> str | None:
    """Why a run is over; empty while it goes on, ``None`` when Airflow does not know it."""
    from daybreak.errors import UsageError

    try:
        run = rest.run(dag_id, run_id)
    except UsageError:
        return None
    return f"its run in Airflow is over: {run.state}" if run.ended else ""


Over = Callable[[str], str | None]
