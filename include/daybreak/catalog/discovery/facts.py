"""The facts of one file: plain data, cached by blob id, made by the reader of its kind.

A fact never holds a path of the monorepo, only what the content says: the same blob may lie in many places.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

#: What one file says. ``{"error": [line, text]}`` when it cannot be read, ``{"big": bytes}`` above the limit.
Facts = dict[str, Any]

#: How sure an edge is to order things: a WEAK one (development, extras, tests, lazy imports) may close a
#: circle; it is then kept as files that the resource depends on.
STRONG, WEAK = 0, 1

#: A larger file is not read: no manifest and no module that somebody wrote is as large as this.
LIMIT_BYTES = 4 << 20

_NAMES = {
    "pyproject.toml": "pyproject",
    "setup.cfg": "setupcfg",
    "setup.py": "setuppy",
    "package.json": "node",
    "pnpm-workspace.yaml": "workspace",
    "lerna.json": "lerna",
    "daybreak.toml": "daybreak",
    "alembic.ini": "alembic",
    "Containerfile": "docker",
    "Dockerfile": "docker",
    ".dockerignore": "dockerignore",
    "template.json": "template",
}
_COMPOSE = re.compile(r"(?:docker-)?compose[\w.-]*\.ya?ml")
_REQUIREMENTS = re.compile(r"[\w.-]*requirements[\w.-]*\.(?:txt|in)")


class Malformed(Exception):
    """A file is not what its name says; ``line`` is where."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@lru_cache(maxsize=1 << 14)
def kind(name: str) -> str | None:
    """Which reader a file's name (without folders) calls for; ``None``: it is of no interest as a manifest.

    Python modules (``py``) are asked for by the component that they belong to.
    """
    found = _NAMES.get(name)
    if found is not None:
        return found
    # Most files are none of these: the ending tells at once.
    if name.endswith((".yaml", ".yml", ".template")):
        return "compose" if _COMPOSE.fullmatch(name) else "template"
    if name.endswith((".txt", ".in")):
        return "requirements" if _REQUIREMENTS.fullmatch(name) else None
    if name.startswith("Dockerfile.") or name.endswith((".Dockerfile", ".dockerfile")):
        return "docker"
    return "dockerignore" if name.endswith(".dockerignore") else None


def text(content: bytes) -> str:
    """UTF-8 with or without a byte order mark."""
    return content.decode("utf-8-sig")


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
