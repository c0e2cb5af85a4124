"""Which resources a BCD is about: the plan of its commit against what the environment runs now. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from daybreak.catalog.graph import Catalog
from daybreak.catalog.resource import Action, ResourceType
from daybreak.change.plan import Plan, PlannedResource
from daybreak.environment.bcd.request import Request
from daybreak.environment.rollout import deployable, needs
from daybreak.errors import UsageError


@dataclass(frozen=True)
class Selection:
    """What a BCD does.

    :param plan: steps with the requested actions, dependencies first. Packages that they are made of are
        steps too.
    :param same: asked for, and left, because the environment runs just that.
    :param gone: run there, and are not part of the revision any more.
    """

    plan: Plan
    same: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def to_deploy(self) -> tuple[str, ...]:
        """What is created or deployed, dependencies first."""
        return tuple(step.name for step in self.plan.steps if deploys(step))


def deploys(step: PlannedResource) -> bool:
    """Whether the step touches the environment."""
    return Action.CREATE in step.actions or Action.DEPLOY in step.actions


def only_creates(step: PlannedResource) -> bool:
    """Whether the step leaves what runs as it is. A stack is deployed by its creation."""
    return Action.DEPLOY not in step.actions and step.type is not ResourceType.INFRA


def select(full: Plan, catalog: Catalog, running: Mapping[str, str], request: Request) -> Selection:
    """Choose.

    :param full: the plan for everything at the commit.
    :param catalog: of the same commit.
    :param running: content keys of what the environment runs, by name; others do not run.
    :raises UsageError: a named resource is unknown or switched off, needs something that does not run there,
        or must be built and may not be.
    """
    keys = {step.name: step.key for step in full.steps}
    for name in request.resources:
        if not catalog[name].actions:
            raise UsageError(f"{name} is disabled at {full.commit[:12]}: nothing can be done with it")
    asked = [name for name in catalog.order() if name in (set(request.resources) or keys.keys())]
    differ = {
        name
        for name in asked
        if not deployable(catalog[name]) or request.force or running.get(name) != keys[name]
    }
    if not (request.resources or request.everything):
        differ = {name for name in differ if deployable(catalog[name])}
    _require_neighbours(catalog, differ, running, request)
    parts = {part for name in differ for part in catalog.package_closure(name)}
    steps = tuple(_steps(full, catalog, differ, parts, running, request))
    _require_builds(steps, request)
    same = tuple(name for name in asked if name not in differ and deployable(catalog[name]))
    here = {name for name in catalog.resources if deployable(catalog[name])}
    gone = () if request.resources else tuple(sorted(running.keys() - here))
    return Selection(replace(full, steps=steps), same, gone)


def _steps(
    full: Plan, catalog: Catalog, differ: Collection[str], parts: Collection[str],
    running: Mapping[str, str], request: Request,
) -> Iterator[PlannedResource]:  # fmt: skip
    for step in full.steps:
        if step.name in differ:
            allowed: Collection[Action] = request.actions
            because = _why(step, catalog, running, request)
        elif step.name in parts:
            allowed = set(request.actions) & {Action.BUILD, Action.TEST}
            because = "is part of what is deployed"
        else:
            continue
        actions = tuple(action for action in step.actions if action in allowed)
        if actions:
            yield replace(step, actions=actions, because=(because,))


def _why(step: PlannedResource, catalog: Catalog, running: Mapping[str, str], request: Request) -> str:
    there = running.get(step.name)
    if not deployable(catalog[step.name]):
        return "was asked for" if request.resources else "everything was asked for"
    if there is None:
        return "does not run there"
    return "runs, and is forced" if there == step.key else f"{there[:12]} runs there"


def _require_neighbours(
    catalog: Catalog, differ: Collection[str], running: Mapping[str, str], request: Request
) -> None:
    """What is named must find what it needs, in this run or there already."""
    if not (request.resources and request.changes):
        return
    # A stack that lacks something says so itself.
    every = [
        name
        for name, resource in catalog.resources.items()
        if deployable(resource) and resource.type is not ResourceType.INFRA
    ]
    waits = needs(catalog, every)
    for name in sorted(differ & waits.keys()):
        absent = sorted(waits[name] - running.keys() - set(differ))
        if absent:
            raise UsageError(
                f"{name} needs {', '.join(absent)}, which {'does' if len(absent) == 1 else 'do'} not run in "
                f"{request.environment}; name it too, or leave the resources out"
            )


def _require_builds(steps: Collection[PlannedResource], request: Request) -> None:
    if Action.BUILD in request.actions:
        return
    unbuilt = [step.name for step in steps if step.build_needed]
    if unbuilt and request.changes:
        raise UsageError(f"{', '.join(unbuilt)}: not built yet; leave `build` in the actions")
