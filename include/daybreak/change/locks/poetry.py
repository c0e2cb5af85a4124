"""``poetry.lock``: TOML, a ``[[package]]`` for each distribution; its files there, or in the metadata."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from daybreak.change.locks.resolved import Lock, Node, fingerprint, normalised

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def read(content: bytes) -> Lock:
    """The graph of a ``poetry.lock``; raises ``ValueError`` for no TOML, ``KeyError`` for no lock."""
    data = tomllib.loads(content.decode())
    # Its one field that every version has had.
    older_files = data["metadata"].get("files", {})
    packages: list[Mapping[str, Any]] = data.get("package", [])
    places: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for package in packages:
        place = f"{package['name']} {package['version']} {fingerprint(package.get('source'))}"
        places.setdefault(normalised(package["name"]), []).append((place, package))
    nodes: dict[str, Node] = {}
    starts: dict[str, tuple[str, ...]] = {}
    for name, found in places.items():
        for place, package in found:
            needs = {
                normalised(other): each if isinstance(each, list) else [each]
                for other, each in package.get("dependencies", {}).items()
            }
            files = package.get("files") or older_files.get(package["name"], [])
            said = [
                name, package["version"], package.get("source"), package.get("python-versions"),
                sorted(str(file["hash"]) for file in files), package.get("markers"),
                sorted(fingerprint(other, each) for other, each in needs.items()),
            ]  # fmt: skip
            always = [other for other, each in needs.items() if not all(map(_optional, each))]
            nodes[place] = Node(
                name, package["version"], fingerprint(*said), _followed(always, needs, places)
            )
            starts[name] = (*starts.get(name, ()), place)
            for extra, wanted in package.get("extras", {}).items():
                names = [normalised(match.group()) for each in wanted if (match := _NAME.match(each))]
                key, label = f"{place}[{normalised(extra)}]", normalised(extra)
                nodes[key] = Node(
                    name,
                    package["version"],
                    fingerprint(*said, label),
                    (place, *_followed(names, needs, places)),
                )
                starts[f"{name}[{label}]"] = (*starts.get(f"{name}[{label}]", ()), key)
    return Lock(nodes, starts)


def _optional(need: Any) -> bool:
    return isinstance(need, Mapping) and bool(need.get("optional"))


def _followed(
    names: Iterable[str],
    needs: Mapping[str, list[Any]],
    places: Mapping[str, list[tuple[str, Mapping[str, Any]]]],
) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in names:
        for target, package in places.get(name, ()):
            found[target] = None
            for need in needs.get(name, ()):
                for extra in need.get("extras", []) if isinstance(need, Mapping) else ():
                    if extra in package.get("extras", {}):
                        found[f"{target}[{normalised(extra)}]"] = None
    return tuple(found)
