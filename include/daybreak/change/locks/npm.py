"""``package-lock.json``, versions 2 and 3: ``packages`` by folder, found as Node finds them: upwards.

https://docs.npmjs.com/cli/v11/configuring-npm/package-lock-json
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from daybreak.change.locks.resolved import Lock, LockError, Node, fingerprint

_NEEDS = ("dependencies", "optionalDependencies", "peerDependencies")

#: What follows from the rest of the file, or is there for people.
_BESIDE = frozenset(
    {"dev", "optional", "devOptional", "peer", "extraneous", "license", "funding", "deprecated"}
)


def read(content: bytes) -> Lock:
    """The graph of a ``package-lock.json``; raises :class:`LockError` for version 1 of the format."""
    data = json.loads(content)
    version = data["lockfileVersion"]
    if version not in (2, 3):
        raise LockError(
            f"lockfileVersion {version!r} is not known here; `npm install` with npm 7 or newer raises it"
        )
    packages: Mapping[str, Mapping[str, Any]] = data["packages"]
    nodes: dict[str, Node] = {}
    starts: dict[str, tuple[str, ...]] = {}
    for place, package in packages.items():
        if package.get("link"):
            nodes[place] = Node(
                _name(place), "", fingerprint("link", place, package["resolved"]), (package["resolved"],)
            )
        else:
            nodes[place] = _node(place, package, packages)
        for start in {place, _name(place), str(package.get("name", ""))} - {""}:
            if start in (place, package.get("name")) or place == f"node_modules/{start}":
                starts[start] = (*starts.get(start, ()), place)
    for place, node in nodes.items():
        for need in node.needs:
            if need not in nodes:
                raise LockError(f"packages[{place!r}] leads to {need!r}, which is not there")
    return Lock(nodes, starts)


def _node(place: str, package: Mapping[str, Any], packages: Mapping[str, Mapping[str, Any]]) -> Node:
    needs = [name for field in _NEEDS for name in package.get(field, {})]
    own = "node_modules" not in place.split("/")
    if own:
        needs += package.get("devDependencies", {})
    found = (_found(place, name, packages) for name in needs)
    said = {field: value for field, value in package.items() if field not in _BESIDE}
    version = str(package.get("version", ""))
    name = str(package.get("name") or _name(place))
    return Node(name, version, fingerprint(place, said), tuple(dict.fromkeys(each for each in found if each)))


def _found(place: str, name: str, packages: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Where Node finds ``name`` from ``place``; ``None`` for what was not installed (optional, peer)."""
    folder = place
    while True:
        candidate = f"{folder}/node_modules/{name}" if folder else f"node_modules/{name}"
        if candidate in packages:
            return candidate
        if not folder:
            return None
        folder = folder.rpartition("/")[0]
        # Within another package's node_modules nothing else is looked at.
        while folder.rpartition("/")[2] == "node_modules" or folder.rpartition("/")[2].startswith("@"):
            folder = folder.rpartition("/")[0]


def _name(place: str) -> str:
    return place.rpartition("node_modules/")[2]
