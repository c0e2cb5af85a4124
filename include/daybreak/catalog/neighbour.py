"""Most commits change nothing that a catalog is made of: a tree that was read lately has the same one.

A catalog follows from which paths there are, from the facts of manifests and modules, from what symbolic
links say and from two files of the monorepo. Where a tree differs from a known one in the content of regular
files alone, and every fact of these is the same (lines included), the catalogs are the same, byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap

from daybreak.catalog.cache import Cache
from daybreak.catalog.rules import PLACE
from daybreak.git.command import GitError
from daybreak.git.repository import SUBMODULE, Change, Repository

#: How many trees of a repository are remembered: a branch, its base, and those of somebody else.
_MOST_TREES = 4

#: With more changes than this the tree is read as if nothing were known.
_MOST_CHANGES = 500


@dataclass(frozen=True)
class Known:
    """A tree whose catalog is kept.

    :param lists: requirements files of it that only a manifest says are such.
    """

    tree: str
    lists: Sequence[str]


def remember(repo: Repository, tree: str, catalog_path: str, lists: Sequence[str], cache: Cache) -> None:
    """Let later trees be compared with this one, whose catalog has just been kept."""
    if repo.objects is None:
        # What is not committed is gone a moment later.
        key = _key(repo, catalog_path)
        others = [each for each in cache.get(key) or () if each[0] != tree]
        cache.put({key: [[tree, list(lists)], *others][:_MOST_TREES]})


def like(repo: Repository, tree: str, catalog_path: str, cache: Cache) -> Iterator[Known]:
    """Trees that were read lately and have the same catalog as ``tree``, the latest first."""
    for known in starmap(Known, cache.get(_key(repo, catalog_path)) or ()):
        if known.tree == tree:
            continue
        try:
            changes = repo.diff_raw(known.tree, tree)
            same = _the_same(repo, changes, {catalog_path, PLACE}, known.lists, cache)
        except GitError:
            # The tree, or a blob of it, was taken away, as a rebase and a pruning do.
            continue
        if same:
            yield known


def _key(repo: Repository, catalog_path: str) -> str:
    return f"trees:{catalog_path}:{os.path.realpath(repo.path)}"


def _the_same(
    repo: Repository,
    changes: Sequence[Change],
    special: Collection[str],
    lists: Collection[str],
    cache: Cache,
) -> bool:
    """Whether nothing differs of which a catalog could be made.

    :param special: files whose every byte may count.
    """
    if len(changes) > _MOST_CHANGES:
        return False
    pairs: list[tuple[str, str]] = []
    for change in changes:
        modes = (change.old_mode, change.new_mode)
        if change.status != "M" or change.path in special:
            return False
        if modes == (SUBMODULE, SUBMODULE):
            # Nobody looks into one.
            continue
        if not all(mode.startswith("100") for mode in modes):
            return False
        pairs += [
            (f"{kind}:{change.old_oid}", f"{kind}:{change.new_oid}") for kind in _kinds(change.path, lists)
        ]
    if not pairs:
        return True
    from daybreak.catalog.discovery.reader import read

    facts = read(repo, list(dict.fromkeys(key for pair in pairs for key in pair)), cache)
    return all(facts[old] == facts[new] for old, new in pairs)


def _kinds(path: str, lists: Collection[str]) -> Iterator[str]:
    """As what a file may have been read."""
    from daybreak.catalog.discovery.facts import kind

    if found := kind(path.rpartition("/")[2]):
        yield found
    if path.endswith(".py"):
        yield "py"
    if path in lists:
        yield "requirements"
