"""The catalog of a tree that differs from a known one in modules and plain files: the rows that are new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daybreak.catalog import merge
from daybreak.catalog.discovery.state import Difference, again
from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.links import with_targets
from daybreak.git.repository import Repository

if TYPE_CHECKING:
    from daybreak.catalog.cache import Cache
    from daybreak.catalog.loader import Loaded


def rows(
    repo: Repository,
    tree_id: str,
    catalog_path: str,
    state: Mapping[str, Any],
    difference: Difference,
    known: Loaded,
    cache: Cache,
) -> list[Any] | None:
    """Resources that are other than in ``known``, with all that is uncertain and all notes, as JSON.

    Nothing when all is the same; ``None`` when the tree has to be read from the start.

    :param state: what was found of the tree that has ``known``.
    :raises CatalogError: naming ``file:line`` and the field.
    """
    found = again(repo, tree_id, state, difference, cache)
    if found is None:
        return None
    old = known.catalog.resources
    kept: dict[str, CatalogResource] = {}
    if not (state["items"] or state["links"] or state["circular"]):
        kept = {each.root: each for each in old.values() if each.root not in found.touched}
    made = merge.combined(found.found, state["items"], found.tree, catalog_path, kept)
    resources = with_targets(made.resources, state["links"])
    if resources.keys() != old.keys():
        return None
    new = [each for name, each in sorted(resources.items()) if each is not old[name] and each != old[name]]
    unsure = [[each.resource, each.where, each.what] for each in made.unsure]
    notes = sorted([where, what] for where, what in found.found.notes)
    same = (
        not new
        and made.unsure == known.catalog.uncertain
        and notes == [[where, what] for where, what in known.notes]
    )
    return [] if same else [[each.to_json() for each in new], unsure, notes]
