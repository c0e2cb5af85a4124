"""From an imported name to the component that has it: by the files of the commit alone.

A name is looked for below every folder that Python may search: the monorepo's root, each component's own
folder, its ``src`` and what its build backend is told. The longest match counts; of equally long ones the
importing component's own. So namespace packages and names that differ from the distribution's need no list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daybreak.catalog.discovery.component import Found
from daybreak.catalog.discovery.tree import Tree, join, parent

_ENDINGS = (".py", ".pyi", ".pyx", ".ipynb")

#: Folders and modules that a component keeps to itself, as setuptools' automatic discovery has them.
PRIVATE = frozenset(
    {"tests", "test", "docs", "doc", "examples", "example", "scripts", "tools", "build", "dist", "setup",
     "conftest", "benchmarks", "benchmark", "bin", "src", "ci", "samples", "tasks", "noxfile", "fixtures"}
)  # fmt: skip


def is_module(name: str) -> bool:
    """Whether a file of that name can be imported."""
    return name.endswith(_ENDINGS) or ".so" in name


@dataclass(frozen=True, eq=False)
class Place:
    """A folder that Python may search, and whose it is (``""``: nobody's in particular)."""

    folder: str
    owner: str


@dataclass(frozen=True)
class Match:
    """Where a name was found: ``length`` of its parts, the ``file``, and the folder it was found below."""

    length: int
    file: str
    place: Place


class Modules:
    """All that can be imported at one commit.

    :param configured: more folders of each component; ``None``: nothing is searched (:meth:`restore`).
    """

    def __init__(self, tree: Tree, found: Found, configured: Mapping[str, Iterable[str]] | None) -> None:
        self._tree, self._found = tree, found
        self._by_top: dict[str, list[Place]] = {}
        self._known: dict[tuple[str, ...], list[Match]] = {}
        self._places: list[Place] = []
        self.namespaces: set[str] = set()
        if configured is None:
            return
        seen: set[str] = {"."}
        self._index(Place(".", ""))
        for root in found.components:
            folders = [
                root,
                *(f"{root}/{name}" if root != "." else name for name in ("src", "python", "lib")),
            ]
            folders += [path for said in configured.get(root, ()) if (path := join(root, said)) is not None]
            for folder in folders:
                if folder not in seen:
                    seen.add(folder)
                    self._index(Place(folder, root))

    def add(self, folder: str) -> None:
        """Search below ``folder`` too: code that belongs to no component."""
        self._index(Place(folder, ""))

    def resolve(self, name: str, importer: str) -> list[Match]:
        """The longest matches of a dotted name for the component ``importer``; none: it is not from here."""
        parts = tuple(name.split("."))
        if parts[0] not in self._by_top:
            return []
        if parts not in self._known:
            matches = [match for place in self._by_top[parts[0]] if (match := self._match(place, parts))]
            self._known[parts] = matches
        found = [
            match
            for match in self._known[parts]
            if parts[0] not in PRIVATE or match.place.owner in {"", importer}
        ]
        longest = max((match.length for match in found), default=0)
        best = [match for match in found if match.length == longest]
        own = [match for match in best if self._found.owner(match.file) == importer]
        return own or best

    def below(self, name: str, importer: str) -> list[str]:
        """Folders or files of everything whose dotted name is ``name`` or begins with ``name.``"""
        parts = name.split(".")
        found = []
        for place in self._by_top.get(parts[0], ()):
            if parts[0] in PRIVATE and place.owner not in {"", importer}:
                continue
            path = "/".join(parts) if place.folder == "." else "/".join((place.folder, *parts))
            found += [path] if self._tree.is_folder(path) else []
            found += [f"{path}{ending}" for ending in _ENDINGS if f"{path}{ending}" in self._tree]
        return found

    def packages_above(self, match: Match) -> list[str]:
        """The ``__init__.py`` that run before the matched module does."""
        found, folder = [], parent(match.file)
        while folder not in {match.place.folder, "."}:
            if f"{folder}/__init__.py" in self._tree:
                found.append(f"{folder}/__init__.py")
            folder = parent(folder)
        return found

    def to_json(self) -> list[Any]:
        """All that is indexed, for :meth:`restore`."""
        numbers = {place: number for number, place in enumerate(self._places)}
        return [
            [[place.folder, place.owner] for place in self._places],
            {name: [numbers[place] for place in places] for name, places in self._by_top.items()},
        ]

    def restore(self, data: Sequence[Any], changed: Iterable[str]) -> None:
        """Take over what :meth:`to_json` said of another commit.

        :param changed: files that only one of the two commits has; both have the same folders.
        """
        places, names = data
        by_folder: dict[str, set[str]] = {}
        for path in changed:
            name = path[path.rfind("/") + 1 :].partition(".")[0]
            by_folder.setdefault(parent(path), set()).add(name)
        for number, (folder, _) in enumerate(places):
            if folder in by_folder:
                here = set(self._names(folder))
                for name in by_folder[folder]:
                    numbers = {*names.get(name, ())} - {number} | ({number} if name in here else set())
                    names[name] = sorted(numbers)
        self._places = [Place(folder, owner) for folder, owner in places]
        self._by_top = {name: [self._places[number] for number in numbers] for name, numbers in names.items()}

    def _index(self, place: Place) -> None:
        if not self._tree.is_folder(place.folder):
            return
        self._places.append(place)
        for name in self._names(place.folder):
            places = self._by_top.setdefault(name, [])
            # A folder is searched once; `x.py` beside `x/` are the same name.
            if not places or places[-1] is not place:
                places.append(place)

    def _names(self, where: str) -> Iterator[str]:
        """What can be imported from right in a folder."""
        for child, folder in self._tree.children(where):
            name = child if folder else child.partition(".")[0]
            if name.isidentifier() and (folder or is_module(child)):
                yield name

    def _match(self, place: Place, parts: tuple[str, ...]) -> Match | None:
        path = "" if place.folder == "." else f"{place.folder}/"
        best: Match | None = None
        for length, part in enumerate(parts, 1):
            path += part
            for ending in _ENDINGS:
                if (file := f"{path}{ending}") in self._tree:
                    return Match(length, file, place)
            file = f"{path}/__init__.py"
            if file in self._tree or (file := f"{file}i") in self._tree:
                if file not in self.namespaces:
                    best = Match(length, file, place)
            elif not self._tree.is_folder(path):
                break
            path += "/"
        return best
