"""What Node manifests say: ``package.json``, ``pnpm-workspace.yaml``, ``lerna.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from daybreak.catalog.discovery.facts import STRONG, WEAK, Facts, Malformed, text
from daybreak.catalog.discovery.lines import Lines

_GROUPS = {
    "dependencies": STRONG,
    "peerDependencies": WEAK,
    "optionalDependencies": STRONG,
    "devDependencies": WEAK,
}

#: Protocols of a version that mean a folder, in npm, pnpm or Yarn.
_PATHS = ("file:", "link:", "portal:")


def package(content: bytes) -> Facts:
    """Facts of a ``package.json``."""
    data, lines = _load(content)
    name = data.get("name")
    facts: Facts = {"name": name if isinstance(name, str) else None, "requires": [], "paths": [], "third": []}
    workspaces = data.get("workspaces")
    if isinstance(workspaces, dict):
        workspaces = workspaces.get("packages")
    if isinstance(workspaces, list):
        facts["workspace"] = [each for each in workspaces if isinstance(each, str)]
    for group, strength in _GROUPS.items():
        table = data.get(group)
        if not isinstance(table, dict) or not table:
            continue
        start = lines.of(group)
        for wanted, version in table.items():
            place = lines.of(wanted, start)
            said = version if isinstance(version, str) else ""
            if said.startswith("catalog:"):
                facts.setdefault("catalog", place)
            if said.startswith(_PATHS):
                facts["paths"].append([said.partition(":")[2], place, strength])
            if said.startswith(("npm:", "workspace:")) and "@" in said[5:]:
                # An alias: `"old": "npm:@acme/new@1"`.
                wanted = said.partition(":")[2].rpartition("@")[0] or wanted
            facts["requires"].append([wanted, place, strength])
    for path in _outside(data):
        facts["paths"].append([path, lines.of(path), WEAK])
    return facts


def lerna(content: bytes) -> Facts:
    """Facts of a ``lerna.json``."""
    data, _ = _load(content)
    packages = data.get("packages")
    return (
        {"workspace": [each for each in packages if isinstance(each, str)]}
        if isinstance(packages, list)
        else {}
    )


def workspace(content: bytes) -> Facts:
    """Facts of a ``pnpm-workspace.yaml``."""
    import yaml

    try:
        data = yaml.load(text(content), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise Malformed(
            mark.line + 1 if mark else 1, f"not YAML: {getattr(error, 'problem', error)}"
        ) from None
    packages = data.get("packages") if isinstance(data, dict) else None
    return (
        {"workspace": [each for each in packages if isinstance(each, str)]}
        if isinstance(packages, list)
        else {}
    )


READERS: Mapping[str, Callable[[bytes], Facts]] = {"node": package, "lerna": lerna, "workspace": workspace}


def _load(content: bytes) -> tuple[dict[str, Any], Lines]:
    said = text(content)
    try:
        data = json.loads(said)
    except json.JSONDecodeError as error:
        raise Malformed(error.lineno, f"not JSON: {error.msg}") from None
    if not isinstance(data, dict):
        raise Malformed(1, "not a JSON object")
    return data, Lines(said)


def _outside(data: Any) -> Iterator[str]:
    """Every text that is a path out of the package's own folder."""
    if isinstance(data, dict):
        for value in data.values():
            yield from _outside(value)
    elif isinstance(data, list):
        for value in data:
            yield from _outside(value)
    elif isinstance(data, str) and data.startswith("../"):
        yield data
