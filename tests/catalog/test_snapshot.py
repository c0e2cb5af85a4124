"""Published catalogs and the ``graph.json`` that DAG files read."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import Action
from daybreak.catalog.resource import ResourceType as rt
from daybreak.catalog.snapshot import current, graph, publish, refresh, stored
from daybreak.store import NotInStore, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "store").as_uri())


def catalog(commit: str = "c1") -> Catalog:
    ships = frozenset({Action.DEPLOY, Action.BUILD})
    common = CatalogResource("common", rt.PACKAGE, actions=frozenset({Action.TEST}), has_tests=True)
    trips = CatalogResource("trips", rt.SERVICE, ("common",), actions=ships)
    return Catalog(commit, {"trips": trips, "common": common})


def test_the_graph_is_in_topological_order_with_edges_and_actions(store, tmp_path):
    publish(catalog(), store, tmp_path / "home")
    assert json.loads((tmp_path / "home/graph.json").read_text()) == {
        "schema": 1, "commit": "c1", "digest": catalog().digest,
        "resources": [
            {"name": "common", "type": "package", "dependencies": [], "actions": ["test"], "has_tests": True},
            {"name": "trips", "type": "service", "dependencies": ["common"], "actions": ["build", "deploy"],
             "has_tests": False},
        ],
    }  # fmt: skip


def test_publishing_the_same_again_touches_nothing(store, tmp_path):
    publish(catalog(), store, tmp_path / "home")

    def times() -> dict[str, tuple[int, bytes]]:
        files = (path for path in tmp_path.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = times()
    publish(catalog(), store, tmp_path / "home")
    assert times() == before


def test_each_commit_is_kept_and_the_last_is_current(store, tmp_path):
    publish(catalog("c1"), store, tmp_path / "home")
    publish(catalog("c2"), store, tmp_path / "home")
    assert stored(store, "c1") == catalog("c1")
    assert current(store) == catalog("c2")
    with pytest.raises(NotInStore):
        stored(store, "c3")


def test_another_machine_refreshes_its_graph_from_the_store(store, tmp_path):
    publish(catalog(), store, tmp_path / "one")
    refresh(store, tmp_path / "two")
    assert (tmp_path / "two/graph.json").read_bytes() == (tmp_path / "one/graph.json").read_bytes()


def test_what_an_unfinished_run_pinned_stays_in_the_graph(store, tmp_path):
    newer = Catalog("c2", {"common": catalog()["common"]})
    publish(newer, store, tmp_path / "home", [catalog()])
    drawn = json.loads((tmp_path / "home/graph.json").read_text())
    assert [each["name"] for each in drawn["resources"]] == ["common", "trips"]
    assert current(store) == newer


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    names = draw(st.permutations([f"r{n}" for n in range(6)]))[: draw(st.integers(1, 6))]
    resources = {
        name: CatalogResource(
            name, rt.PACKAGE, tuple(draw(st.sets(st.sampled_from(names[:at])))) if at else ()
        )
        for at, name in enumerate(names)
    }
    return Catalog(draw(st.sampled_from("abc")), resources)


@given(st.lists(catalogs(), min_size=1, max_size=4))
def test_the_graph_of_many_catalogs_names_dependencies_first(found):
    first, *others = found
    seen: set[str] = set()
    for each in graph(first, others)["resources"]:
        assert seen.issuperset(each["dependencies"])
        seen.add(each["name"])
    assert seen == {name for each in found for name in each.resources}
    newest = {each["name"]: each for each in graph(first)["resources"]}
    drawn = {each["name"]: each for each in graph(first, others)["resources"]}
    assert {name: drawn[name] for name in newest} == newest
