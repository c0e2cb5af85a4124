"""``requirements*.txt`` as pip, pip-tools and uv write them: pinned, with hashes, one after the other.

https://pip.pypa.io/en/stable/reference/requirements-file-format/. The file does not say who needs what, so
all of it belongs to everybody who uses it. Comments, order and line breaks do not count; options do.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

from daybreak.change.locks.resolved import Lock, LockError, Node, fingerprint, normalised

_COMMENT = re.compile(r"(^|\s+)#.*$")
_HASH = re.compile(r"\s+--hash[=\s]\s*(\S+)")
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(.+)")
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?\s*(.*)")
_VERSION = re.compile(r"==\s*([^\s;,]+)")


def read(path: str, content: bytes, other: Callable[[str], bytes | None]) -> Lock:
    """Everything that ``path`` pins, with what it includes; :raises LockError: when that is missing."""
    nodes: dict[str, Node] = {}
    _read(path, content, other, nodes, {path})
    return Lock(nodes, None)


def _read(
    path: str,
    content: bytes,
    other: Callable[[str], bytes | None],
    nodes: dict[str, Node],
    seen: set[str],
) -> None:
    text = content.decode("utf-8-sig")
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        said = _COMMENT.sub("", line).strip()
        if not said:
            continue
        included = _INCLUDE.fullmatch(said)
        if included:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), included.group(1).strip()))
            if target not in seen:
                seen.add(target)
                more = other(target)
                if more is None:
                    raise LockError(f"it includes {target}, which is not there")
                _read(target, more, other, nodes, seen)
        elif said.startswith("-"):
            # An index or a source of wheels: it decides what the rest means.
            nodes[said] = Node(said, "", fingerprint("option", said))
        else:
            node = _requirement(said)
            nodes[node.print] = node


def _requirement(line: str) -> Node:
    hashes = sorted(_HASH.findall(line))
    said = " ".join(_HASH.sub("", line).split())
    found = _NAME.fullmatch(said)
    if not found:
        # A URL or a path.
        return Node(said, "", fingerprint(said, hashes))
    name = normalised(found.group(1))
    extras = sorted(normalised(each.strip()) for each in (found.group(2) or "").split(",") if each.strip())
    pinned = _VERSION.search(found.group(3))
    version = pinned.group(1) if pinned else found.group(3)
    return Node(name, version, fingerprint(name, extras, found.group(3), hashes))
