"""What a change touches: from two commits to resources, each with its reasons.

A miss is the worst bug here: what is not sure is selected. Edges of both commits carry a change on, so that
what still needs a deleted package is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING

from daybreak.catalog.graph import Catalog
from daybreak.catalog.loader import load
from daybreak.catalog.resource import Action
from daybreak.change.changes import ChangeSet, change_set
from daybreak.change.reasons import Reason, Rule, shown
from daybreak.change.seeds import Seeds
from daybreak.errors import CatalogError, NoBaseError
from daybreak.git.repository import Change, Repository

if TYPE_CHECKING:
    from daybreak.change.removed import Removed


@dataclass(frozen=True)
class Affected:
    """The answer for one pair of commits.

    :param base: the commit that head was compared with; ``None`` when that was not possible.
    :param reasons: by name, for every affected resource of head and for removed ones; what was carried over
        an edge comes with a reason for each dependency that brought it.
    :param tests_only: those whose tests changed and nothing else.
    :param parents: by name, the dependency over which a change came on a shortest way.
    :param removed: resources that only the base has.
    :param unowned: changed paths that belong to no resource.
    :param fallback: why everything is selected, if it is.
    :param warnings: what could not be read, and what was assumed.
    """

    head: Catalog
    base: str | None
    reasons: Mapping[str, tuple[Reason, ...]]
    tests_only: frozenset[str] = frozenset()
    parents: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[Removed, ...] = ()
    unowned: tuple[str, ...] = ()
    fallback: str | None = None
    warnings: tuple[str, ...] = ()

    def actions(self, name: str) -> frozenset[Action]:
        """What the change asks for: the actions of the affected resource ``name``, or its tests alone."""
        actions = self.head[name].actions
        return actions & {Action.TEST} if name in self.tests_only else actions

    @cached_property
    def because(self) -> dict[str, tuple[str, ...]]:
        """For people: the reasons of every affected resource of head, by name."""
        return {
            name: shown(reasons)
            for name, reasons in sorted(self.reasons.items())
            if name in self.head.resources
        }


def everything(head: Catalog, why: str, *, fallback: bool, base: str | None = None) -> Affected:
    """All resources of ``head``.

    :param fallback: that is so for want of a better answer.
    """
    reason = Reason(Rule.FALLBACK, why)
    return Affected(head, base, dict.fromkeys(head.resources, (reason,)), fallback=why if fallback else None)


def affected(
    repo: Repository,
    base: str,
    head: Catalog,
    catalog_path: str = "resources.py",
    *,
    more: Sequence[Change] = (),
    on_unknown_all: bool = False,
) -> Affected:
    """What changed between the merge base(s) of ``base`` and the commit of ``head``.

    :param base: any revision.
    :param more: changes that no commit has.
    :param on_unknown_all: select everything, and say so, when there is no base to compare with.
    :raises NoBaseError: when ``base`` is not there, or shares no history with head here.
    """
    try:
        changes = change_set(repo, base, head.commit, more)
    except NoBaseError as error:
        if not on_unknown_all:
            raise
        return everything(head, f"there is no base to compare with: {error}", fallback=True)
    try:
        before = [load(repo, commit, catalog_path) for commit in changes.sides]
    except CatalogError as error:
        why = f"the catalog of the base cannot be read: {error}"
        return everything(head, why, fallback=True, base=changes.base)
    return between(repo, changes, before, head, catalog_path)


def between(
    repo: Repository,
    changes: ChangeSet,
    before: Sequence[Catalog],
    head: Catalog,
    catalog_path: str = "resources.py",
) -> Affected:
    """The same for catalogs that are there already: ``before`` has one for each merge base of ``changes``."""
    seeds = Seeds(repo, head, catalog_path)
    gone: dict[str, Removed] = {}
    for catalog in before:
        seeds.add(catalog, changes.sides[catalog.commit])
        if catalog.resources.keys() - head.resources.keys():
            from daybreak.change.removed import removed

            gone.update((each.name, each) for each in removed(repo, catalog, head, catalog_path))
    reasons, parents = _propagate(seeds.reasons, [head, *before])
    for name, tests in seeds.tests.items():
        reasons[name] = [*reasons.get(name, ()), *tests.values()]
    return Affected(
        head,
        changes.base,
        {name: tuple(each) for name, each in reasons.items()},
        frozenset(seeds.tests) & head.resources.keys() - parents.keys() - seeds.reasons.keys(),
        parents,
        tuple(gone[name] for name in sorted(gone)),
        tuple(sorted(seeds.unowned)),
        warnings=tuple(seeds.warnings),
    )


def _propagate(
    seeds: Mapping[str, Mapping[str, Reason]], catalogs: Iterable[Catalog]
) -> tuple[dict[str, list[Reason]], dict[str, str]]:
    """Carry every seed on to its dependents over the edges of all catalogs, by shortest ways."""
    dependents: dict[str, dict[str, Catalog]] = {}
    different: dict[int, Catalog] = {}
    for catalog in catalogs:
        # Catalogs with the very same resources have the same edges.
        different.setdefault(id(catalog.resources), catalog)
    for catalog in different.values():
        for name, resource in catalog.resources.items():
            for dependency in resource.dependencies:
                # Head comes first: where it says so is what a reader finds.
                dependents.setdefault(dependency, {}).setdefault(name, catalog)
    reasons = {name: list(each.values()) for name, each in seeds.items()}
    parents: dict[str, str] = {}
    queue = sorted(seeds)
    for name in queue:
        for dependent, catalog in sorted(dependents.get(name, {}).items(), key=itemgetter(0)):
            evidence = catalog.evidence(dependent, name)
            why = Reason(Rule.EDGE, f"depends on {name}", dependency=name, evidence=evidence)
            if dependent not in reasons:
                reasons[dependent] = []
                parents[dependent] = name
                queue.append(dependent)
            reasons[dependent].append(why)
    return reasons, parents
