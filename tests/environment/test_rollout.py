"""The order in which resources reach an environment: as early as what they need allows, and no earlier."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.environment.rollout import in_order, needs
from daybreak.errors import DeployFailed, LostOp


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, frozenset[str]]:
    names = [f"r{n}" for n in range(draw(st.integers(1, 9)))]
    return {
        name: frozenset(draw(st.sets(st.sampled_from(names[:at])))) if at else frozenset()
        for at, name in enumerate(names)
    }


def reaches(waits: Mapping[str, frozenset[str]], start: str, goal: str) -> bool:
    return any(each == goal or reaches(waits, each, goal) for each in waits[start])


@given(graphs(), st.data())
def test_each_is_done_once_after_what_it_waits_for_and_a_failure_costs_exactly_its_users(
    waits: dict[str, frozenset[str]], data: st.DataObject
) -> None:
    broken = data.draw(st.sets(st.sampled_from(sorted(waits))))
    began: list[str] = []
    ended: set[str] = set()

    def work(name: str) -> None:
        assert waits[name] <= ended
        began.append(name)
        if name in broken:
            raise DeployFailed(f"{name} is broken")
        ended.add(name)

    lost = in_order(waits, work, data.draw(st.integers(1, 4)))

    users = {name for name in waits if any(reaches(waits, name, each) for each in broken)}
    assert set(lost) == broken | users
    assert sorted(began) == sorted(set(waits) - users)
    assert all(lost[name] == f"{name} is broken" for name in broken - users)
    assert all(lost[name].startswith("needs r") for name in users)


def test_nobody_waits_for_a_slow_neighbour_of_what_it_needs() -> None:
    after_quick = threading.Event()

    def work(name: str) -> None:
        if name == "after_quick":
            after_quick.set()
        if name == "slow":
            assert after_quick.wait(20), "it waited for the whole generation"

    assert in_order({"slow": (), "quick": (), "after_quick": ("quick",)}, work, 2) == {}


def test_the_longest_chain_begins_first() -> None:
    began: list[str] = []
    in_order({"a": (), "b": (), "c": ("b",), "d": ("c",)}, began.append, 1)
    assert began == ["b", "c", "a", "d"]


def test_after_a_takeover_nothing_more_is_begun() -> None:
    began: list[str] = []

    def work(name: str) -> None:
        began.append(name)
        raise LostOp("somebody took over")

    with pytest.raises(LostOp):
        in_order({"a": (), "b": (), "c": ()}, work, 1)
    assert began == ["a"]


def test_what_a_package_needs_is_waited_for_by_those_who_use_it() -> None:
    def resource(name: str, *depends_on: str) -> CatalogResource:
        return CatalogResource(name, ResourceType.SERVICE, depends_on=depends_on)

    catalog = Catalog(
        "c",
        {each.name: each for each in (resource("db"), resource("client", "db"), resource("api", "client"))},
    )
    assert needs(catalog, ["api", "db"]) == {"db": frozenset(), "api": {"db"}}
    assert needs(catalog, ["api"]) == {"api": frozenset()}
