"""The files of one commit, as discovery asks for them: by folder, by name, never by content."""

from __future__ import annotations

import os
import posixpath
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from daybreak.git.repository import Repository

#: Folders in a component whose manifests are material of tests, templates or copies of others' code.
MATERIAL = frozenset(
    {"tests", "test", "testdata", "test_data", "fixtures", "__fixtures__", "__tests__",
     "node_modules", "site-packages", "vendor", "_vendor", "third_party", "vendored"}
)  # fmt: skip

#: Folders and modules beside a component's package that no build backend takes along.
_ASIDE = frozenset(
    {"benchmark", "benchmarks", "ci", "doc", "docs", "example", "examples", "sample", "samples", "scripts",
     "tools", "noxfile.py", "tasks.py"}
)  # fmt: skip

#: Of Linux: a longer link leads nowhere.
_PATH_MAX = 4096

_TEST_FOLDERS = frozenset({"tests", "test", "testing", "__tests__", "integration_tests", "unit_tests"})


@dataclass(frozen=True)
class Asked:
    """What somebody asked a tree: whether these paths are there, what lies right in these folders."""

    paths: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)


class Tree:
    """The leaves of one commit, sorted by path.

    :param listing: of :meth:`daybreak.git.repository.Repository.listing`, or what gets it when it is needed.
    :param paths: all of them, sorted, and
    :param targets: what the symbolic links among them say, where both are known without the listing.

    Paths that are not UTF-8 come with surrogate escapes.
    """

    def __init__(
        self,
        listing: bytes | Callable[[], bytes],
        paths: list[str] | None = None,
        targets: Mapping[str, str] | None = None,
    ) -> None:
        self._listing = listing
        self._asked: Asked | None = None
        self._targets: Mapping[str, str] | None = targets
        if paths is None:
            paths = [record[record.index("\t") + 1 :] for record in self._records]
        self.paths = sorted(paths)
        # Git sorts by bytes, Python by code point: the same, unless something is not UTF-8.
        if self.paths != paths:
            self._records = [record for _, record in sorted(zip(paths, self._records, strict=True))]
        self._places = {path: place for place, path in enumerate(self.paths)}

    @cached_property
    def _records(self) -> list[str]:
        listing = self._listing if isinstance(self._listing, bytes) else self._listing()
        records = listing.decode("utf-8", "surrogateescape").split("\0")
        records.pop()
        if not isinstance(self._listing, bytes):
            records.sort(key=lambda record: record[record.index("\t") + 1 :])
        return records

    @contextmanager
    def noting(self) -> Iterator[Asked]:
        """Note what is asked meanwhile."""
        self._asked = Asked()
        try:
            yield self._asked
        finally:
            self._asked = None

    def __contains__(self, path: object) -> bool:
        if self._asked is not None:
            self._asked.paths.add(str(path))
        return path in self._places

    def is_folder(self, path: str) -> bool:
        """Whether ``path`` (``"."``: the root) is a folder of this commit."""
        return has_folder(self.paths, path)

    def span(self, folder: str) -> tuple[int, int]:
        """First place and end of what lies in ``folder`` or below, in :attr:`paths`."""
        if folder == ".":
            return 0, len(self.paths)
        # "0" follows "/": everything that begins with "folder/" and nothing else.
        return bisect_left(self.paths, f"{folder}/"), bisect_left(self.paths, f"{folder}0")

    def below(self, folder: str, without: Iterable[str] = ()) -> Iterator[tuple[int, int]]:
        """Spans of ``folder`` that leave out the folders ``without``."""
        low, high = self.span(folder)
        for left_out in sorted(self.span(each) for each in without):
            if low < left_out[0]:
                yield low, left_out[0]
            low = max(low, left_out[1])
        if low < high:
            yield low, high

    def oid(self, path: str) -> str:
        """The blob id of a file."""
        record = self._records[self._places[path]]
        return record[: record.index("\t")].rpartition(" ")[2]

    def is_blob(self, path: str) -> bool:
        """Whether it is a regular file: neither a symbolic link nor a submodule."""
        return self._records[self._places[path]].startswith("100")

    def targets(self, repo: Repository) -> Mapping[str, str]:
        """What each symbolic link says, by its path; one that no system would follow says nothing."""
        if self._targets is None:
            links = {
                path: self.oid(path)
                for path, record in zip(self.paths, self._records, strict=True)
                if record.startswith("120000")
            }
            blobs = repo.blobs(list(dict.fromkeys(links.values())), _PATH_MAX) if links else ()
            said = {oid: os.fsdecode(content or b"") for oid, _, content in blobs}
            self._targets = {path: said[oid] for path, oid in links.items()}
        return self._targets

    def digest(self, spans: Iterable[tuple[int, int]], without: Iterable[str] = ()) -> str:
        """A hash of modes, ids and paths of everything in ``spans``, and of the names ``without``."""
        # Where nothing is written in Python it is not needed.
        import hashlib

        state = hashlib.blake2b("\0".join(without).encode("utf-8", "surrogateescape"), digest_size=16)
        for low, high in spans:
            state.update("\0".join(self._records[low:high]).encode("utf-8", "surrogateescape"))
            state.update(b"\0\0")
        return state.hexdigest()

    def children(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Names right in ``folder``, each with whether it is a folder."""
        if self._asked is not None:
            self._asked.folders.add(folder)
        place, high = self.span(folder)
        start = 0 if folder == "." else len(folder) + 1
        while place < high:
            path = self.paths[place]
            name, slash, _ = path[start:].partition("/")
            yield name, bool(slash)
            end = f"{path[: start + len(name)]}0"
            place = bisect_left(self.paths, end, place, high) if slash else place + 1


def has_folder(paths: Sequence[str], folder: str) -> bool:
    """Whether some of the sorted ``paths`` are in ``folder``."""
    if folder == ".":
        return bool(paths)
    at = bisect_left(paths, inside := f"{folder}/")
    return at < len(paths) and paths[at].startswith(inside)


def join(folder: str, path: str) -> str | None:
    """``path`` seen from ``folder``, from the monorepo's root; ``None`` when it leaves the monorepo."""
    found = posixpath.normpath(posixpath.join("" if folder == "." else folder, path))
    return None if found.startswith(("../", "/")) or found == ".." else found


def parent(path: str) -> str:
    """The folder of ``path``."""
    return path.rpartition("/")[0] or "."


def within(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or lies below it."""
    return folder == "." or path == folder or path.startswith(f"{folder}/")


def relative(path: str, folder: str) -> str:
    """``path`` (which is within ``folder``) seen from ``folder``."""
    if folder == ".":
        return path
    return path[len(folder) + 1 :] or "."


def is_material(folder: str, owner: str) -> bool:
    """Whether ``folder`` lies in test data, templates or vendored code of ``owner``."""
    parts = relative(folder, owner).split("/")
    return not MATERIAL.isdisjoint(parts) or any("template" in part for part in parts)


def is_aside(path: str) -> bool:
    """Whether a Python file (seen from its component) is none of what is installed: a sample, a script."""
    return path.partition("/")[0] in _ASIDE


def is_test(path: str) -> bool:
    """Whether a Python file (seen from its component) is only there for tests, by pytest's names."""
    *folders, name = path.split("/")
    return (
        name.startswith("test_")
        or name.endswith("_test.py")
        or name == "conftest.py"
        or not _TEST_FOLDERS.isdisjoint(folders)
        or any(folder.endswith("_tests") for folder in folders)
    )
