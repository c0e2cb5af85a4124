"""A lock as a graph of what was resolved, whatever file it was written in."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daybreak.catalog.graph import reach
from daybreak.errors import DaybreakError

_ROOT = re.compile(r"\s*([^\[\]\s]+)\s*(?:\[([^\]]*)\])?\s*")

#: More names than this are a list that nobody reads.
_MOST_SHOWN = 3


class LockError(DaybreakError):
    """A lock file that cannot be read; the message says what is wrong with it."""

    code = "lock"


@dataclass(frozen=True)
class Node:
    """One resolved distribution, or one extra of it.

    :param print: everything about it that makes it another installation when it differs, as JSON.
    :param needs: names of the nodes that come with it.
    """

    name: str
    version: str
    print: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Closure:
    """What a resource gets from a lock: nodes by their names in the graph, and a digest of all."""

    nodes: Mapping[str, Node]

    @property
    def digest(self) -> str:
        """SHA-256 (hex), the same for the same distributions."""
        prints = sorted(node.print for node in self.nodes.values())
        return hashlib.sha256("\n".join(prints).encode(errors="surrogateescape")).hexdigest()


@dataclass(frozen=True)
class Lock:
    """The graph, and where a name begins in it.

    :param starts: nodes by the name of a distribution, ``name[extra]`` for those of an extra; ``None`` when
        the file does not say who needs what: then everything is everybody's.
    """

    nodes: Mapping[str, Node]
    starts: Mapping[str, tuple[str, ...]] | None

    def closure(self, roots: Sequence[str]) -> Closure:
        """What is reached from ``roots`` (``name`` or ``name[extra,extra]``); everything without any.

        A root that the lock does not have is in the closure as missing: that it came or went is a change.
        """
        if not roots or self.starts is None:
            return Closure(self.nodes)
        first: list[str] = []
        missing: dict[str, Node] = {}
        for root in roots:
            found = [start for each in _names(root) for start in self.starts.get(each, ())]
            first.extend(found)
            if not found:
                missing[f"missing {root}"] = Node(root, "", fingerprint("missing", root))
        reached = reach(first, lambda node: self.nodes[node].needs)
        return Closure({name: self.nodes[name] for name in reached} | missing)


def difference(old: Closure, new: Closure) -> str:
    """What differs, for people: ``requests 2.31.0 -> 2.32.3, idna removed``."""
    before, after = _versions(old), _versions(new)
    said = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None:
            said.append(f"{name} {_plain(now)} added".replace("  ", " "))
        elif now is None:
            said.append(f"{name} removed")
        elif was != now:
            one, other = _plain(was), _plain(now)
            said.append(f"{name} {one} -> {other}" if one != other else f"{name} {one} from other files")
    if len(said) > _MOST_SHOWN:
        said[_MOST_SHOWN:] = [f"and {len(said) - _MOST_SHOWN} more"]
    return ", ".join(said)


def _versions(closure: Closure) -> dict[str, frozenset[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for node in closure.nodes.values():
        found.setdefault(node.name, set()).add((node.version, node.print))
    return {name: frozenset(each) for name, each in found.items()}


def _plain(versions: Iterable[tuple[str, str]] | None) -> str:
    return "/".join(sorted({version for version, _ in versions or () if version}))


def normalised(name: str) -> str:
    """A distribution's name as Python's indexes compare it (PEP 503); a path or a scoped name stays."""
    return name if "/" in name else re.sub(r"[-_.]+", "-", name).lower()


def fingerprint(*parts: Any) -> str:
    """Plain data as JSON, the same for the same data."""
    return json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)


def _names(root: str) -> list[str]:
    found = _ROOT.fullmatch(root)
    if not found:
        return [root]
    name = normalised(found.group(1))
    extras = [normalised(each.strip()) for each in (found.group(2) or "").split(",") if each.strip()]
    return [name, *(f"{name}[{extra}]" for extra in extras)]
