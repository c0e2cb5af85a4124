"""Catalogs as files: kept in the store for each commit, and as ``graph.json`` for what draws the graph.

``graph.json`` is the small form that DAG files read at parse time, with the standard library alone. Its bytes
change only when the graph does or another commit is published, so that DAG versions do not inflate.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daybreak.catalog.graph import Catalog, sort_actions
from daybreak.store import Store

#: Version of `graph.json`.
GRAPH_SCHEMA = 1

CURRENT = "catalog/current.json"
GRAPH = "graph.json"


def publish(catalog: Catalog, store: Store, home: Path, pinned: Sequence[Catalog] = ()) -> None:
    """Make ``catalog`` the current one.

    :param pinned: catalogs of runs that are not finished: Airflow lets an unfinished run adopt a changed
        graph within seconds, so what they still need stays in it.

    Writes ``catalog/<commit>.json``, ``graph.json`` and, last, ``catalog/current.json`` to the store, and
    ``<home>/graph.json``. A file that already says the same is left alone.
    """
    keep(catalog, store)
    drawing = _dumps(graph(catalog, pinned))
    _put(store, GRAPH, drawing)
    _put(store, CURRENT, _dumps(catalog.to_json()))
    _write(home / GRAPH, drawing)


def keep(catalog: Catalog, store: Store) -> None:
    """Write ``catalog/<commit>.json`` alone: of a commit that some run needs, and that is not the current
    one.
    """
    _put(store, f"catalog/{catalog.commit}.json", _dumps(catalog.to_json()))


def refresh(store: Store, home: Path) -> None:
    """Bring ``<home>/graph.json`` of this machine up to what was published last."""
    _write(home / GRAPH, store.get(GRAPH))


def stored(store: Store, commit: str) -> Catalog:
    """The catalog that was published for ``commit``; raises :class:`daybreak.store.NotInStore`."""
    return Catalog.from_json(json.loads(store.get(f"catalog/{commit}.json")))


def current(store: Store) -> Catalog:
    """The catalog that was published last; raises :class:`daybreak.store.NotInStore`."""
    return Catalog.from_json(json.loads(store.get(CURRENT)))


def graph(catalog: Catalog, pinned: Sequence[Catalog] = ()) -> Mapping[str, Any]:
    """The form that DAG files read: resources in topological order, with edges and actions.

    Of a resource that only ``pinned`` catalogs have, the first one counts. The order stays one: what is there
    already never depends on what comes after it.
    """
    drawn: dict[str, Mapping[str, Any]] = {}
    for each in (catalog, *pinned):
        for name in each.order():
            resource = each[name]
            node = {
                "name": name,
                "type": resource.type.value,
                "dependencies": list(resource.dependencies),
                "actions": sort_actions(resource.actions),
                "has_tests": resource.has_tests,
            }
            drawn.setdefault(name, node)
    resources = list(drawn.values())
    return {
        "schema": GRAPH_SCHEMA,
        "commit": catalog.commit,
        "digest": catalog.digest,
        "resources": resources,
    }


def _put(store: Store, path: str, content: bytes) -> None:
    if not store.exists(path) or store.get(path) != content:
        store.put(path, content)


def _dumps(data: Any) -> bytes:
    return (json.dumps(data, indent=2, sort_keys=True) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    """Replace ``path`` in one step; leave it alone, and its time, when it says the same."""
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
