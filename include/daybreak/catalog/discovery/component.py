"""A component: a folder that becomes a resource, and everything that was seen of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daybreak.catalog.graph import LockUse
from daybreak.catalog.patterns import literal
from daybreak.catalog.resource import ResourceType

#: Folders of a component with its unit tests, unless it says otherwise.
TEST_FOLDERS = ("tests", "test")


@dataclass
class Edge:
    """Why a component depends on another.

    :param where: ``file:line``.
    :param wheel: it is installed from its wheel, as far as it is a Python package.
    """

    strength: int
    where: str
    wheel: bool = False


@dataclass(frozen=True)
class Doubt:
    """Something that reading cannot decide.

    :param whole: patterns of all that it may mean.
    :param kind: ``dynamic`` (imports) or ``image``: which declaration settles it.
    """

    where: str
    what: str
    whole: tuple[str, ...] = ()
    kind: str = ""


@dataclass
class Component:
    """One folder with a manifest.

    :param root: relative to the monorepo's root.
    :param manifests: paths by kind of fact (``pyproject``, ``node`` …).
    :param distributions: normalised names under which Python manifests may require it.
    :param node_name: its name in ``package.json``.
    :param said: what ``[tool.daybreak]`` or ``daybreak.toml`` says, checked.
    :param said_where: where it says that, ``file:line``.
    :param paths: patterns of what it is made of beyond its own folder, in order.
    :param edges: by the root of the component that it depends on; by its name when all have names.
    :param unsure: what reading cannot decide.
    :param declared: what ``resources.py`` says of it, when it does.
    :param third: names of distributions that are not of this monorepo.
    """

    root: str
    type: ResourceType = ResourceType.PACKAGE
    name: str = ""
    manifests: dict[str, str] = field(default_factory=dict)
    distributions: set[str] = field(default_factory=set)
    node_name: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    said_where: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)
    edges: dict[str, Edge] = field(default_factory=dict)
    unsure: list[Doubt] = field(default_factory=list)
    locks: list[LockUse] = field(default_factory=list)
    third: set[str] = field(default_factory=set)
    build: bool = False
    declared: Mapping[str, Any] | None = None

    def depend(self, root: str, strength: int, where: str, *, wheel: bool = False) -> None:
        """Add an edge; of several to the same component the most certain, and of these the first, counts."""
        if root in {self.root, self.name}:
            return
        known = self.edges.get(root)
        if known is None or strength < known.strength:
            self.edges[root] = Edge(strength, where, wheel or (known is not None and known.wheel))
        elif wheel:
            known.wheel = True

    def use(self, pattern: str) -> None:
        """Count the files of ``pattern`` as files of this component."""
        if pattern not in self.paths:
            self.paths.append(pattern)

    @property
    def is_wheel(self) -> bool:
        """Whether other resources can install it: a Python distribution, or a package that is declared."""
        return bool(self.distributions) or self.declared is not None

    def patterns(self) -> list[str]:
        """Patterns of all that it is made of, as another component would count it; nothing is left out."""
        own = [pattern(self.root)] if self.declared is None else self.declared["paths"]
        unsure = [each for doubt in self.unsure for each in doubt.whole]
        return [each for each in dict.fromkeys([*own, *self.paths, *unsure]) if not each.startswith("!")]

    def doubt(self, where: str, what: str, whole: Sequence[str] = (".",), *, kind: str = "") -> None:
        """Note something that cannot be decided: the component depends on all of ``whole`` until declared."""
        self.unsure.append(Doubt(where, what, tuple(whole), kind))


@dataclass
class Found:
    """All components of a commit, by root, and what a person should know.

    :param notes: ``(where, text)``; nothing of it makes an answer smaller.
    :param lists: requirements files that are not called so: manifests name them.
    :param state: what :func:`daybreak.catalog.discovery.state.again` needs.
    """

    components: dict[str, Component]
    notes: list[tuple[str, str]] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    _inside: dict[str, list[str]] = field(default_factory=dict)

    def owner(self, path: str) -> str | None:
        """The root of the deepest component that ``path`` lies in."""
        while True:
            if path in self.components:
                return path
            if path == ".":
                return None
            path = path.rpartition("/")[0] or "."

    def inside(self, folder: str) -> list[str]:
        """Roots of the components in ``folder``, itself included; asked when all are known."""
        if folder not in self._inside:
            below = "" if folder == "." else f"{folder}/"
            self._inside[folder] = [
                root for root in self.components if root == folder or root.startswith(below)
            ]
        return self._inside[folder]


def pattern(path: str) -> str:
    """The pattern that means exactly this file or folder; ``.`` is the whole monorepo."""
    return path if path == "." else literal(path)
