"""Circles: every one is found, and the one that is shown is a shortest."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from daybreak.catalog.cycles import components, shortest_cycle

EDGES = st.integers(1, 8).flatmap(
    lambda size: st.lists(
        st.sets(st.integers(0, size - 1), max_size=3), min_size=size, max_size=size
    ).map(lambda rows: {f"n{at}": {f"n{to}" for to in row} for at, row in enumerate(rows)})
)  # fmt: skip


def reached(edges: dict[str, set[str]], start: str) -> dict[str, int]:
    """Steps from ``start`` to everything behind its edges."""
    steps: dict[str, int] = {}
    front, distance = {start}, 0
    while front:
        distance += 1
        front = {to for name in front for to in edges[name]} - steps.keys()
        steps |= dict.fromkeys(front, distance)
    return steps


@given(edges=EDGES)
def test_components_are_those_that_reach_each_other_and_each_has_a_shortest_cycle(edges):
    steps = {name: reached(edges, name) for name in edges}
    in_circle = [name for name in edges if name in steps[name]]
    expected = {frozenset(b for b in in_circle if b in steps[a] and a in steps[b]) for a in in_circle}
    found = components(edges)
    assert {frozenset(members) for members in found} == expected
    assert found == sorted(found)
    for members in found:
        cycle = shortest_cycle(members, edges)
        assert cycle[0] == cycle[-1]
        assert all(to in edges[name] for name, to in pairwise(cycle))
        assert len(cycle) - 1 == min(steps[name][name] for name in members)


def test_a_long_chain_that_closes_is_no_deep_recursion():
    edges = {str(at): [str((at + 1) % 5000)] for at in range(5000)}
    (members,) = components(edges)
    assert len(members) == 5000
