"""Whose file is it: from a path to the resources that it belongs to.

The patterns are gitignore's, in order, the last match wins; ``!`` excludes within its resource only.
Resources may share files with another, and most patterns are plain folders: those are looked up, not matched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pathspec import PathSpec, Pattern

from daybreak.catalog.graph import CatalogResource

#: A pattern with a slash inside and nothing special: exactly one file or folder, wherever gitignore reads it.
_PLAIN = re.compile(r"/?[^/*?\[\]!#\\\s][^*?\[\]\\]*(?<!\s)")


class Owners:
    """The patterns of some resources, ready to be asked about many paths."""

    def __init__(self, resources: Iterable[CatalogResource]) -> None:
        self._plain: dict[str, list[str]] = {}
        self._patterns: list[tuple[str, PathSpec[Pattern]]] = []
        self._tests: dict[str, tuple[str, ...]] = {}
        for resource in resources:
            self._tests[resource.name] = tuple(f"{folder}/" for folder in resource.test_folders)
            if all(_is_plain(pattern) for pattern in resource.paths):
                for pattern in resource.paths:
                    self._plain.setdefault(pattern.strip("/"), []).append(resource.name)
            else:
                self._patterns.append((resource.name, PathSpec.from_lines("gitignore", resource.paths)))

    def of(self, path: str) -> frozenset[str]:
        """Names of the resources that ``path`` belongs to."""
        names = {name for name, spec in self._patterns if spec.match_file(path)}
        end = len(path)
        while end > 0:
            names.update(self._plain.get(path[:end], ()))
            end = path.rfind("/", 0, end)
        return frozenset(names)

    def is_test(self, name: str, path: str) -> bool:
        """Whether ``path`` is under the test folders of the resource ``name``."""
        return path.startswith(self._tests[name])


def _is_plain(pattern: str) -> bool:
    # Without a slash at its start or inside, gitignore would match the name in every folder.
    return _PLAIN.fullmatch(pattern) is not None and "/" in pattern[:-1]
