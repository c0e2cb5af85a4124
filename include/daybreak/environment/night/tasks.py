"""What a run did, as tasks that took time, with what each had to wait for: pure.

The graph is that of `dags/nightly.py`: every environment's evening, then the builds in the order of the
pinned plan, then every environment's morning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from daybreak.change.plan import Plan
from daybreak.environment.calendar import Phase
from daybreak.environment.night.timing import Task
from daybreak.environment.records import Build, BuildPart
from daybreak.environment.steps import Step

#: Airflow's pool of each stage; those that are not named are in `aws`.
POOLS: Mapping[str, str] = {"e2e": "e2e"}
BUILD_POOL = "builds"


def pool_of(stage: str) -> str:
    """The pool whose slot a stage holds."""
    return POOLS.get(stage, "aws")


def tasks(
    run_id: str,
    steps: Sequence[Step],
    builds: Iterable[Build],
    plan: Plan | None,
    began: datetime,
    now: datetime,
) -> list[Task]:
    """The run's tasks, in seconds after ``began``. What is still at work ends ``now``.

    Of a step that was tried again only the last try is known.

    :param builds: the artifacts of the plan's keys; what other runs did for them does not count.
    :param plan: the pinned plan; ``None`` when the run did not come so far.
    """  # fmt: skip

    def seconds(instant: datetime | None) -> float:
        return ((instant or now) - began).total_seconds()

    in_order = sorted(steps, key=lambda step: step.started_at)
    evening = [step for step in in_order if step.phase == Phase.TEARDOWN]
    morning = [step for step in in_order if step.phase != Phase.TEARDOWN]
    torn_down = tuple(sorted({step.environment: _name(step) for step in evening}.values()))
    parts = {
        build.resource: [part for part in build.parts if part.run_id == run_id] for build in builds
    }  # fmt: skip
    made = _builds(parts, plan, torn_down, began)
    built = tuple(task.name for task in made)
    found = [*made]
    for before, group in (((), evening), ((*torn_down, *built), morning)):
        latest: dict[str, str] = {}
        for step in group:
            needs = (latest[step.environment],) if step.environment in latest else before
            latest[step.environment] = _name(step)
            found.append(
                Task(_name(step), pool_of(step.step), seconds(step.started_at), seconds(step.ended_at), needs)
            )
    return sorted(found, key=lambda task: (task.began, task.name))


def _name(step: Step) -> str:
    return f"{step.environment} {step.step}"


def _builds(
    parts: Mapping[str, Sequence[BuildPart]], plan: Plan | None, before: tuple[str, ...], began: datetime
) -> list[Task]:
    """Each resource's build, then its tests, after those of everything that it depends on."""
    needed = _closures(plan)
    names = {
        resource: tuple(f"{resource} {part.what}" for part in done) for resource, done in parts.items()
    }  # fmt: skip
    found = []
    for resource, done in parts.items():
        needs = (*before, *(name for other in needed.get(resource, ()) for name in names.get(other, ())))
        for part in done:
            end = (part.at - began).total_seconds()
            found.append(Task(f"{resource} {part.what}", BUILD_POOL, end - part.seconds, end, needs))
            needs = (*needs, found[-1].name)
    return found


def _closures(plan: Plan | None) -> dict[str, frozenset[str]]:
    """Everything that each planned resource depends on, also by way of others."""
    found: dict[str, frozenset[str]] = {}
    for step in plan.steps if plan else ():
        found[step.name] = frozenset(step.dependencies).union(
            *(found.get(name, frozenset()) for name in step.dependencies)
        )
    return found
