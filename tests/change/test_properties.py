"""What holds for every pair of commits: on random repositories, catalogs and edits, with real git."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.catalog.graph import Catalog
from daybreak.catalog.owners import Owners
from daybreak.change.affected import Affected
from daybreak.change.key import content_keys
from daybreak.change.plan import plan_of
from daybreak.change.reasons import Rule
from tests.change.world import PAIRS_OF_WORLDS, World, compare, repository


def edges(*catalogs: Catalog) -> dict[str, set[str]]:
    """Who needs whom, in any of them: dependents by name."""
    found: dict[str, set[str]] = {}
    for catalog in catalogs:
        for name, resource in catalog.resources.items():
            for dependency in resource.dependencies:
                found.setdefault(dependency, set()).add(name)
    return found


def behind(names: set[str], dependents: dict[str, set[str]]) -> set[str]:
    reached, front = set(names), set(names)
    while front:
        front = {other for name in front for other in dependents.get(name, ())} - reached
        reached |= front
    return reached


def has_everything_whose_key_differs(found: Affected, old: dict[str, str], new: dict[str, str]) -> None:
    assert found.because.keys() >= {name for name in new if old.get(name) != new[name]}


def has_another_key_whoever_has_other_files(
    found: Affected, old: dict[str, str], new: dict[str, str]
) -> None:
    """The other way round: were a file, a lock or a global path no part of a key, an old build would do.

    Where both declare the same: a pattern may go in the commit in which its first file comes.
    """
    inputs = {Rule.FILE, Rule.LOCK, Rule.GLOBAL}
    for name, reasons in found.reasons.items():
        if any(reason.rule in inputs for reason in reasons):
            assert old[name] != new[name], (name, reasons)


def has_what_needs_it_in_either_graph_and_in_the_union(
    found: Affected, before: Catalog, head: Catalog
) -> None:
    own = {
        name
        for name, reasons in found.reasons.items()
        if any(reason.rule not in (Rule.EDGE, Rule.TEST) for reason in reasons)
    }
    union = edges(before, head)
    for graph in (edges(before), edges(head), union):
        assert found.reasons.keys() >= behind(own, graph)
    reached = behind(own, union)
    assert found.reasons.keys() == reached | found.tests_only
    # Each edge of either commit says what it carried, and who changed in more than tests is no test alone.
    assert {
        (name, reason.dependency)
        for name, reasons in found.reasons.items()
        for reason in reasons
        if reason.rule is Rule.EDGE
    } == {(name, dependency) for dependency in reached for name in union.get(dependency, ())}
    assert found.tests_only == (found.reasons.keys() - reached) & head.resources.keys()
    assert {gone.name for gone in found.removed} == before.resources.keys() - head.resources.keys()


def is_a_topological_order_complete_and_the_same_bytes_twice(
    found: Affected, again: Affected, keys: dict[str, str], built: int
) -> None:
    def exists(_name: str, key: str) -> bool:
        return bool(built >> (int(key[0], 16) % 6) & 1)

    head = found.head
    plan = plan_of(found, keys, exists)
    assert plan.dumps() == plan_of(again, keys, exists).dumps()
    place = {step.name: at for at, step in enumerate(plan.steps)}
    for step in plan.steps:
        assert step.actions
        for other in head[step.name].dependencies:
            assert place.get(other, -1) < place[step.name]
            # What is needed is there already, or is built before.
            assert other in place or not head[other].enabled or exists(other, keys[other])
    wanted = {name for name in found.because if head[name].actions and name not in found.tests_only}
    assert place.keys() >= wanted


def selects_nobody_who_cannot_reach_whoever_has_the_files(
    found: Affected, worlds: tuple[World, World], before: Catalog, head: Catalog
) -> None:
    touched: set[str] = set()
    for path in worlds[0].tree.keys() | worlds[1].tree.keys():
        if worlds[0].tree.get(path) == worlds[1].tree.get(path):
            continue
        for catalog in (before, head):
            touched |= Owners(catalog.resources.values()).of(path, folder=path == "vendor/lib")
            for name, resource in catalog.resources.items():
                rules = catalog.rules.global_paths
                if any(use.path == path for use in resource.locks) or any(
                    each.matches(path) and each.concerns(resource.type) for each in rules
                ):
                    touched.add(name)
    assert set(found.because) <= behind(touched, edges(before, head))


def keeps_the_promises(worlds: tuple[World, World], built: int) -> None:
    first, second = worlds
    with repository([first.tree, second.tree, first.tree]) as (repo, (base, edit, revert)):
        found, (before, head) = compare(repo, [base, edit], worlds)
        old, new = content_keys(repo, before), content_keys(repo, head)
        has_everything_whose_key_differs(found, old, new)
        has_what_needs_it_in_either_graph_and_in_the_union(found, before, head)
        again, _ = compare(repo, [base, edit], worlds)
        is_a_topological_order_complete_and_the_same_bytes_twice(found, again, new, built)
        if first.resources is second.resources and first.rules is second.rules:
            selects_nobody_who_cannot_reach_whoever_has_the_files(found, worlds, before, head)
            has_another_key_whoever_has_other_files(found, old, new)
        # A revert gives the keys back, and together they change nothing.
        assert content_keys(repo, first.catalog(revert)) == old
        nothing, _ = compare(repo, [base, revert], (first, first))
        assert (nothing.reasons, nothing.unowned) == ({}, ())


@settings(max_examples=40, deadline=None)
@given(worlds=PAIRS_OF_WORLDS, built=st.integers(0, 63))
def test_every_pair_of_commits_keeps_the_promises(worlds, built):
    keeps_the_promises(worlds, built)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@settings(max_examples=2_000, deadline=None)
@given(worlds=PAIRS_OF_WORLDS, built=st.integers(0, 63))
def test_very_many_pairs_of_commits_keep_the_promises(worlds, built):
    keeps_the_promises(worlds, built)
