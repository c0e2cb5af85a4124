"""``$DAYBREAK_HOME/graph.json`` → Airflow task groups, one for each resource, edges as in the catalog.

Read at every parse, in every task process: the standard library alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.sdk import TaskGroup


@dataclass(frozen=True)
class Node:
    """A resource as the graph shows it."""

    name: str
    type: str
    dependencies: tuple[str, ...]
    actions: tuple[str, ...]
    has_tests: bool


def read(home: Path | None = None) -> tuple[Node, ...]:
    """The published graph, dependencies first; empty before the first publication."""
    path = (home or Path(os.environ.get("DAYBREAK_HOME", ".daybreak"))) / "graph.json"
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
