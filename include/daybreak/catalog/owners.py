"""Whose file is it: from a path to the resources that it belongs to.

A path belongs to every resource whose patterns select it (:mod:`daybreak.catalog.patterns`). The one with the
deepest root above it is its owner, the others use it. Most patterns name one folder: these are looked up
folder by folder, never compared one by one, and the answer for a folder is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.patterns import Pattern, last_match, parse, plain, subject

_NOBODY: frozenset[str] = frozenset()


@dataclass
class _Index:
    """Where a pattern can begin to match: names of resources by exact path, by name in any folder."""

    paths: dict[str, set[str]] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)

    def at(self, path: str) -> frozenset[str]:
        found = self.paths.get(path)
        named = self.names.get(path[path.rfind("/") + 1 :]) if self.names else None
        return frozenset().union(found or (), named or ()) if found or named else _NOBODY


class Owners:
    """The patterns of some resources, ready to be asked about many paths."""

    def __init__(self, resources: Iterable[CatalogResource]) -> None:
        self._resources = {resource.name: resource for resource in resources}
        self._parsed: dict[str, tuple[Pattern, ...]] = {}
        #: What a hit of these answers by itself, for files and folders, and for folders alone.
        self._sure, self._sure_folders = _Index(), _Index()
        #: Below a hit of these, all patterns of the resource are to be asked.
        self._ask = _Index()
        self._everywhere: set[str] = set()
        self._ask_everywhere: set[str] = set()
        for name, resource in self._resources.items():
            folders = [plain(path) for path in resource.paths if path[-1:] != "/"]
            if len(folders) == len(resource.paths) and None not in folders:
                for folder in folders:
                    self._sure.paths.setdefault(folder or "", set()).add(name)
            else:
                self._add(name, self._patterns(name))
        self._folders: dict[str, tuple[frozenset[str], frozenset[str]]] = {
            "": (frozenset(self._everywhere), frozenset(self._ask_everywhere))
        }

    def _patterns(self, name: str) -> tuple[Pattern, ...]:
        """The patterns of a resource, parsed when they are asked for: of most they never are."""
        known = self._parsed.get(name)
        if known is None:
            known = self._parsed[name] = tuple(map(parse, self._resources[name].paths))
        return known

    def _add(self, name: str, patterns: tuple[Pattern, ...]) -> None:
        simple = not any(pattern.negated for pattern in patterns)
        for pattern in patterns:
            if pattern.negated or pattern.nothing:
                continue
            if pattern.literal == ".":
                (self._everywhere if simple else self._ask_everywhere).add(name)
            elif simple and pattern.literal is not None:
                index = self._sure_folders if pattern.folders else self._sure
                index.paths.setdefault(pattern.literal, set()).add(name)
            elif simple and pattern.name is not None:
                index = self._sure_folders if pattern.folders else self._sure
                index.names.setdefault(pattern.name, set()).add(name)
            elif pattern.literal is not None:
                self._ask.paths.setdefault(pattern.literal, set()).add(name)
            elif pattern.anchor:
                self._ask.paths.setdefault(pattern.anchor, set()).add(name)
            elif pattern.name is not None:
                self._ask.names.setdefault(pattern.name, set()).add(name)
            else:
                self._ask_everywhere.add(name)

    def of(self, path: str, *, folder: bool = False) -> frozenset[str]:
        """Names of the resources that ``path`` belongs to.

        :param folder: it is a submodule: whoever has something below it has it, too.
        """
        if folder:
            sure, ask = self._below(path)
            inside = {name for name in self._resources if _reaches_into(self._patterns(name), path)}
        else:
            sure, ask = self._below(path[: max(path.rfind("/"), 0)])
            sure, ask, inside = sure | self._sure.at(path), ask | self._ask.at(path), set()
        found = set()
        if ask:
            seen = subject(path, folder=folder)
            for name in ask - sure:
                decides = last_match(self._patterns(name), seen)
                if decides is not None and not decides.negated:
                    found.add(name)
        return sure | found | inside if found or inside else sure

    def whole(self, folder: str) -> frozenset[str]:
        """Names of the resources that have everything in ``folder`` by a plain pattern."""
        return self._below("" if folder == "." else folder)[0]

    def owner(self, path: str) -> str | None:
        """The one of :meth:`of` whose root is the deepest folder above ``path``; ties go by name."""
        inside = [
            (len(root), name)
            for name in sorted(self.of(path))
            for root in [self._resources[name].root]
            if root == "." or path.startswith(f"{root}/")
        ]
        return max(inside, key=lambda each: each[0])[1] if inside else None

    def pattern(self, name: str, path: str) -> str | None:
        """The pattern of the resource ``name`` that decides over ``path``."""
        for folder in (False, True):
            decides = last_match(self._patterns(name), subject(path, folder=folder))
            if decides is not None:
                return decides.text
        return None

    def is_test(self, name: str, path: str) -> bool:
        """Whether ``path`` is under the test folders of the resource ``name``."""
        return path.startswith(tuple(f"{folder}/" for folder in self._resources[name].test_folders))

    def _below(self, folder: str) -> tuple[frozenset[str], frozenset[str]]:
        """Who has everything in ``folder``, and who is to be asked about what is in it."""
        known = self._folders.get(folder)
        if known is None:
            sure, ask = self._below(folder[: max(folder.rfind("/"), 0)])
            for index in (self._sure, self._sure_folders):
                if found := index.at(folder):
                    sure = sure | found
            if found := self._ask.at(folder):
                ask = ask | found
            known = self._folders[folder] = (sure, ask)
        return known


def _reaches_into(patterns: Iterable[Pattern], folder: str) -> bool:
    inside = f"{folder}/"
    return any(
        not pattern.negated and f"{pattern.literal or pattern.anchor}/".startswith(inside)
        for pattern in patterns
    )
