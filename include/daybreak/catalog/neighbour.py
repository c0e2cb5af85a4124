"""Most commits change little that a catalog is made of: what was found of a tree lately still holds.

A catalog follows from which paths there are, from the facts of manifests and modules, from what symbolic
links say and from two files of the monorepo. Where a tree differs from a known one in the content of regular
files alone, and every fact of these is the same (lines included), the catalogs are the same, byte for byte.
Where other modules and plain files are all that differs, only what they can mean is looked at again
(:mod:`daybreak.catalog.discovery.state`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from daybreak.catalog.cache import Cache
from daybreak.catalog.rules import PLACE
from daybreak.git.command import GitError
from daybreak.git.repository import SUBMODULE, Change, Repository

if TYPE_CHECKING:
    from daybreak.catalog.discovery.state import Difference

#: How many trees of a repository are remembered: a branch, its base, and those of somebody else.
_MOST_TREES = 4

#: And how many of them with all that was found: ten bytes for each of theirs in paths.
_MOST_STATES = 2

#: With more changes than this the tree is read as if nothing were known.
_MOST_CHANGES = 500


def remember(
    repo: Repository, tree: str, catalog_path: str, lists: Sequence[str], cache: Cache, *, state: str = ""
) -> None:
    """Let later trees be compared with this one, whose catalog has just been kept.

    :param lists: requirements files of it that only a manifest says are such.
    :param state: all that was found of it, as JSON, if it was read.
    """
    if repo.objects is not None:
        # What is not committed is gone a moment later.
        return
    key = _key(repo, catalog_path)
    others = [each for each in cache.get(key) or () if each[0] != tree]
    known = [[tree, list(lists), bool(state)], *others]
    whole = [each for each in known if each[2]]
    kept = [each for at, each in enumerate(known) if at < _MOST_TREES or each in whole[:_MOST_STATES]]
    for each in whole[_MOST_STATES:]:
        each[2] = False
        cache.drop(state_key(each[0], catalog_path))
    cache.put({key: kept})
    if state:
        cache.put_texts({state_key(tree, catalog_path): state})


def state_key(tree: str, catalog_path: str) -> str:
    """Under which key all that was found of a tree is kept."""
    return f"state:{tree}:{catalog_path}"


def differences(
    repo: Repository, tree: str, catalog_path: str, cache: Cache
) -> Iterator[tuple[str, Sequence[str], bool, Difference]]:
    """Trees that were read lately, the latest first, from which ``tree`` differs in little.

    Of each its id, its lists, whether all that was found of it is kept, and what differs.
    """
    for known, lists, whole in cache.get(_key(repo, catalog_path)) or ():
        if known == tree:
            continue
        try:
            changes = repo.diff_raw(known, tree)
            found = _difference(repo, changes, {catalog_path, PLACE}, lists, cache)
        except GitError:
            # The tree, or a blob of it, was taken away, as a rebase and a pruning do.
            continue
        if found is not None:
            yield known, lists, whole, found


def _key(repo: Repository, catalog_path: str) -> str:
    return f"trees:{catalog_path}:{os.path.realpath(repo.path)}"


def _difference(
    repo: Repository,
    changes: Sequence[Change],
    special: Collection[str],
    lists: Collection[str],
    cache: Cache,
) -> Difference | None:
    """What differs, if it is nothing but modules and plain files.

    :param special: files whose every byte may count.
    """
    from daybreak.catalog.discovery.state import Difference, is_plain

    if len(changes) > _MOST_CHANGES:
        return None
    pairs: list[tuple[str, str, str]] = []
    moved: dict[str, list[str]] = {"A": [], "D": []}
    for change in changes:
        modes = (change.old_mode, change.new_mode)
        if change.path in special:
            return None
        if change.status in moved:
            mode = modes[change.status == "A"]
            if not mode.startswith("100") or not is_plain(change.path) or change.path in lists:
                return None
            moved[change.status].append(change.path)
            continue
        if modes == (SUBMODULE, SUBMODULE):
            # Nobody looks into one.
            continue
        if change.status != "M" or not all(mode.startswith("100") for mode in modes):
            return None
        pairs += [
            (change.path, f"{kind}:{change.old_oid}", f"{kind}:{change.new_oid}")
            for kind in _kinds(change.path, lists)
        ]
    modules: list[str] = []
    if pairs:
        from daybreak.catalog.discovery.reader import read

        facts = read(repo, list(dict.fromkeys(key for _, *both in pairs for key in both)), cache)
        for path, old, new in pairs:
            if facts[old] == facts[new]:
                continue
            if not old.startswith("py:"):
                return None
            modules.append(path)
    return Difference(tuple(modules), tuple(moved["A"]), tuple(moved["D"]))


def _kinds(path: str, lists: Collection[str]) -> Iterator[str]:
    """As what a file may have been read."""
    from daybreak.catalog.discovery.facts import kind

    if found := kind(path.rpartition("/")[2]):
        yield found
    if path.endswith(".py"):
        yield "py"
    if path in lists:
        yield "requirements"
