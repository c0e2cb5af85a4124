"""A catalog from the tree of any commit: manifests, images, templates and imports are read; nothing runs.

Everything goes through git's plumbing (no checkout), every edge keeps its evidence, and whatever reading
cannot decide is listed and counts as depending on its whole context. See docs/discovery.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daybreak.catalog.cache import Cache
from daybreak.catalog.discovery import said
from daybreak.catalog.discovery.component import Component, Found
from daybreak.catalog.discovery.edges import Manifests
from daybreak.catalog.discovery.facts import Facts, kind
from daybreak.catalog.discovery.find import Finder
from daybreak.catalog.discovery.images import Images
from daybreak.catalog.discovery.inference import Inference, summarise
from daybreak.catalog.discovery.modules import Modules
from daybreak.catalog.discovery.reader import Reader
from daybreak.catalog.discovery.state import Before
from daybreak.catalog.discovery.tree import Tree
from daybreak.git.repository import Repository

__all__ = ["Cache", "Component", "Found", "Tree", "discover"]


def discover(repo: Repository, tree: Tree, cache: Cache, leave_out: Sequence[str] = ()) -> Found:
    """All components of ``tree`` with their edges; they have no names yet, and may depend in circles.

    :param leave_out: files that are not the monorepo's own manifests or modules (``resources.py``).
    :raises CatalogError: for a manifest that cannot be read, or a wrong ``[tool.daybreak]``, with its line.
    :raises GitError: for a blob that this clone lacks.
    """
    reader = Reader(repo, tree, cache)
    wanted = []
    for path in tree.paths:
        found_kind = kind(path[path.rfind("/") + 1 :])
        if found_kind is not None and path not in leave_out:
            wanted.append((found_kind, path))
    facts = reader.read(wanted)
    with tree.noting() as asked:
        found = Finder(tree, facts).find()
        for component in found.components.values():
            if component.said_where:
                said.check(component, tree)
        Manifests(found, facts, reader).read()
        Images(found, facts, tree).read()
    before, links = Before(found), tree.targets(repo)
    if any(path.endswith(".py") for path in tree.paths):
        modules = _modules(tree, found, facts)
        inference = Inference(found, modules, reader)
        inference.read(links)
    else:
        # Nothing imports: what could be imported is not looked for.
        modules = Modules(tree, found, None)
        inference = Inference(found, modules, reader)
        inference.apply({root: summarise({}, ()) for root in found.components}, links)
    found.state = before.state(tree, asked, modules, inference, links)
    return found


def _modules(tree: Tree, found: Found, facts: Mapping[str, Facts]) -> Modules:
    configured = {
        root: [
            where
            for manifest in component.manifests.values()
            for where in facts.get(manifest, {}).get("where", ())
        ]
        for root, component in found.components.items()
    }
    modules = Modules(tree, found, configured)
    for folder in _loose_roots(tree, found):
        modules.add(folder)
    return modules


def _loose_roots(tree: Tree, found: Found) -> list[str]:
    """Folders outside all components that Python code there is imported from: those above its packages."""
    folders: set[str] = set()
    for low, high in tree.below(".", [each for each in found.components if each != "."]):
        folders.update(path.rpartition("/")[0] for path in tree.paths[low:high] if path.endswith(".py"))
    roots = set()
    for folder in folders:
        while folder and f"{folder}/__init__.py" in tree:
            folder = folder.rpartition("/")[0]
        roots.add(folder)
    return sorted(root for root in roots if root and found.owner(root) in {None, "."})
