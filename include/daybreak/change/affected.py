"""What a change touches: from two commits to resources, each with its reasons.

A miss is the worst bug here: what is not sure is selected. Edges of both commits carry a change on, so that
what still needs a deleted package is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.loader import load
from daybreak.catalog.owners import Owners
from daybreak.errors import CatalogError, NoBaseError, UsageError
from daybreak.git.repository import Repository

_REASONS_SHOWN = 5


@dataclass(frozen=True)
class Affected:
    """The answer for one pair of commits.

    :param because: reasons by resource name, for every affected resource of head.
    :param tests_only: those whose tests changed and nothing else.
    :param removed: resources that only the base has.
    :param unowned: changed paths that belong to no resource.
    """

    because: Mapping[str, tuple[str, ...]]
    tests_only: frozenset[str]
    removed: tuple[str, ...]
    unowned: tuple[str, ...]


def affected(repo: Repository, base: str, head: Catalog, catalog_path: str = "resources.py") -> Affected:
    """What changed between the merge base(s) of ``base`` and the commit of ``head``.

    :raises NoBaseError: when ``base`` is not there, or shares no history with head here.
    """
    bases = _merge_bases(repo, base, head.commit)
    reasons: dict[str, list[str]] = {}
    test_reasons: dict[str, list[str]] = {}
    unowned: set[str] = set()
    old: list[Catalog] = []
    for commit in bases:
        try:
            before = load(repo, commit, catalog_path)
        except CatalogError as error:
            why = f"the catalog of the base cannot be read: {error}"
            everything = dict.fromkeys(head.order(), (why,))
            return Affected(everything, frozenset(), (), ())
        old.append(before)
        _compare(before, head, reasons)
        _files(repo, commit, before, head, catalog_path, reasons, test_reasons, unowned)
    removed = tuple(sorted({name for before in old for name in before.resources} - head.resources.keys()))
    _propagate(reasons, [head, *old])
    tests_only = frozenset(test_reasons) - frozenset(reasons)
    because = {
        name: _shown(reasons.get(name, []) + test_reasons.get(name, []))
        for name in head.resources
        if name in reasons or name in test_reasons
    }
    return Affected(because, tests_only & head.resources.keys(), removed, tuple(sorted(unowned)))


def _merge_bases(repo: Repository, base: str, head: str) -> list[str]:
    try:
        commit = repo.rev_parse(base)
    except UsageError as error:
        raise NoBaseError(
            f"the base {base!r} is not in this clone ({error}). Run: git fetch origin {base}"
        ) from None
    bases = repo.merge_bases(commit, head)
    if not bases:
        raise NoBaseError(
            f"{base} and {head[:12]} share no history in this clone. Run: git fetch --unshallow"
        )
    return bases


def _compare(before: Catalog, head: Catalog, reasons: dict[str, list[str]]) -> None:
    """Seed what the two catalogs declare differently; removed names too, for the sake of their dependents."""
    for name in sorted(before.resources.keys() | head.resources.keys()):
        old, new = before.resources.get(name), head.resources.get(name)
        if old is None:
            reasons.setdefault(name, []).append("new in the catalog")
        elif new is None:
            reasons.setdefault(name, []).append("removed from the catalog")
        elif _said(old) != _said(new):
            reasons.setdefault(name, []).append("declared differently in the catalog")


def _said(resource: CatalogResource) -> dict[str, object]:
    said = resource.to_json()
    del said["line"], said["evidence"]
    return said


def _files(
    repo: Repository,
    base: str,
    before: Catalog,
    head: Catalog,
    catalog_path: str,
    reasons: dict[str, list[str]],
    test_reasons: dict[str, list[str]],
    unowned: set[str],
) -> None:
    sides = [Owners(catalog.resources.values()) for catalog in (before, head)]
    for change in repo.diff_raw(base, head.commit):
        owned = False
        for owners in sides:
            for name in sorted(owners.of(change.path)):
                owned = True
                kind = test_reasons if owners.is_test(name, change.path) else reasons
                said = kind.setdefault(name, [])
                if change.path not in said:
                    said.append(change.path)
        # The catalog itself is compared resource by resource.
        if not owned and change.path != catalog_path:
            unowned.add(change.path)


def _propagate(reasons: dict[str, list[str]], catalogs: Iterable[Catalog]) -> None:
    """Carry every seed on to its dependents over the edges of all catalogs."""
    dependents: dict[str, set[str]] = {}
    for catalog in catalogs:
        for name, resource in catalog.resources.items():
            for dependency in resource.dependencies:
                dependents.setdefault(dependency, set()).add(name)
    queue = sorted(reasons)
    for name in queue:
        for dependent in sorted(dependents.get(name, ())):
            why = f"depends on {name}"
            if dependent not in reasons:
                reasons[dependent] = [why]
                queue.append(dependent)
            elif why not in reasons[dependent]:
                reasons[dependent].append(why)


def _shown(reasons: list[str]) -> tuple[str, ...]:
    if len(reasons) <= _REASONS_SHOWN:
        return tuple(reasons)
    return (*reasons[:_REASONS_SHOWN], f"and {len(reasons) - _REASONS_SHOWN} more")
