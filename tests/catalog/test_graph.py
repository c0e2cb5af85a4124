"""The graph of resources: order, closure, cycles, JSON."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import ResourceType as rt
from daybreak.errors import CatalogError, CycleError, UsageError


def catalog_of(
    edges: dict[str, tuple[str, ...]], types: dict[str, rt] | None = None, commit: str = "c"
) -> Catalog:
    types = types or {}
    resources = {
        name: CatalogResource(name, types.get(name, rt.PACKAGE), packages=needs, paths=(name,), root=name)
        for name, needs in edges.items()
    }
    return Catalog(commit, resources)


DIAMOND = {"app": ("geo", "billing"), "geo": ("common",), "billing": ("common",), "common": ()}


def test_generations_come_in_type_order_then_by_name():
    types = {"z": rt.INFRA, "y": rt.DATABASE, "b": rt.PACKAGE, "a": rt.PACKAGE, "s": rt.SERVICE}
    catalog = catalog_of({"s": (), "a": (), "b": (), "y": (), "z": (), "app": ("a",)}, types)
    assert catalog.generations() == [["z", "y", "a", "b", "s"], ["app"]]


def test_a_diamond_is_ordered_and_walked_both_ways():
    catalog = catalog_of(DIAMOND)
    assert catalog.generations() == [["common"], ["billing", "geo"], ["app"]]
    assert catalog.dependents("common") == ("billing", "geo")
    assert catalog.closure(["geo"]) == {"geo", "common"}
    assert catalog.impact(["geo"]) == {"geo", "app"}
    assert catalog.package_closure("app") == ["common", "billing", "geo"]


def test_a_dependency_that_is_not_there_is_an_error():
    with pytest.raises(CatalogError, match="a depends on 'b', which is no resource"):
        catalog_of({"a": ("b",)})


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(UsageError, match="did you mean billing"):
        catalog_of(DIAMOND)["biling"]


def test_the_shortest_cycle_is_shown():
    edges = {"a": ("b",), "b": ("c",), "c": ("a", "d"), "d": ("c",), "free": (), "me": ("me",)}
    with pytest.raises(CycleError, match=r"circle: c -> d -> c; me -> me\."):
        catalog_of(edges).generations()
    with pytest.raises(CycleError, match=r"circle: me -> me\."):
        catalog_of({"me": ("me",)}).order()


def test_json_brings_the_same_catalog_back():
    catalog = catalog_of(DIAMOND)
    again = Catalog.from_json(json.loads(json.dumps(catalog.to_json())))
    assert again == catalog
    assert again.digest == catalog.digest


def test_a_snapshot_of_another_schema_is_refused():
    with pytest.raises(CatalogError, match="schema 99"):
        Catalog.from_json({**catalog_of(DIAMOND).to_json(), "schema": 99})


def test_the_digest_follows_content_and_neither_commit_nor_line():
    first = catalog_of(DIAMOND, commit="c1")
    moved = Catalog("c2", {n: replace(r, line=7) for n, r in first.resources.items()})
    assert moved.digest == first.digest
    assert catalog_of({**DIAMOND, "app": ("geo",)}).digest != first.digest


@given(st.lists(st.sets(st.integers(0, 14), max_size=4), min_size=1, max_size=15))
def test_every_order_puts_dependencies_first(needs):
    edges = {
        f"r{at}": tuple(f"r{other}" for other in sorted(wanted) if other < at)
        for at, wanted in enumerate(needs)
    }
    catalog = catalog_of(edges)
    order = catalog.order()
    assert sorted(order) == sorted(edges)
    for name in order:
        assert all(order.index(other) < order.index(name) for other in catalog.dependencies(name))
    shuffled = catalog_of(dict(reversed(edges.items())))
    assert shuffled.order() == order
