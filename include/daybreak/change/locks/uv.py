"""``uv.lock``: TOML, a ``[[package]]`` for each distribution, forks by version and marker.

https://docs.astral.sh/uv/concepts/projects/layout/#the-lockfile; read as uv writes versions 1 of the format
(revisions 0 to 3 differ in what is beside a closure).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from daybreak.change.locks.resolved import Lock, LockError, Node, fingerprint, normalised

#: Sources of what is developed in the repository itself.
_OWN = frozenset({"editable", "virtual", "directory"})


def read(content: bytes) -> Lock:
    """The graph of a ``uv.lock``; raises :class:`LockError` for another version of the format."""
    data = tomllib.loads(content.decode())
    if data.get("version") != 1:
        raise LockError(f"version {data.get('version')!r} of uv.lock is not known here, only 1")
    packages: list[Mapping[str, Any]] = data.get("package", [])
    places: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for package in packages:
        place = f"{package['name']} {package.get('version', '')} {fingerprint(package.get('source'))}"
        places.setdefault(normalised(package["name"]), []).append((place, package))
    nodes: dict[str, Node] = {}
    starts: dict[str, tuple[str, ...]] = {}
    for name, found in places.items():
        for place, package in found:
            own = not _OWN.isdisjoint(package.get("source", {}))
            extras = package.get("optional-dependencies", {})
            groups = package.get("dev-dependencies", {})
            _add(nodes, starts, name, place, package, package.get("dependencies", []), places, "")
            for extra, needs in extras.items():
                _add(nodes, starts, name, place, package, needs, places, normalised(extra))
            for group, needs in groups.items():
                _add(nodes, starts, name, place, package, needs, places, f"group:{group}")
            if own:
                # A member of the workspace is tested with all its extras and groups.
                mine = [f"{place}[{normalised(extra)}]" for extra in extras]
                mine += [f"{place}[group:{group}]" for group in groups]
                starts[name] = (*starts[name], *mine)
    return Lock(nodes, starts)


def _add(
    nodes: dict[str, Node],
    starts: dict[str, tuple[str, ...]],
    name: str,
    place: str,
    package: Mapping[str, Any],
    needs: list[Mapping[str, Any]],
    places: Mapping[str, list[tuple[str, Mapping[str, Any]]]],
    extra: str,
) -> None:
    version = str(package.get("version", ""))
    followed: list[str] = [place] if extra else []
    for need in needs:
        for target, other in places.get(normalised(need["name"]), ()):
            if "version" in need and need["version"] != other.get("version"):
                continue
            if "source" in need and need["source"] != other.get("source"):
                continue
            followed.append(target)
            for wanted in need.get("extra", []):
                if wanted in other.get("optional-dependencies", {}):
                    followed.append(f"{target}[{normalised(wanted)}]")
    key = f"{place}[{extra}]" if extra else place
    files = [package["sdist"]] if "sdist" in package else []
    files += package.get("wheels", [])
    said = fingerprint(
        name,
        extra,
        version,
        package.get("source"),
        sorted(str(file.get("hash") or file.get("url") or file.get("path")) for file in files),
        sorted(package.get("resolution-markers", [])),
        sorted(fingerprint(need) for need in needs),
    )
    nodes[key] = Node(name, version, said, tuple(dict.fromkeys(followed)))
    start = f"{name}[{extra}]" if extra else name
    starts[start] = (*starts.get(start, ()), key)
