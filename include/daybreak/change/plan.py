"""The plan: which actions a commit needs, in order. The same question always gives the same bytes.

``plan = affected ∩ enabled actions + the upstream builds whose artifact does not exist yet``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daybreak.catalog.graph import Catalog, sort_actions
from daybreak.catalog.loader import load
from daybreak.catalog.resource import Action, ResourceType
from daybreak.change.affected import Affected, affected, everything
from daybreak.change.key import DEFAULT_PYTHON, content_keys
from daybreak.change.removed import Removed, error_text
from daybreak.errors import CatalogError, UsageError
from daybreak.git.repository import Change, Repository

log = logging.getLogger(__name__)

#: Version of the JSON form of a plan.
SCHEMA = 2


@dataclass(frozen=True)
class PlannedResource:
    """What a plan does with one resource.

    :param actions: in the order in which they are taken.
    :param dependencies: names of all that it depends on directly, planned or not.
    :param build_needed: its artifact does not exist yet.
    :param because: reasons for people: changed paths, ``depends on …``.
    """

    name: str
    type: ResourceType
    key: str
    actions: tuple[Action, ...]
    dependencies: tuple[str, ...]
    build_needed: bool
    because: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The steps for one commit, dependencies first.

    :param base: the commit that it is compared with, ``None`` when everything was selected.
    :param removed: resources that only the base has; what they deployed is to be destroyed.
    :param fallback: why everything is in it, when that is so for want of a better answer.
    :param unowned: changed paths that belong to no resource.
    """

    commit: str
    base: str | None
    catalog_digest: str
    steps: tuple[PlannedResource, ...]
    removed: tuple[Removed, ...] = ()
    unowned: tuple[str, ...] = ()
    fallback: str | None = None

    def step(self, name: str) -> PlannedResource | None:
        """What is planned for ``name``; ``None`` when it is not in the plan."""
        return next((step for step in self.steps if step.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """The JSON form, in a stable order."""
        return {
            "schema": SCHEMA,
            "commit": self.commit,
            "base": self.base,
            "catalog_digest": self.catalog_digest,
            "steps": [
                {
                    "name": step.name,
                    "type": step.type.value,
                    "key": step.key,
                    "actions": [action.value for action in step.actions],
                    "dependencies": list(step.dependencies),
                    "build_needed": step.build_needed,
                    "because": list(step.because),
                }
                for step in self.steps
            ],
            "removed": [each.to_json() for each in self.removed],
            "unowned": list(self.unowned),
            "fallback": self.fallback,
        }

    def dumps(self) -> bytes:
        """The JSON form as bytes, the same for the same plan."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """The inverse of :meth:`to_json`; raises :class:`UsageError` for another schema."""
        if data.get("schema") != SCHEMA:
            raise UsageError(f"a stored plan has schema {data.get('schema')!r}, not {SCHEMA}; make it again")
        steps = tuple(
            PlannedResource(
                name=step["name"],
                type=ResourceType(step["type"]),
                key=step["key"],
                actions=tuple(Action(action) for action in step["actions"]),
                dependencies=tuple(step["dependencies"]),
                build_needed=step["build_needed"],
                because=tuple(step["because"]),
            )
            for step in data["steps"]
        )
        return cls(
            data["commit"], data["base"], data["catalog_digest"], steps,
            tuple(map(Removed.from_json, data["removed"])), tuple(data["unowned"]), data["fallback"],
        )  # fmt: skip


def plan(
    repo: Repository,
    base: str | None,
    head: str,
    exists: Callable[[str, str], bool],
    catalog_path: str = "resources.py",
    *,
    python: str = DEFAULT_PYTHON,
    more: Sequence[Change] = (),
    on_unknown_all: bool = False,
) -> Plan:
    """What ``head`` needs compared with ``base``.

    :param base: a revision; ``None`` selects everything, as the night does.
    :param exists: whether the artifact of (resource, content key) is there already.
    :param python: the Python version that artifacts are built for.
    :param more: changes that are in no commit.
    :param on_unknown_all: plan everything, and say so, when there is no base to compare with.
    :raises CatalogError: when head's catalog is wrong, or something still names what was removed.
    :raises CycleError: when there is no order to go in.
    :raises NoBaseError: without a base to compare with.
    """
    catalog = load(repo, head, catalog_path)
    if base is None:
        selected = everything(catalog, "everything is selected", fallback=False)
    else:
        selected = affected(repo, base, catalog, catalog_path, more=more, on_unknown_all=on_unknown_all)
    return plan_of(selected, content_keys(repo, catalog, python=python), exists)


def plan_of(selected: Affected, keys: Mapping[str, str], exists: Callable[[str, str], bool]) -> Plan:
    """The steps for what is selected; see :func:`plan`.

    :param keys: the content keys of head.
    """
    if named := error_text(selected.removed):
        raise CatalogError(named)
    for warning in selected.warnings:
        log.warning("%s", warning)
    catalog = selected.head
    return Plan(
        commit=catalog.commit,
        base=selected.base,
        catalog_digest=catalog.digest,
        steps=_steps(catalog, selected, keys, exists),
        removed=selected.removed,
        unowned=selected.unowned,
        fallback=selected.fallback,
    )


def _steps(
    catalog: Catalog, selected: Affected, keys: Mapping[str, str], exists: Callable[[str, str], bool]
) -> tuple[PlannedResource, ...]:
    wanted = {name: selected.actions(name) for name in selected.because}
    needed = catalog.closure(name for name, actions in wanted.items() if actions)
    steps = []
    for name in catalog.order():
        resource = catalog[name]
        builds = Action.BUILD in resource.actions
        build_needed = builds and name in needed and not exists(name, keys[name])
        actions = set(wanted.get(name, ()))
        because = selected.because.get(name, ())
        if build_needed and Action.BUILD not in actions:
            actions.add(Action.BUILD)
            because = (*because, "its artifact is needed and does not exist yet")
        if actions:
            ordered = tuple(sort_actions(actions))
            steps.append(
                PlannedResource(
                    name, resource.type, keys[name], ordered, resource.dependencies, build_needed, because
                )
            )
    return tuple(steps)
