"""Changes that select nothing by themselves: ``ignore``, with what it can never mean.

A manifest, a lock, a Dockerfile, and a file that one of them names, are inputs, whatever a pattern says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import combinations

from daybreak.catalog.graph import Catalog
from daybreak.catalog.owners import Owners
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

#: In a path that a Dockerfile copies: what may stand for any name.
_OPEN = frozenset("*?[$\\")

#: A larger manifest is not read; no manifest that somebody wrote is as large as this.
_LIMIT_BYTES = 4 << 20


def ignored(
    repo: Repository, base: str, before: Catalog, head: Catalog, paths: Iterable[str], warnings: list[str]
) -> frozenset[str]:
    """Those of ``paths`` that both commits ignore and that no manifest names in either.

    Asked are the manifests above a path, the Dockerfiles of the resources that have it, and all manifests of
    those among them that lie elsewhere.
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
    for commit, catalog in ((base, before), (head.commit, head)):
        takers = _takers(catalog, candidates)
        listed = repo.ls_folders(commit, folders)
        if roots := sorted({root for each in takers.values() for root in each}):
            listed += repo.ls_tree(commit, () if "" in roots else roots)
        manifests = list({entry.path: entry for entry in listed if _is(entry.path, _MANIFESTS)}.values())
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
            above = _above(path)
            if any(
                _names(name, content, path[len(folder) + 1 if folder else 0 :])
                for folder in above
                for name, content in by_folder.get(folder, ())
            ) or any(
                _names_elsewhere(name, content, path)
                for root in takers.get(path, ())
                for folder, those in by_folder.items()
                if folder not in above and _within(folder, root)
                for name, content in those
                if root not in above or _is(name, _DOCKERFILES)
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


def _within(folder: str, root: str) -> bool:
    return not root or folder == root or folder.startswith(f"{root}/")


def _takers(catalog: Catalog, paths: Iterable[str]) -> dict[str, list[str]]:
    """By path, the roots (``""``: the monorepo's) of the resources that have it."""
    owners, resources = Owners(catalog.resources.values()), catalog.resources
    return {
        path: sorted(
            {resources[name].root if resources[name].root != "." else "" for name in owners.of(path)}
        )
        for path in paths
    }


def _names(manifest: str, content: bytes | None, path: str) -> bool:
    """Whether a manifest has the path in it, seen from its folder, or the bare name, as a word of its own.

    What a Dockerfile copies it also names by the folder that it is in. What was not read may name anything.
    """
    if content is None:
        return True
    words = {path, path.rpartition("/")[2]}
    if _is(manifest, _DOCKERFILES):
        words.update(each for each in _above(path) if each)
    return _has(content, words)


def _names_elsewhere(manifest: str, content: bytes | None, path: str) -> bool:
    """The same for a path of the monorepo that does not lie below the manifest: seen from any folder."""
    if content is None:
        return True
    parts = path.split("/")
    if _has(content, {"/".join(parts[start:]) for start in range(len(parts))}):
        return True
    if not _is(manifest, _DOCKERFILES):
        return False
    text = content.decode(errors="surrogateescape")
    for start, end in combinations(range(len(parts)), 2):
        folder = re.escape("/".join(parts[start:end]))
        for inside in re.findall(rf"(?<![\w.-]){folder}(?:/([^\s/\"',]*))?(?![\w-])", text):
            # All of the folder, or something in it that only Docker can tell.
            if not inside or not _OPEN.isdisjoint(inside):
                return True
    return False


def _has(content: bytes, words: Iterable[str]) -> bool:
    text = content.decode(errors="surrogateescape")
    return any(re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text) for word in words)
