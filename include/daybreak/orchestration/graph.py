"""``$DAYBREAK_HOME/graph.json`` → Airflow task groups, one for each resource, edges as in the catalog.

Read at every parse, in every task process: the standard library alone, unless a store is named, which other
machines publish to.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.sdk import TaskGroup

log = logging.getLogger(__name__)

#: Seconds that parsing a DAG file waits for the store; Airflow gives up after 30.
_PATIENCE = 5.0


@dataclass(frozen=True)
class Node:
    """A resource as the graph shows it."""

    name: str
    type: str
    dependencies: tuple[str, ...]
    actions: tuple[str, ...]
    has_tests: bool


def read(home: Path | None = None) -> tuple[Node, ...]:
    """The published graph, dependencies first; empty before the first publication.

    Where the settings name a store, another machine may have published it: a task that does not know what the
    scheduler knows would fail. A store that is away leaves what was read last.
    """
    home = home or Path(os.environ.get("DAYBREAK_HOME", ".daybreak"))
    _follow(home)
    path = home / "graph.json"
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return ()
    return tuple(
        Node(
            each["name"], each["type"], tuple(each["dependencies"]), tuple(each["actions"]), each["has_tests"]
        )
        for each in data["resources"]
    )


def _follow(home: Path) -> None:
    from daybreak.settings import load

    url = load().store
    if not url:
        return
    from daybreak.catalog.snapshot import refresh
    from daybreak.store import NotInStore, Store, StoreError

    try:
        refresh(Store(url, patience=_PATIENCE), home)
    except NotInStore:
        pass
    except StoreError as error:
        log.warning("the graph is the one that this machine knows: %s", error)


def resource_groups(nodes: tuple[Node, ...], steps: Callable[[Node], Any]) -> Mapping[str, TaskGroup]:
    """One group for each resource that is built, filled by ``steps``; it waits for what it depends on."""
    groups: dict[str, TaskGroup] = {}
    for node in nodes:
        if "build" not in node.actions:
            continue
        with TaskGroup(group_id=node.name, tooltip=node.type) as group:
            steps(node)
        groups[node.name] = group
        for dependency in node.dependencies:
            if dependency in groups:
                groups[dependency] >> group
    return groups
