"""Circles in a graph: the strongly connected components, and one shortest cycle through each."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping


def components(edges: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Every set of nodes that reach each other, alone only with an edge to itself; sorted, by smallest name.

    Tarjan's algorithm with a stack of its own: a chain of many thousands is no deep recursion.
    """
    found: list[list[str]] = []
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: list[str] = []
    on_stack: set[str] = set()
    for start in sorted(edges):
        if start in number:
            continue
        number[start] = low[start] = len(number)
        open_.append(start)
        on_stack.add(start)
        work = [(start, iter(edges[start]))]
        while work:
            node, following = work[-1]
            for other in following:
                if other not in number:
                    number[other] = low[other] = len(number)
                    open_.append(other)
                    on_stack.add(other)
                    work.append((other, iter(edges.get(other, ()))))
                    break
                if other in on_stack:
                    low[node] = min(low[node], number[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    members: list[str] = []
                    while not members or members[-1] != node:
                        members.append(open_.pop())
                        on_stack.discard(members[-1])
                    if len(members) > 1 or node in edges[node]:
                        found.append(sorted(members))
    return sorted(found)


def shortest_cycle(members: Collection[str], edges: Mapping[str, Collection[str]]) -> list[str]:
    """One shortest cycle within ``members``, first name repeated at the end; ties go to the smallest name."""
    inside = frozenset(members)
    best: list[str] = []
    for start in sorted(inside):
        cycle = _through(start, inside, edges, len(best) - 1 if best else len(inside) + 1)
        if cycle and (not best or len(cycle) < len(best)):
            best = cycle
            if len(best) == 2:
                break
    return best


def _through(
    start: str, inside: frozenset[str], edges: Mapping[str, Collection[str]], limit: int
) -> list[str]:
    """The shortest way from ``start`` back to it with fewer than ``limit`` names; empty without one."""
    came_from: dict[str, str] = {}
    queue = deque([(start, 1)])
    while queue:
        name, names = queue.popleft()
        if names >= limit:
            return []
        for following in sorted(edges[name]):
            if following == start:
                path = [start]
                while name != start:
                    path.append(name)
                    name = came_from[name]
                return [start, *reversed(path[1:]), start]
            if following in inside and following not in came_from:
                came_from[following] = name
                queue.append((following, names + 1))
    return []
