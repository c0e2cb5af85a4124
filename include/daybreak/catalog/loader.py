"""From a commit to its catalog: what is discovered in its tree, with ``resources.py`` on top.

The answer depends on the tree alone, so it is kept by the tree's id: an unchanged tree is one read. A tree in
which nothing differs that a catalog is made of has the same one (:mod:`daybreak.catalog.neighbour`).
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from daybreak.catalog import neighbour
from daybreak.catalog.cache import Cache, folder
from daybreak.catalog.graph import Catalog
from daybreak.errors import CatalogError, UsageError
from daybreak.git.repository import Repository

if TYPE_CHECKING:
    from daybreak.catalog.discovery import Found, Tree
    from daybreak.catalog.graph import CatalogResource, Uncertain

#: Where a monorepo declares its resources unless the settings say otherwise.
DEFAULT_PATH = "resources.py"

_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

#: How long that file may take.
TIME_LIMIT_SECONDS = 20.0


@dataclass(frozen=True)
class Loaded:
    """A catalog, and what a person should know about how it came to be.

    :param notes: ``(where, what)``: things that were seen and left alone.
    """

    catalog: Catalog
    notes: tuple[tuple[str, str], ...]


def load(
    repo: Repository,
    commit: str,
    catalog_path: str = DEFAULT_PATH,
    *,
    time_limit: float = TIME_LIMIT_SECONDS,
) -> Catalog:
    """The catalog of ``commit``: see :func:`inspect`."""
    return inspect(repo, commit, catalog_path, time_limit=time_limit).catalog


def inspect(
    repo: Repository,
    commit: str,
    catalog_path: str = DEFAULT_PATH,
    *,
    time_limit: float = TIME_LIMIT_SECONDS,
) -> Loaded:
    """The catalog of ``commit``, discovered from its files, with what ``catalog_path`` declares on top.

    That file is the team's code: it runs in another process, with an empty environment and an empty folder,
    for at most ``time_limit`` seconds, and hands over data. Resources may depend in circles; what needs an
    order raises :class:`daybreak.errors.CycleError`.

    :raises CatalogError: naming ``file:line`` and the field, or when there is nothing to build a catalog of.
    :raises UsageError: when ``commit`` is none.
    """
    if not _FULL_ID.fullmatch(commit):
        commit = repo.rev_parse(commit)
    with _no_collections():
        return _inspected(repo, commit, catalog_path, time_limit)


def _inspected(repo: Repository, commit: str, catalog_path: str, time_limit: float) -> Loaded:
    tree_id = repo.tree_id(commit)
    cache = Cache(folder())
    try:
        kept = _kept(cache, tree_id, catalog_path)
        loaded = kept[1] if kept else _like_another(repo, tree_id, catalog_path, cache)
        if loaded is None:
            known, found = _computed(repo, commit, catalog_path, time_limit, cache)
            # Without the commit: what two commits have in common is one text, and is read once.
            text = _dumps({**known, "commit": ""})
            cache.put_texts({_key(tree_id, catalog_path): text})
            neighbour.remember(repo, tree_id, catalog_path, found.lists, cache, state=_dumps(found.state))
            loaded = _read(text)
    finally:
        cache.close()
    return Loaded(loaded.catalog.at(commit), loaded.notes)


def _dumps(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))


def _key(tree_id: str, catalog_path: str) -> str:
    return f"catalog:{tree_id}:{catalog_path}"


def _kept(cache: Cache, tree_id: str, catalog_path: str) -> tuple[str, Loaded] | None:
    """The catalog of a tree, and under whose id it is kept.

    A tree with the catalog of another only names that one, or says also what is different.
    """
    text = cache.text(_key(tree_id, catalog_path))
    if text is None:
        return None
    if text.startswith("{"):
        return tree_id, _read(text)
    said = json.loads(text)
    origin = _kept(cache, said if isinstance(said, str) else said[0], catalog_path)
    if origin is None or isinstance(said, str):
        return origin
    return tree_id, _with_rows(origin[1], *said[1:])


def _with_rows(origin: Loaded, rows: Any, unsure: Any, notes: Any) -> Loaded:
    """A catalog that differs from another in some resources."""
    from daybreak.catalog.graph import CatalogResource, Uncertain

    catalog, new = origin.catalog, [CatalogResource.from_json(row) for row in rows]
    resources = {**catalog.resources, **{each.name: each for each in new}} if new else catalog.resources
    uncertain = tuple(Uncertain(*each) for each in unsure)
    catalog = Catalog(catalog.commit, resources, uncertain, catalog.rules)
    return Loaded(catalog, tuple((where, what) for where, what in notes))


def _like_another(repo: Repository, tree_id: str, catalog_path: str, cache: Cache) -> Loaded | None:
    """The catalog of a tree that was read lately, if it is that of this tree, too, or nearly."""
    near = []
    for known, lists, whole, difference in neighbour.differences(repo, tree_id, catalog_path, cache):
        if not difference and (kept := _kept(cache, known, catalog_path)):
            cache.put({_key(tree_id, catalog_path): kept[0]})
            neighbour.remember(repo, tree_id, catalog_path, lists, cache)
            return kept[1]
        if whole:
            near.append((known, difference))
    for known, difference in near:
        state, kept = cache.get(neighbour.state_key(known, catalog_path)), _kept(cache, known, catalog_path)
        if state and kept:
            from daybreak.catalog.nearly import rows

            said = rows(repo, tree_id, catalog_path, state, difference, kept[1], cache)
            if said is not None:
                cache.put({_key(tree_id, catalog_path): [known, *said] if said else known})
                return _with_rows(kept[1], *said) if said else kept[1]
    return None


@contextmanager
def _no_collections() -> Iterator[None]:
    """Hundreds of thousands of objects are made, hardly one is garbage: looking costs a quarter of it."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@lru_cache(maxsize=4)
def _read(text: str) -> Loaded:
    known = json.loads(text)
    return Loaded(Catalog.from_json(known), tuple((where, what) for where, what in known["notes"]))


def declared_alone(
    repo: Repository,
    commit: str,
    catalog_path: str = DEFAULT_PATH,
    *,
    time_limit: float = TIME_LIMIT_SECONDS,
) -> Catalog | None:
    """What ``catalog_path`` says by itself, nothing discovered; ``None`` when the commit has no such file.

    :raises CatalogError: naming ``file:line`` and the field.
    """
    from daybreak.catalog import declared, merge
    from daybreak.catalog.discovery import Found, Tree

    commit = repo.rev_parse(commit)
    tree = Tree(repo.listing(commit))
    if catalog_path not in tree:
        return None
    items = declared.evaluate(_content(repo, commit, catalog_path), catalog_path, time_limit)
    made = merge.combined(Found({}), items, tree, catalog_path)
    return _whole(repo, commit, tree, made.resources, made.unsure)


def _computed(
    repo: Repository, commit: str, catalog_path: str, time_limit: float, cache: Cache
) -> tuple[Mapping[str, Any], Found]:
    # With the answer in the cache nothing of this is imported.
    from daybreak.catalog import merge
    from daybreak.catalog.discovery import Tree, discover

    tree = Tree(repo.listing(commit))
    items: list[dict[str, Any]] = []
    if catalog_path in tree:
        items = _declared(repo, commit, tree.oid(catalog_path), catalog_path, time_limit, cache)
    elif catalog_path != DEFAULT_PATH:
        raise CatalogError(_nothing(catalog_path, commit))
    found = discover(repo, tree, cache, [catalog_path])
    if catalog_path not in tree and not found.components:
        raise CatalogError(_nothing(catalog_path, commit))
    made = merge.combined(found, items, tree, catalog_path)
    found.state |= {"items": items, "circular": made.circular}
    catalog = _whole(repo, commit, tree, made.resources, made.unsure)
    return {**catalog.content(), "notes": sorted(found.notes)}, found


def _whole(
    repo: Repository,
    commit: str,
    tree: Tree,
    resources: Mapping[str, CatalogResource],
    unsure: tuple[Uncertain, ...],
) -> Catalog:
    """With what symbolic links lead to, and the rules for the whole monorepo."""
    from daybreak.catalog.links import with_targets
    from daybreak.catalog.rules import PLACE, Rules
    from daybreak.catalog.rules import read as read_rules

    rules = read_rules(_content(repo, commit, PLACE)) if PLACE in tree else Rules()
    return Catalog(commit, with_targets(resources, tree.targets(repo)), unsure, rules)


def _content(repo: Repository, commit: str, path: str) -> bytes:
    from daybreak.catalog.discovery.facts import LIMIT_BYTES

    try:
        return repo.read(commit, path, LIMIT_BYTES)
    except UsageError as error:
        raise CatalogError(f"{error}. It must only declare resources and rules.") from None


def _declared(
    repo: Repository, commit: str, oid: str, catalog_path: str, time_limit: float, cache: Cache
) -> list[dict[str, Any]]:
    """What the file declares; the same file says the same again."""
    from daybreak.catalog import declared

    key = f"declared:{oid}:{catalog_path}"
    found = cache.get(key)
    if found is None:
        found = declared.evaluate(_content(repo, commit, catalog_path), catalog_path, time_limit)
        cache.put({key: found})
    items: list[dict[str, Any]] = found
    return items


def _nothing(catalog_path: str, commit: str) -> str:
    return (
        f"{catalog_path} does not exist at commit {commit[:12]}, and nothing else says what there is. "
        f"Declare your resources there (docs/discovery.md), or set monorepo.catalog to where they are."
    )
