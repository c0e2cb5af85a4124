"""``resources.py`` on top of what was discovered: what it declares wins, what it does not mention stays.

A declared resource takes over the components in its folders, with their edges: a dependency that somebody
forgot to declare is there all the same, and ``ignore_dependency`` takes away one that is not real.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daybreak.catalog.discovery import said
from daybreak.catalog.discovery.assemble import (
    break_circles,
    identifier,
    missing,
    name_all,
    resource,
    short_name,
    split,
)
from daybreak.catalog.discovery.component import Component, Edge, Found
from daybreak.catalog.discovery.facts import STRONG
from daybreak.catalog.discovery.tree import Tree, within
from daybreak.catalog.graph import CatalogResource, Uncertain
from daybreak.catalog.patterns import matching
from daybreak.catalog.resource import DEFAULT_ACTIONS, Action, ResourceType
from daybreak.errors import CatalogError

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Combined:
    """:param circular: something was changed because it closed a circle."""

    resources: dict[str, CatalogResource]
    unsure: tuple[Uncertain, ...]
    circular: bool


def combined(
    found: Found,
    items: Sequence[Item],
    tree: Tree,
    catalog_path: str,
    known: Mapping[str, CatalogResource] | None = None,
) -> Combined:
    """All resources by name, and what is unsure about them.

    :param items: what ``resources.py`` declares.
    :param known: by root, resources that nobody declares and that are as they were, if there is no circle.
    :raises CatalogError: naming ``file:line`` and the field.
    """
    nodes: dict[str, Component] = {}
    for item in items:
        where = _where(item, catalog_path)
        if item["name"] in nodes:
            first = nodes[item["name"]].declared or {}
            raise CatalogError(
                f"{where}: resource {item['name']!r} is declared twice, first in line {first['line']}"
            )
        nodes[item["name"]] = _declared(item, tree, where)
    takers = _takers(found, nodes)
    rest = [each for root, each in found.components.items() if root not in takers]
    name_all(rest, nodes)
    names = takers | {each.root: [each.name] for each in rest}
    for root, takers_of in takers.items():
        for name in takers_of:
            _take_over(nodes[name], found.components[root], names)
    for each in rest:
        each.edges = _by_name(each, names)
        nodes[each.name] = each
    for node in nodes.values():
        if node.declared is not None:
            _edges(node, catalog_path)
    said.edges(nodes)
    circular = break_circles(nodes)
    kept = known if known and not circular else {}
    resources = {
        name: (kept.get(node.root) or resource(node, nodes, tree))
        if node.declared is None
        else _resource(node, nodes, tree)
        for name, node in nodes.items()
    }
    found.notes += _idle(rest)
    unsure = [
        Uncertain(name, doubt.where, doubt.what)
        for name, node in sorted(nodes.items())
        for doubt in sorted(node.unsure, key=lambda each: (each.where, each.what))
        # A context that is declared is large, and nothing about it is unsure.
        if not (doubt.kind == "context" and "docker_context" in node.said)
    ]
    return Combined(resources, tuple(unsure), circular)


def _idle(components: Sequence[Component]) -> list[tuple[str, str]]:
    """What a person should know about components that only carry changes on."""
    idle = [each for each in components if not each.said.get("actions") and missing(each)]
    packages = [each for each in idle if each.type is ResourceType.PACKAGE]
    notes = [
        (each.root, f"{each.name} is not built or deployed: it lacks {missing(each)}")
        for each in idle
        if each.type is not ResourceType.PACKAGE
    ]
    if packages:
        # In a Node monorepo that is every package: one line says it.
        what = f"{len(packages)} packages are no Python projects: they carry changes on, and are not built"
        notes.append((packages[0].root, what))
    return notes


def _where(item: Item, catalog_path: str) -> str:
    return f"{catalog_path}:{item['line']}" if item["line"] else catalog_path


def _declared(item: Item, tree: Tree, where: str) -> Component:
    """A component of what is declared, checked against the tree."""
    name = item["name"]
    if not item["paths"]:
        raise CatalogError(f"{where}: {name}: dependent_paths: name at least one path")
    for position, each in enumerate(item["paths"]):
        if not each.startswith("!") and not _matches(each, tree):
            raise CatalogError(
                f"{where}: {name}: dependent_paths[{position}]: nothing at this commit matches {each!r}"
            )
    if item["seeds"] is not None and item["seeds"] not in tree:
        raise CatalogError(f"{where}: {name}: seeds: {item['seeds']!r} is not a file at this commit")
    root = _root(item["paths"], tree)
    if item["actions"].get(Action.TEST.value) and not _has_tests(item, root, tree):
        raise CatalogError(
            f"{where}: {name}: actions: test is on, but {item['test_paths']} is no folder of {root}"
        )
    return Component(root, ResourceType(item["type"]), name, declared=item)


def _matches(each: str, tree: Tree) -> bool:
    plain = each.strip("/")
    if plain in tree or tree.is_folder(plain or "."):
        return True
    return bool(matching([each], tree.paths))


def _root(patterns: Sequence[str], tree: Tree) -> str:
    """The first pattern that is a folder; without one, the folder of the first that is a file."""
    plain = [each.strip("/") or "." for each in patterns]
    folders = [path for path in plain if tree.is_folder(path)]
    files = [path for path in plain if path in tree]
    if folders:
        return folders[0]
    return files[0].rpartition("/")[0] or "." if files else "."


def _has_tests(item: Item, root: str, tree: Tree) -> bool:
    prefix = "" if root == "." else f"{root}/"
    return any(tree.is_folder(prefix + path.strip("/")) for path in item["test_paths"])


def _takers(found: Found, nodes: Mapping[str, Component]) -> dict[str, list[str]]:
    """By the root of a discovered component, the declared resources that it is part of."""
    folders: dict[str, list[str]] = {}
    for name, node in nodes.items():
        for each in node.patterns():
            folders.setdefault(each.strip("/") or ".", []).append(name)
    takers: dict[str, list[str]] = {}
    if not nodes:
        return takers
    for root, component in found.components.items():
        folder = root
        while folder not in folders and folder != ".":
            folder = folder.rpartition("/")[0] or "."
        if folder in folders and (folder != "." or root == "."):
            takers[root] = list(dict.fromkeys(folders[folder]))
            continue
        # `packages/common/src` is declared, and the manifest lies above it.
        wanted = {short_name(component), identifier(root.rpartition("/")[2])}
        inside = [name for name in sorted(wanted & nodes.keys()) if within(nodes[name].root, root)]
        if inside and root != ".":
            takers[root] = inside
    return takers


def _take_over(node: Component, component: Component, names: Mapping[str, list[str]]) -> None:
    for name, edge in _by_name(component, names).items():
        if name != node.name:
            node.depend(name, edge.strength, edge.where, wheel=edge.wheel)
    for each in component.paths:
        node.use(each)
    node.locks += [lock for lock in component.locks if lock not in node.locks]


def _by_name(component: Component, names: Mapping[str, list[str]]) -> dict[str, Edge]:
    found: dict[str, Edge] = {}
    for root, edge in component.edges.items():
        for name in names[root]:
            if name != component.name and (name not in found or edge.strength < found[name].strength):
                found[name] = edge
    return found


def _edges(node: Component, catalog_path: str) -> None:
    item = node.declared or {}
    where = _where(item, catalog_path)
    for field in ("packages", "depends_on"):
        for name in item[field]:
            # In which of the two fields it stands is the team's word.
            node.edges[name] = Edge(STRONG, where, wheel=field == "packages")
    for name in item["ignore"]:
        node.edges.pop(name, None)


def _resource(node: Component, nodes: Mapping[str, Component], tree: Tree) -> CatalogResource:
    item = node.declared or {}
    has_tests, seeds = _has_tests(item, node.root, tree), item["seeds"]
    paths = list(item["paths"])
    if seeds is not None:
        # What lies beside the manifest are its sources: part of the artifact, so part of the key.
        paths.append("/" + (seeds.rpartition("/")[0] or seeds))
    paths += node.paths
    # A circle is broken by files; anything else that was unsure is settled by declaring the resource.
    paths += [each for doubt in node.unsure for each in doubt.whole]
    packages, others = split(node, nodes)
    return CatalogResource(
        name=node.name,
        type=node.type,
        packages=packages,
        depends_on=others,
        paths=tuple(paths),
        root=node.root,
        actions=_actions(item, has_tests=has_tests),
        enabled=item["enabled"],
        test_paths=tuple(path.strip("/") for path in item["test_paths"]),
        has_tests=has_tests,
        seeds=seeds,
        options=item["options"],
        line=item["line"],
        evidence={name: edge.where for name, edge in sorted(node.edges.items())},
        locks=tuple(node.locks),
    )


def _actions(item: Item, *, has_tests: bool) -> frozenset[Action]:
    if not item["enabled"]:
        return frozenset()
    chosen = set(DEFAULT_ACTIONS[ResourceType(item["type"])])
    if not has_tests:
        chosen.discard(Action.TEST)
    if item["seeds"] is not None:
        chosen.add(Action.SEED)
    for action, on in item["actions"].items():
        (chosen.add if on else chosen.discard)(Action(action))
    return frozenset(chosen)
