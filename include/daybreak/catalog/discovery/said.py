"""``[tool.daybreak]`` of a component's ``pyproject.toml``, or its ``daybreak.toml``: what cannot be seen.

Resources are named as the catalog names them; paths are patterns seen from the monorepo's root, except
``test_paths``, which are folders of the component, and ``seeds``, a file of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from daybreak.catalog.discovery.component import Component
from daybreak.catalog.discovery.facts import STRONG
from daybreak.catalog.discovery.tree import Tree, join
from daybreak.catalog.resource import Action, ResourceType
from daybreak.errors import CatalogError


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(_text(each) for each in value)


_FIELDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a name such as trips", lambda value: _text(value) and value.isidentifier() and value.islower()),
    "type": (f"one of {', '.join(ResourceType)}", lambda value: value in list(ResourceType)),
    "paths": ("a list of patterns", _texts),
    "packages_dependency": ("a list of resource names", _texts),
    "depends_on": ("a list of resource names", _texts),
    "ignore_dependency": ("a list of resource names", _texts),
    "dynamic": ("a list of resource names", _texts),
    "docker_context": ("a folder", _text),
    "enabled": ("true or false", lambda value: isinstance(value, bool)),
    "test_paths": ("a list of folders", _texts),
    "seeds": ("a file of the component", _text),
    "actions": (
        f"a table of {', '.join(Action)}, each true or false",
        lambda value: (
            isinstance(value, dict)
            and all(key in list(Action) and isinstance(on, bool) for key, on in value.items())
        ),
    ),
    "options": ("a table", lambda value: isinstance(value, dict)),
    "e2e": ("a list of folders with e2e suites", _texts),
}


def check(component: Component, tree: Tree) -> None:
    """Check what a component says of itself, and take over what needs no other component.

    :raises CatalogError: naming the file, the table's line and the field.
    """
    said, where = component.said, component.said_where
    if not isinstance(said, dict):
        raise CatalogError(f"{where}: tool.daybreak: expected a table")
    for field, value in said.items():
        if field not in _FIELDS:
            near = _near(field, _FIELDS)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(_FIELDS)}"
            raise CatalogError(f"{where}: tool.daybreak: {field!r} is no field; {hint}")
        expected, fits = _FIELDS[field]
        if not fits(value):
            raise CatalogError(f"{where}: tool.daybreak.{field}: expected {expected}, found {value!r}")
    component.type = ResourceType(said.get("type", component.type))
    component.options |= said.get("options", {})
    if "e2e" in said:
        component.options["e2e"] = said["e2e"]
    for each in said.get("paths", ()):
        component.use(each)
    if (seeds := said.get("seeds")) and join(component.root, seeds) not in tree:
        raise CatalogError(f"{where}: tool.daybreak.seeds: {seeds!r} is not a file at this commit")


def edges(nodes: Mapping[str, Component]) -> None:
    """Edges that components add and take away.

    :param nodes: all, by name, with edges by name.
    :raises CatalogError: for a name that is no resource.
    """
    for component in nodes.values():
        said, where = component.said, component.said_where
        for field in ("packages_dependency", "depends_on", "dynamic"):
            for name in _named(said.get(field, ()), field, where, nodes):
                component.depend(name, STRONG, where, wheel=field == "packages_dependency")
        for name in _named(said.get("ignore_dependency", ()), "ignore_dependency", where, nodes):
            component.edges.pop(name, None)
        if "dynamic" in said:
            component.unsure = [doubt for doubt in component.unsure if doubt.kind != "dynamic"]


def _named(names: Iterable[str], field: str, where: str, nodes: Mapping[str, Component]) -> Iterable[str]:
    for name in names:
        if name not in nodes:
            near = _near(name, nodes)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise CatalogError(f"{where}: tool.daybreak.{field}: {name!r} is no resource{hint}")
        yield name


def _near(name: str, known: Iterable[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, known, 1)
