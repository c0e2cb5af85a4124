"""Files of a commit that belong to no resource: a change of one of them says nothing about what to test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from daybreak.catalog.graph import Catalog
from daybreak.catalog.owners import Owners
from daybreak.catalog.rules import PLACE
from daybreak.git.repository import SUBMODULE, Repository


def unowned(repo: Repository, catalog: Catalog, catalog_path: str = "resources.py") -> list[str]:
    """Their paths, sorted; what is ignored, global, a lock in use or the catalog's own is not among them."""
    owners = Owners(catalog.resources.values())
    known = {use.path for resource in catalog.resources.values() for use in resource.locks}
    known |= {catalog_path, PLACE}
    return [
        entry.path
        for entry in repo.ls_tree(catalog.commit)
        if entry.path not in known
        and not owners.of(entry.path, folder=entry.mode == SUBMODULE)
        and not catalog.rules.ignores(entry.path)
        and not any(each.matches(entry.path) for each in catalog.rules.global_paths)
    ]


def folders(repo: Repository, catalog: Catalog, paths: Sequence[str]) -> list[tuple[str, int | None]]:
    """``paths`` for people: a folder with the number of its files where all of it is meant, else the file."""
    everything = Counter(folder for entry in repo.ls_tree(catalog.commit) for folder in _above(entry.path))
    meant = Counter(folder for path in paths for folder in _above(path))
    found: dict[str, int | None] = {}
    for path in paths:
        whole = next((folder for folder in _above(path) if meant[folder] == everything[folder]), None)
        if whole is None:
            found[path] = None
        else:
            found[whole] = meant[whole]
    return list(found.items())


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
