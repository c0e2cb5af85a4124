"""From components to resources of a catalog: names, actions, circles, paths."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable, Mapping

from daybreak.catalog.cycles import components
from daybreak.catalog.discovery.component import TEST_FOLDERS, Component, pattern
from daybreak.catalog.discovery.facts import STRONG
from daybreak.catalog.discovery.tree import Tree, parent
from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import DEFAULT_ACTIONS, Action, ResourceType

_OTHER = re.compile(r"[^a-z0-9]+")

#: Options without which there are no default actions.
_WANTED: Mapping[ResourceType, tuple[str, ...]] = {
    ResourceType.LAMBDA: ("handler", "logical_id"),
    ResourceType.INFRA: ("template", "stack"),
    ResourceType.SERVICE: ("command",),
}

#: Steps that looking for the weak edges that close a circle may take; beyond, all of a tangle count as such.
_PATIENCE = 3_000_000


def name_all(unnamed: Iterable[Component], taken: Collection[str] = ()) -> None:
    """Give every component its name: what it says, its distribution, its package, its folder.

    Components that would share a name are called by their paths.

    :param taken: names that ``resources.py`` gives to something else.
    """
    wanted: dict[str, list[Component]] = {}
    for component in unnamed:
        component.name = component.said.get("name") or short_name(component)
        wanted.setdefault(component.name, []).append(component)
    used = set(taken) | {name for name, them in wanted.items() if len(them) == 1}
    for name, them in wanted.items():
        if len(them) == 1 and name not in taken:
            continue
        for component in them:
            base = identifier(component.root.replace("/", "_"))
            component.name, number = base, 2
            while component.name in used:
                component.name, number = f"{base}_{number}", number + 1
            used.add(component.name)


def short_name(component: Component) -> str:
    """The name that a component has where no other wants it."""
    named = min(component.distributions, default=component.node_name)
    if named:
        return identifier(named)
    parts = component.root.split("/")
    if (
        component.type is ResourceType.DATABASE
        and component.options.get("migrations") == "."
        and len(parts) > 1
    ):
        return identifier(f"{parts[-2]}_db")
    return identifier(parts[-1] if component.root != "." else "monorepo")


def identifier(said: str) -> str:
    """``said`` as a resource may be called."""
    found = _OTHER.sub("_", said.lower()).strip("_")
    return found if found[:1].isalpha() else f"r_{found}"


def break_circles(nodes: Mapping[str, Component]) -> bool:
    """Turn every weak edge that closes a circle into files that its component depends on.

    Whatever such an edge would reach still touches the component; only no order comes of it. Circles of
    strong edges stay: they are the team's to mend.

    :param nodes: by name, with edges by name.
    :returns: whether there was a circle.
    """
    edges = {name: list(component.edges) for name, component in nodes.items()}
    circles = components(edges)
    # Before any is broken: what that adds to one component is no part of another.
    files = {name: component.patterns() for name, component in nodes.items()} if circles else {}
    for circle in circles:
        _break(nodes, circle, edges, files)
    return bool(circles)


def _break(
    nodes: Mapping[str, Component],
    circle: list[str],
    everything: Mapping[str, list[str]],
    files: Mapping[str, list[str]],
) -> None:
    inside = set(circle)
    kept: dict[str, list[str]] = {name: [] for name in circle}
    weak = []
    for name in circle:
        for target, edge in sorted(nodes[name].edges.items()):
            if target in inside and edge.strength == STRONG:
                kept[name].append(target)
            elif target in inside:
                weak.append((name, target))
    patient = len(weak) * (len(circle) + sum(map(len, kept.values())) + len(weak)) < _PATIENCE
    for name, target in weak:
        if patient and name not in _reach(target, kept):
            kept[name].append(target)
            continue
        component = nodes[name]
        where = component.edges.pop(target).where
        needed = sorted(_reach(target, everything) - {name})
        what = f"needs {target}, which needs {name}: files of {target} count instead"
        component.doubt(where, what, [each for one in needed for each in files[one]])


def _reach(start: str, edges: Mapping[str, Iterable[str]]) -> set[str]:
    seen, queue = {start}, deque([start])
    while queue:
        for target in edges.get(queue.popleft(), ()):
            if target not in seen:
                seen.add(target)
                queue.append(target)
    return seen


def resource(component: Component, nodes: Mapping[str, Component], tree: Tree) -> CatalogResource:
    """The resource that a discovered component becomes.

    :param nodes: all, by name.
    """
    said = component.said
    test_paths = tuple(path.strip("/") for path in said.get("test_paths", _test_paths(component, tree)))
    prefix = "" if component.root == "." else f"{component.root}/"
    has_tests = any(tree.is_folder(prefix + path) for path in test_paths)
    seeds = f"{prefix}{said['seeds']}" if "seeds" in said else None
    packages, others = split(component, nodes)
    paths = [*own_paths(component, tree), *_contexts(component), *component.paths]
    paths += dict.fromkeys(
        each for doubt in component.unsure if doubt.kind != "context" for each in doubt.whole
    )
    enabled = said.get("enabled", True)
    return CatalogResource(
        name=component.name,
        type=component.type,
        packages=packages,
        depends_on=others,
        paths=tuple(paths),
        root=component.root,
        actions=_actions(component, has_tests=has_tests, seeds=seeds) if enabled else frozenset(),
        enabled=enabled,
        test_paths=test_paths,
        has_tests=has_tests,
        seeds=seeds,
        options=component.options,
        line=None,
        evidence={name: edge.where for name, edge in sorted(component.edges.items())},
        locks=tuple(component.locks),
    )


def split(component: Component, nodes: Mapping[str, Component]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the packages whose wheels it needs, and of the rest."""
    packages = {
        name
        for name, edge in component.edges.items()
        if edge.wheel and nodes[name].type is ResourceType.PACKAGE and nodes[name].is_wheel
    }
    return tuple(sorted(packages)), tuple(sorted(component.edges.keys() - packages))


def _contexts(component: Component) -> list[str]:
    """Patterns of build contexts that an image copies whole."""
    contexts = [doubt.whole for doubt in component.unsure if doubt.kind == "context"]
    if len(contexts) <= 1:
        return [each for whole in contexts for each in whole]
    # What one context's .dockerignore leaves out may be in another: nothing is left out.
    return [whole[0] for whole in contexts]


def own_paths(component: Component, tree: Tree) -> list[str]:
    """Patterns of a component's folder without the components in it."""
    # One that lies in a Python package of the component goes into the component's wheel.
    nested = [each for each in component.nested if f"{parent(each)}/__init__.py" not in tree]
    if component.root != "." or not nested:
        return [pattern(component.root), *(f"!{pattern(each)}" for each in sorted(nested))]
    # Beside other components the monorepo's root is no component's folder: only code that lies in it is.
    tops = {each.partition("/")[0] for each in nested}
    paths = [pattern(path) for path in component.manifests.values()]
    for child, folder in tree.children("."):
        if (child.endswith(".py") and child != "conftest.py") or (folder and not child.startswith(".")):
            paths.append(pattern(child))
    return [*dict.fromkeys(paths), *(f"!{pattern(each)}" for each in _highest(nested, tops, tree))]


def _highest(nested: Iterable[str], tops: set[str], tree: Tree) -> list[str]:
    """Folders that cover exactly ``nested``: one for a folder in which nothing else lies."""
    below: dict[str, list[str]] = {}
    for each in nested:
        below.setdefault(each.partition("/")[0], []).append(each)
    found = []
    for top in sorted(tops):
        roots = sorted(below[top])
        low, high = tree.span(top)
        inside = sum(end - start for start, end in (tree.span(root) for root in roots))
        found += [top] if inside == high - low else roots
    return found


def _test_paths(component: Component, tree: Tree) -> tuple[str, ...]:
    prefix = "" if component.root == "." else f"{component.root}/"
    found = [name for name in TEST_FOLDERS if tree.is_folder(f"{prefix}{name}")]
    return tuple(found) or ("tests",)


def missing(component: Component) -> str:
    """What a component lacks for the default actions of its type; nothing when it has all."""
    type_, options = component.type, component.options
    lacks = [f"options.{name}" for name in _WANTED.get(type_, ()) if name not in options]
    if type_ in {ResourceType.PACKAGE, ResourceType.SERVICE} and not component.build:
        lacks.append("a Python project (Daybreak builds no other kind)")
    if type_ is ResourceType.DATABASE and not component.manifests.get("migrations", ".sql").endswith(".sql"):
        lacks.append("migrations in SQL")
    if type_ is ResourceType.COMMAND and options.keys().isdisjoint({"build", "create", "deploy"}):
        lacks.append("options.build, options.create or options.deploy")
    return " and ".join(lacks)


def _actions(component: Component, *, has_tests: bool, seeds: str | None) -> frozenset[Action]:
    """The type's defaults, as far as the component has what they need; what it says itself counts more."""
    chosen = set() if missing(component) else set(DEFAULT_ACTIONS[component.type])
    if not has_tests:
        chosen.discard(Action.TEST)
    elif component.build:
        # A Python project's tests can be run, whatever else is missing.
        chosen.add(Action.TEST)
    if seeds is not None:
        chosen.add(Action.SEED)
    for action, on in component.said.get("actions", {}).items():
        (chosen.add if on else chosen.discard)(Action(action))
    return frozenset(chosen)
