"""Changes that select nothing by themselves: ``ignore``, with what it can never mean.

A manifest, a lock, a Dockerfile, and a file that one of them names, are inputs, whatever a pattern says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from daybreak.catalog.graph import Catalog
from daybreak.catalog.rules import PLACE
from daybreak.git.repository import Repository

_MANIFESTS = (
    "pyproject.toml", "setup.py", "setup.cfg", "MANIFEST.in", "package.json", "pnpm-workspace.yaml",
    ".dockerignore", "Dockerfile", "Dockerfile.*", "*.Dockerfile", "*.dockerfile", "Containerfile",
    "template.yaml", "template.yml", "template.json", "samconfig.toml", "alembic.ini", "daybreak.toml",
    "resources.py",
)  # fmt: skip

_LOCKS = (
    "requirements*.txt", "*requirements.txt", "requirements*.in", "constraints*.txt", "*.lock",
    "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml",
)  # fmt: skip

_DOCKERFILES = ("Dockerfile", "Dockerfile.*", "*.Dockerfile", "*.dockerfile", "Containerfile")


#: A larger manifest is not read; no manifest that somebody wrote is as large as this.
_LIMIT_BYTES = 4 << 20


def ignored(
    repo: Repository, base: str, before: Catalog, head: Catalog, paths: Iterable[str], warnings: list[str]
) -> frozenset[str]:
    """Those of ``paths`` that both commits ignore and that no manifest above them names in either.

    A manifest that is too large to be read may name anything: nothing beside or below it is ignored, and
    ``warnings`` gets a line about it.
    """
    candidates = {
        path
        for path in paths
        if before.rules.ignores(path) and head.rules.ignores(path) and not is_manifest(path)
    }
    if not candidates:
        return frozenset()
    folders = sorted({folder for path in candidates for folder in _above(path)})
    named: set[str] = set()
    for commit in (base, head.commit):
        manifests = [entry for entry in repo.ls_folders(commit, folders) if _is(entry.path, _MANIFESTS)]
        oids = list(dict.fromkeys(entry.oid for entry in manifests if entry.type == "blob"))
        blobs = {oid: (size, content) for oid, size, content in repo.blobs(oids, _LIMIT_BYTES)}
        by_folder: dict[str, list[tuple[str, bytes | None]]] = {}
        for entry in manifests:
            size, content = blobs.get(entry.oid, (0, b""))
            folder, _, name = entry.path.rpartition("/")
            by_folder.setdefault(folder, []).append((name, content))
            what = (
                f"{entry.path}: {size:,} bytes are too much for a manifest; what it may name is not ignored"
            )
            if content is None and what not in warnings:
                warnings.append(what)
        for path in candidates - named:
            if any(
                _names(name, content, path[len(folder) + 1 if folder else 0 :])
                for folder in _above(path)
                for name, content in by_folder.get(folder, ())
            ):
                named.add(path)
    return frozenset(candidates - named)


def is_manifest(path: str) -> bool:
    """Whether ``path`` is a manifest or a lock, which nobody can ignore."""
    return path == PLACE or _is(path, _MANIFESTS) or _is(path, _LOCKS)


def _is(path: str, names: Sequence[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) for pattern in names)


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(len(parts) + 1)]


def _names(manifest: str, content: bytes | None, path: str) -> bool:
    """Whether a manifest has the path in it, seen from its folder, or the bare name, as a word of its own.

    What a Dockerfile copies it also names by the folder that it is in. What was not read may name anything.
    """
    if content is None:
        return True
    words = {path, path.rpartition("/")[2]}
    if _is(manifest, _DOCKERFILES):
        words.update(each for each in _above(path) if each)
    text = content.decode(errors="surrogateescape")
    return any(re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text) for word in words)
