"""Facts of many files at once: from the cache, and what it lacks from one ``git cat-file``, in order.

Many new modules are parsed by processes of their own, one for each core.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from daybreak.catalog.cache import Cache
from daybreak.catalog.discovery import reading
from daybreak.catalog.discovery.facts import LIMIT_BYTES, Facts
from daybreak.catalog.discovery.tree import Tree
from daybreak.errors import DaybreakError
from daybreak.git.repository import Repository, scratch

#: Below this many new blobs another process costs more than it brings; of kinds that are read in no time, at
#: ten times as many.
_ALONE = 600
_SLOW = ("py:", "pyproject:", "setuppy:")

_INCLUDE = Path(__file__).resolve().parents[3]


class Reader:
    """Reads files of one commit."""

    def __init__(self, repo: Repository, tree: Tree, cache: Cache) -> None:
        self._repo, self.tree, self.cache = repo, tree, cache

    def read(self, wanted: Iterable[tuple[str, str]]) -> dict[str, Facts]:
        """Facts by path, for ``(kind, path)``; symbolic links and submodules have none.

        :raises GitError: for a blob that this clone lacks.
        """
        keys = {path: f"{kind}:{self.tree.oid(path)}" for kind, path in wanted if self.tree.is_blob(path)}
        known = read(self._repo, list(dict.fromkeys(keys.values())), self.cache)
        return {path: known[key] for path, key in keys.items()}


def read(repo: Repository, keys: list[str], cache: Cache) -> dict[str, Facts]:
    """Facts by key (``kind:id``); what the cache lacks is parsed and put there.

    :raises GitError: for a blob that this clone lacks.
    """
    known = cache.many(keys)
    missing = [key for key in keys if key not in known]
    if missing:
        new = _parsed(repo, missing)
        cache.put(new)
        known |= new
    return known


def _parsed(repo: Repository, keys: list[str]) -> dict[str, Facts]:
    cores = len(os.sched_getaffinity(0))
    slow = sum(key.startswith(_SLOW) for key in keys)
    if slow + (len(keys) - slow) / 10 < _ALONE or cores < 2:
        return parse(repo, keys)
    workers = [_Worker(repo, keys[start::cores]) for start in range(cores)]
    try:
        return {key: value for worker in workers for key, value in worker.result().items()}
    finally:
        for worker in workers:
            worker.end()


def parse(repo: Repository, keys: list[str]) -> dict[str, Facts]:
    """Facts by key (``kind:id``), read from the repository; a blob is read once for all its kinds."""
    kinds: dict[str, list[str]] = {}
    for key in keys:
        kind, _, oid = key.partition(":")
        kinds.setdefault(oid, []).append(kind)
    found: dict[str, Facts] = {}
    for oid, size, content in repo.blobs(list(kinds), LIMIT_BYTES):
        for kind in kinds[oid]:
            found[f"{kind}:{oid}"] = {"big": size} if content is None else reading.read(kind, content)
    return found


class _Worker:
    """Another Python that parses a part."""

    def __init__(self, repo: Repository, keys: list[str]) -> None:
        # The question is a file, so that no worker waits for the one before it to be asked.
        with scratch() as question:
            question.write(json.dumps([str(repo.path), str(repo.objects or ""), keys]).encode())
            question.seek(0)
            script = (
                "import sys; sys.path.insert(0, sys.argv[1]); from daybreak.catalog.discovery import reader"
            )
            self._process = subprocess.Popen(
                (sys.executable, "-I", "-c", f"{script}; reader.work()", str(_INCLUDE)),
                stdin=question,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )

    def result(self) -> dict[str, Facts]:
        answer, problem = self._process.communicate()
        if self._process.returncode:
            said = problem.decode(errors="replace").strip().splitlines()
            raise DaybreakError(f"modules cannot be read: {said[-1] if said else 'the reader was ended'}")
        found: dict[str, Facts] = json.loads(answer)
        return found

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def work() -> None:
    """What a worker does: repository and keys from standard input, facts to standard output."""
    import gc

    # Syntax trees hold no circles that live on; looking for some costs a quarter of the time.
    gc.disable()
    path, objects, keys = json.load(sys.stdin)
    repo = Repository(Path(path), Path(objects) if objects else None)
    json.dump(parse(repo, keys), sys.stdout, separators=(",", ":"))
