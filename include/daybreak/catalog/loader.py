"""From a commit to its catalog: evaluate ``resources.py`` safely, then check it against the commit's tree."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pathspec import PathSpec

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import DEFAULT_ACTIONS, Action, ResourceType
from daybreak.errors import CatalogError
from daybreak.git.repository import Repository

#: How long ``resources.py`` may take.
TIME_LIMIT_SECONDS = 20.0

#: More than any real catalog says.
_ANSWER_LIMIT_BYTES = 64 << 20

_INCLUDE = Path(__file__).resolve().parents[2]
_EVALUATE = Path(__file__).with_name("_evaluate.py")


def load(
    repo: Repository,
    commit: str,
    catalog_path: str = "resources.py",
    *,
    time_limit: float = TIME_LIMIT_SECONDS,
) -> Catalog:
    """The catalog that ``commit`` declares.

    ``catalog_path`` is the team's code: it runs in another process, with an empty environment and an empty
    folder, for at most ``time_limit`` seconds, and hands over data.

    :raises CatalogError: naming ``file:line`` and the field; :raises CycleError: for a cycle.
    """
    commit = repo.rev_parse(commit)
    entries = repo.ls_tree(commit)
    paths = [entry.path for entry in entries]
    if catalog_path not in paths:
        raise CatalogError(
            f"{catalog_path} does not exist at commit {commit[:12]}. Declare your resources there "
            f"(docs/resources.md), or set monorepo.catalog to where they are."
        )
    declared = _evaluate(repo.read(commit, catalog_path), Path(catalog_path).name, catalog_path, time_limit)
    tree = _Tree(paths)
    resources: dict[str, CatalogResource] = {}
    for item in declared:
        where = f"{catalog_path}:{item['line']}: " if item["line"] else f"{catalog_path}: "
        name = item["name"]
        if name in resources:
            raise CatalogError(
                f"{where}resource {name!r} is declared twice, first in line {resources[name].line}"
            )
        resources[name] = _resource(item, tree, where)
    catalog = Catalog(commit, resources)
    catalog.generations()
    return catalog


class _Tree:
    """The paths of a commit, as far as checks need them."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self.files = frozenset(paths)
        self.folders = {parent for path in paths for parent in _parents(path)} | {"."}

    def matches(self, pattern: str) -> bool:
        plain = pattern.strip("/")
        if plain in self.files or plain in self.folders:
            return True
        return (
            next(iter(PathSpec.from_lines("gitignore", [pattern]).match_files(self.paths)), None) is not None
        )


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _resource(item: Mapping[str, Any], tree: _Tree, where: str) -> CatalogResource:
    name = item["name"]
    if not item["paths"]:
        raise CatalogError(f"{where}{name}: dependent_paths: name at least one path")
    for position, pattern in enumerate(item["paths"]):
        if not pattern.startswith("!") and not tree.matches(pattern):
            raise CatalogError(
                f"{where}{name}: dependent_paths[{position}]: nothing at this commit matches {pattern!r}"
            )
    seeds = item["seeds"]
    if seeds is not None and seeds not in tree.files:
        raise CatalogError(f"{where}{name}: seeds: {seeds!r} is not a file at this commit")
    paths = list(item["paths"])
    if seeds is not None:
        # What lies beside the manifest are its sources: part of the artifact, so part of the key.
        paths.append("/" + (seeds.rpartition("/")[0] or seeds))
    root = _root(item["paths"], tree)
    prefix = "" if root == "." else f"{root}/"
    has_tests = any(prefix + path.strip("/") in tree.folders for path in item["test_paths"])
    if item["actions"].get(Action.TEST.value) and not has_tests:
        raise CatalogError(
            f"{where}{name}: actions: test is on, but {item['test_paths']} is no folder of {root}"
        )
    ignored = set(item["ignore"])
    return CatalogResource(
        name=name,
        type=ResourceType(item["type"]),
        packages=tuple(sorted({*item["packages"]} - ignored)),
        depends_on=tuple(sorted({*item["depends_on"]} - ignored)),
        paths=tuple(paths),
        root=root,
        actions=_actions(item, has_tests),
        enabled=item["enabled"],
        test_paths=tuple(path.strip("/") for path in item["test_paths"]),
        has_tests=has_tests,
        seeds=seeds,
        options=item["options"],
        line=item["line"],
    )


def _actions(item: Mapping[str, Any], has_tests: bool) -> frozenset[Action]:
    if not item["enabled"]:
        return frozenset()
    chosen = set(DEFAULT_ACTIONS[ResourceType(item["type"])])
    if not has_tests:
        chosen.discard(Action.TEST)
    if item["seeds"] is not None:
        chosen.add(Action.SEED)
    for action, on in item["actions"].items():
        (chosen.add if on else chosen.discard)(Action(action))
    return frozenset(chosen)


def _root(patterns: Sequence[str], tree: _Tree) -> str:
    """The first pattern that is a folder; without one, the folder of the first that is a file."""
    plain = [pattern.strip("/") or "." for pattern in patterns]
    folders = [path for path in plain if path in tree.folders]
    files = [path for path in plain if path in tree.files]
    if folders:
        return folders[0]
    return files[0].rpartition("/")[0] or "." if files else "."


def _evaluate(source: bytes, name: str, catalog_path: str, time_limit: float) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="daybreak-catalog-") as folder:
        (Path(folder) / name).write_bytes(source)
        reader, writer = os.pipe()
        try:
            try:
                process = subprocess.Popen(
                    (sys.executable, "-I", str(_EVALUATE), str(_INCLUDE), str(writer), name),
                    cwd=folder,
                    env={},
                    pass_fds=(writer,),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            finally:
                os.close(writer)
            try:
                output = _read(reader, time_limit)
            finally:
                # Also what it started: nothing of the team's code outlives its evaluation.
                _kill(process)
        finally:
            os.close(reader)
    if output is None:
        raise CatalogError(
            f"{catalog_path}: did not end within {time_limit:g} s; it must only declare resources"
        )
    try:
        answer = json.loads(output)
    except ValueError:
        raise CatalogError(f"{catalog_path}: its process ended without handing over a catalog") from None
    if "error" in answer:
        line = f":{answer['line']}" if answer["line"] else ""
        raise CatalogError(f"{catalog_path}{line}: {answer['error']}")
    found: list[dict[str, Any]] = answer["resources"]
    return found


def _read(descriptor: int, time_limit: float) -> bytes | None:
    """All that comes until the other end closes; ``None`` when that takes too long or is too much."""
    deadline = time.monotonic() + time_limit
    chunks: list[bytes] = []
    size = 0
    while size <= _ANSWER_LIMIT_BYTES:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
    return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
