"""A run's tasks as Airflow timed them: from the start of a task's process to its end, imports and all.

The steps' own seconds begin only when Daybreak's code does. How well a night used its time is judged by what
Airflow had to run, so that neither a process that starts slowly nor a database that answers slowly hides.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from daybreak.environment.night.timing import Task
from daybreak.errors import DaybreakError

if TYPE_CHECKING:
    from daybreak.orchestration.rest import Rest, TaskInstance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drawn:
    """A task of the DAG, without its instances.

    :param mapped: the mapped group, or mapped task, that it belongs to; instances of one index in it follow
        each other. ``None`` for a task that is there once.
    """

    task_id: str
    pool: str
    upstream: frozenset[str]
    mapped: str | None


def measured(
    rest: Rest | None, dag: Any, run_id: str, *, began: datetime, now: datetime, without: Collection[str] = ()
) -> list[Task] | None:
    """The tasks of a run that goes on, asked of Airflow; ``None`` where it cannot be asked. Never raises.

    The parameters are those of :func:`tasks`; ``dag`` is Airflow's.
    """
    if rest is None:
        return None
    try:
        instances = rest.task_instances(dag.dag_id, run_id)
    except DaybreakError as error:
        log.warning("the figures are those of the steps: %s", error)
        return None
    return tasks(drawn(dag), instances, began=began, now=now, without=without)


def drawn(dag: Any) -> dict[str, Drawn]:
    """The tasks of an Airflow DAG, by task id."""
    return {
        task.task_id: Drawn(task.task_id, task.pool, frozenset(task.upstream_task_ids), _mapped(task))
        for task in dag.tasks
    }


def _mapped(task: Any) -> str | None:
    group = next(iter(task.iter_mapped_task_groups()), None)
    if group is not None:
        return str(group.group_id)
    return str(task.task_id) if task.is_mapped else None


def tasks(
    dag: Mapping[str, Drawn],
    instances: Iterable[TaskInstance],
    *,
    began: datetime,
    now: datetime,
    without: Collection[str] = (),
) -> list[Task]:
    """The instances that ran, in seconds after ``began``; what is still at work ends ``now``.

    :param without: task ids that only wait, such as a deferred one.
    """
    ran = [
        each for each in instances
        if _ran(each) and each.task_id in dag and each.task_id not in without
    ]  # fmt: skip
    by_task: dict[str, list[TaskInstance]] = defaultdict(list)
    for each in ran:
        by_task[each.task_id].append(each)

    def before(each: TaskInstance) -> Iterable[TaskInstance]:
        mine = dag[each.task_id]
        names, seen = list(mine.upstream), set(mine.upstream)
        while names:
            name = names.pop()
            if name not in dag:
                continue
            paired = mine.mapped is not None and dag[name].mapped == mine.mapped
            others = [
                other for other in by_task[name] if not paired or other.map_index == each.map_index
            ]  # fmt: skip
            yield from others
            if not others:
                # What was skipped, or only waited, is as long as what it waited for.
                names += dag[name].upstream - seen
                seen |= dag[name].upstream

    def seconds(instant: datetime | None) -> float:
        return ((instant or now) - began).total_seconds()

    found = [
        Task(
            _name(each), dag[each.task_id].pool, seconds(each.began), seconds(each.ended_at),
            tuple(sorted(_name(other) for other in before(each))),
        )
        for each in ran
    ]  # fmt: skip
    return sorted(found, key=lambda task: (task.began, task.name))


def _ran(instance: TaskInstance) -> bool:
    """Not what another task skipped: Airflow gives that one instant, within the run of whoever skipped it."""
    if instance.state == "skipped" and instance.began == instance.ended_at:
        return False
    return instance.began is not None


def _name(instance: TaskInstance) -> str:
    group, _, last = instance.task_id.rpartition(".")
    if instance.map_index < 0:
        return f"{group} {last}".strip()
    return f"{instance.name or f'{group}[{instance.map_index}]'} {last}"
