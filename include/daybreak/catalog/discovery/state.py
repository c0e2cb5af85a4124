"""What discovery found out about a tree, kept so that one that differs little is not read from the start.

:func:`again` finds the components of a tree that has other modules and other plain files than a known one,
and nothing else that discovery looks at. Only components are looked at again whose own modules differ, or
that import a name under which something came or went; the others keep what was seen of them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daybreak.catalog.cache import Cache
from daybreak.catalog.discovery.component import Component, Doubt, Edge, Found
from daybreak.catalog.discovery.edges import NODE_LOCKS
from daybreak.catalog.discovery.facts import kind
from daybreak.catalog.discovery.inference import Inference, Summary, namespaces, summarise, tops
from daybreak.catalog.discovery.modules import Modules, is_module
from daybreak.catalog.discovery.reader import Reader, read
from daybreak.catalog.discovery.tree import Asked, Tree, has_folder, parent, relative
from daybreak.catalog.graph import LockUse
from daybreak.catalog.resource import ResourceType
from daybreak.git.repository import Repository

#: Files without a reader whose being there means something by their name alone.
_TELLING = frozenset({"__init__.py", "uv.lock", "poetry.lock", *NODE_LOCKS})

#: A component as JSON is a list; what manifests and images say, then what imports add to it.
_Row = Sequence[Any]


def is_plain(path: str) -> bool:
    """Whether a file of that name can come and go unseen, unless somebody names or imports it."""
    name = path[path.rfind("/") + 1 :]
    return kind(name) is None and name not in _TELLING and not name.endswith(".sql")


@dataclass(frozen=True)
class Difference:
    """What one tree has that another has not; nothing else differs that discovery reads.

    :param modules: Python files that are in both and say something else about imports.
    :param added: plain files.
    :param deleted: likewise.
    """

    modules: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.modules or self.added or self.deleted)


class Before:
    """What is known of each component before imports are read."""

    def __init__(self, found: Found) -> None:
        self.notes = list(found.notes)
        self._found = found
        self._edges = {
            root: {target: (edge.strength, edge.where, edge.wheel) for target, edge in each.edges.items()}
            for root, each in found.components.items()
        }
        self._counts = {root: (len(each.paths), len(each.unsure)) for root, each in found.components.items()}

    def state(
        self, tree: Tree, asked: Asked, modules: Modules, inference: Inference, links: Mapping[str, str]
    ) -> dict[str, Any]:
        """All of it as JSON, together with what ``inference`` added."""
        numbers = {root: number for number, root in enumerate(self._found.components)}
        users: dict[str, list[int]] = {}
        for root, summary in inference.summaries.items():
            for top in tops(summary):
                users.setdefault(top, []).append(numbers[root])
        return {
            "components": [self._row(root, each, inference) for root, each in self._found.components.items()],
            "notes": self.notes,
            "lists": self._found.lists,
            "paths": tree.paths,
            "asked": sorted(path for path in asked.paths if is_plain(path)),
            "listed": sorted(asked.folders),
            "modules": modules.to_json(),
            "namespaces": sorted(modules.namespaces),
            "users": users,
            "more": sorted(numbers[root] for root in inference.more),
            "links": links,
        }

    def _row(self, root: str, each: Component, inference: Inference) -> _Row:
        edges, (paths, unsure) = self._edges[root], self._counts[root]
        now = {target: (edge.strength, edge.where, edge.wheel) for target, edge in each.edges.items()}
        doubts = [[doubt.where, doubt.what, doubt.whole, doubt.kind] for doubt in each.unsure]
        return [
            root, each.type.value, each.manifests, sorted(each.distributions), each.node_name, each.said,
            each.said_where, each.options, each.nested, [[lock.path, lock.roots] for lock in each.locks],
            each.build, each.paths[:paths], edges, doubts[:unsure],
            each.paths[paths:], {target: said for target, said in now.items() if edges.get(target) != said},
            doubts[unsure:], inference.notes.get(root, ()), inference.keys.get(root),
        ]  # fmt: skip


def _component(row: _Row, *, imports: bool) -> Component:
    (root, type_, manifests, distributions, node_name, said, said_where, options, nested, locks,
     build, paths, edges, unsure, more_paths, more_edges, more_unsure, *_) = row  # fmt: skip
    if imports:
        # What was there already keeps its place.
        paths, edges, unsure = paths + more_paths, edges | more_edges, unsure + more_unsure
    return Component(
        root, ResourceType(type_), manifests=manifests, distributions=set(distributions),
        node_name=node_name, said=said, said_where=said_where, options=options, nested=nested,
        locks=[LockUse(path, tuple(roots)) for path, roots in locks], build=build, paths=list(paths),
        edges={target: Edge(*each) for target, each in edges.items()},
        unsure=[Doubt(where, what, tuple(whole), kind_) for where, what, whole, kind_ in unsure],
    )  # fmt: skip


@dataclass(frozen=True)
class Again:
    """:param touched: roots of the components that may be other than they were."""

    found: Found
    tree: Tree
    touched: frozenset[str]


def again(
    repo: Repository, tree_id: str, state: Mapping[str, Any], difference: Difference, cache: Cache
) -> Again | None:
    """The components of a tree; ``None`` when it has to be read from the start.

    :param state: of the tree that it differs from.
    """
    roots = {row[0]: number for number, row in enumerate(state["components"])}
    paths = _paths(state["paths"], difference)
    if not _is_small(state, difference, roots, paths):
        return None
    tree = Tree(lambda: repo.listing(tree_id), paths, state["links"])
    moved = [path for path in (*difference.added, *difference.deleted) if is_module(path)]
    changed = {_owner(path, roots) or "" for path in (*difference.modules, *moved) if path.endswith(".py")}
    touched = changed | {state["components"][number][0] for number in _importers(state, moved)}
    found = Found({row[0]: _component(row, imports=row[0] not in touched) for row in state["components"]})
    found.lists = state["lists"]
    found.notes = [(where, what) for where, what in state["notes"]]
    for row in state["components"]:
        found.notes += [(where, what) for where, what in row[17]] if row[0] not in touched else []
    modules = Modules(tree, found, None)
    modules.restore(state["modules"], moved)
    modules.namespaces.update(state["namespaces"])
    inference = Inference(found, modules, Reader(repo, tree, cache))
    keys = {root: state["components"][roots[root]][18] for root in sorted(touched)}
    known = cache.many([key for key in keys.values() if key])
    if any(key and key not in known for key in keys.values()):
        return None
    summaries = {root: known[key] if key else summarise({}, ()) for root, key in keys.items()}
    for root, summary in _summaries(repo, tree, tree_id, sorted(changed), inference, found, cache).items():
        if namespaces(root, summary) != namespaces(root, summaries[root]):
            return None
        summaries[root] = summary
    inference.apply(summaries, state["links"])
    outside = {"."} & roots.keys() if {*difference.added, *difference.deleted} - {*moved} else set()
    return Again(found, tree, frozenset(touched | outside))


def _paths(known: Sequence[str], difference: Difference) -> list[str]:
    paths = list(known)
    for path in difference.deleted:
        del paths[bisect_left(paths, path)]
    for path in difference.added:
        insort(paths, path)
    return paths


def _owner(path: str, roots: Mapping[str, int]) -> str | None:
    while path not in roots and path != ".":
        path = parent(path)
    return path if path in roots else None


def _is_small(
    state: Mapping[str, Any], difference: Difference, roots: Mapping[str, int], paths: Sequence[str]
) -> bool:
    """Whether nobody but who imports can see what differs."""
    asked, listed = set(state["asked"]), set(state["listed"])
    for here, files in ((state["paths"], difference.added), (paths, difference.deleted)):
        for path in files:
            if path in asked or parent(path) in listed or not has_folder(here, parent(path)):
                return False
    modules = [
        path
        for path in (*difference.modules, *difference.added, *difference.deleted)
        if path.endswith(".py") or is_module(path)
    ]
    # Without a key there was no module in the whole tree.
    return all(
        (root := _owner(path, roots)) not in {None, "."} and state["components"][roots[root or ""]][18]
        for path in modules
    )


def _importers(state: Mapping[str, Any], moved: Iterable[str]) -> set[int]:
    """Who imports anything by a name that a folder above a file, or the file itself, can stand for."""
    found = set(state["more"])
    for path in moved:
        *folders, name = path.split("/")
        for top in (*folders, name.partition(".")[0]):
            found.update(state["users"].get(top, ()))
    return found


def _summaries(
    repo: Repository, tree: Tree, tree_id: str, changed: Sequence[str], inference: Inference, found: Found,
    cache: Cache,
) -> dict[str, Summary]:  # fmt: skip
    """What the modules of some components import now."""
    if not changed:
        return {}
    blobs = {
        entry.path: f"py:{entry.oid}"
        for entry in repo.ls_tree(tree_id, changed)
        if entry.path.endswith(".py") and entry.mode.startswith("100")
    }
    wanted = {
        root: [
            path
            for low, high in tree.below(root, found.components[root].nested)
            for path in tree.paths[low:high]
            if path in blobs
        ]
        for root in changed
    }
    facts = read(repo, list(dict.fromkeys(blobs[path] for each in wanted.values() for path in each)), cache)
    return {
        root: summarise({relative(path, root): facts[blobs[path]] for path in each}, inference.nested(root))
        for root, each in wanted.items()
    }
