"""A git repository as plumbing sees it: bytes in, objects out, and never a write into somebody's repository.

Nothing here checks out, stashes or touches an index. What needs files gets an export of exact blobs: no
attributes (``export-ignore``, ``eol``, filters) and no machine's configuration decide what a commit contains.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from daybreak.disk import needs_room
from daybreak.errors import UsageError
from daybreak.git.command import GitError, environment, run_git, text, without_password

SYMLINK = "120000"
SUBMODULE = "160000"
EXECUTABLE = "100755"


def scratch() -> IO[bytes]:
    """An empty file without a name that ends with its last reader."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("daybreak"), "w+b")
    import tempfile

    return tempfile.TemporaryFile()


#: By repository and commit, its tree: of a commit that was asked for by name. It never changes.
_TREES: dict[tuple[Path, Path | None, str], str] = {}
_MOST_TREES = 256


@dataclass(frozen=True)
class TreeEntry:
    """One leaf of a commit's tree. ``mode`` is git's (``100644``, ``100755``, ``120000``, ``160000``)."""

    mode: str
    type: str
    oid: str
    path: str


@dataclass(frozen=True)
class Change:
    """One changed path between two commits; a rename is a deletion and an addition."""

    old_mode: str
    new_mode: str
    old_oid: str
    new_oid: str
    status: str
    path: str


@dataclass(frozen=True)
class Repository:
    """A repository (bare or with a working tree) in the folder ``path``.

    :param objects: another object folder, whose alternate is the repository's (:mod:`daybreak.git.worktree`).
    """

    path: Path
    objects: Path | None = None

    def rev_parse(self, revision: str) -> str:
        """The full id of the commit that ``revision`` names; raises :class:`UsageError` for none."""
        if "\n" not in revision:
            # One process for the commit and, as it is asked for next, its tree.
            asked = f"{revision}^{{commit}}\n{revision}^{{tree}}\n".encode("utf-8", "surrogateescape")
            command = ("cat-file", "--batch-check=%(objectname)")
            found = self._run(command, ok=(0, 128), given=asked).stdout.decode().splitlines()
            if len(found) == 2 and not any(" " in each for each in found):
                if len(_TREES) >= _MOST_TREES:
                    _TREES.clear()
                _TREES[self.path, self.objects, found[0]] = found[1]
                return found[0]
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        done = self._run(arguments, ok=(0, 1, 128))
        if done.returncode:
            if b"not a git repository" in done.stderr or not self.path.is_dir():
                raise UsageError(f"{self.path} is not a git repository")
            if b"dubious ownership" in done.stderr:
                raise UsageError(text(done.stderr).strip())
            raise UsageError(f"{revision!r} names no commit of {self.path}; fetch it, or name another")
        return done.stdout.decode().strip()

    def refs(self, prefix: str) -> list[str]:
        """Full names of the refs below ``prefix`` (``refs/heads/``), sorted."""
        output = self._run(("for-each-ref", "--format=%(refname)", prefix)).stdout
        return os.fsdecode(output).splitlines()

    def ls_tree(self, commit: str, paths: Sequence[str] = ()) -> list[TreeEntry]:
        """All leaves of ``commit`` under ``paths`` (literal; all when empty), in git's order.

        Paths that are not UTF-8 come with surrogate escapes, as Python's file functions take them.
        """
        output = self._run(
            (
                "ls-tree",
                "-r",
                "-z",
                "--full-tree",
                commit,
                "--",
                *map(os.fsencode, paths),
            )
        ).stdout
        return _entries(output)

    def ls_folders(self, commit: str, folders: Iterable[str]) -> list[TreeEntry]:
        """What is right in each of ``folders`` (``""``: the root) of ``commit``; a missing one is empty."""
        wanted = set(folders)
        listings: list[tuple[str | bytes, ...]] = [()] if "" in wanted else []
        if below := [os.fsencode(f"{folder}/") for folder in sorted(wanted - {""})]:
            listings.append(("--", *below))
        command = ("ls-tree", "-z", "--full-tree", commit)
        return [entry for paths in listings for entry in _entries(self._run((*command, *paths)).stdout)]

    def tree_id(self, commit: str) -> str:
        """The id of the tree of ``commit``: two commits with the same content have the same one.

        :raises UsageError: when there is no such commit.
        """
        if known := _TREES.get((self.path, self.objects, commit)):
            return known
        asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{tree}}")
        done = self._run(asked, ok=(0, 1, 128))
        if done.returncode:
            self.rev_parse(commit)
            raise GitError(f"{self.path} lacks the tree of {commit}; fetch the commit completely")
        return done.stdout.decode().strip()

    def listing(self, commit: str) -> bytes:
        """All leaves of ``commit`` as git lists them: ``mode type id<TAB>path<NUL>``, in git's order."""
        return self._run(("ls-tree", "-r", "-z", "--full-tree", commit)).stdout

    def blobs(self, oids: Sequence[str], limit: int) -> Iterator[tuple[str, int, bytes | None]]:
        """Id, size in bytes and content of each blob; a blob of more than ``limit`` bytes is never read.

        :raises GitError: for one that this clone lacks.
        """
        sizes: dict[str, int] = {}
        if not oids:
            return
        with self._batch("--batch-check", oids) as answers:
            for oid in oids:
                sizes[oid] = self._size(answers.readline(), oid)
        wanted = [oid for oid in oids if sizes[oid] <= limit]
        yield from ((oid, size, None) for oid, size in sizes.items() if size > limit)
        with self._batch("--batch", wanted) as answers:
            for oid in wanted:
                size = self._size(answers.readline(), oid)
                content = answers.read(size)
                answers.read(1)
                yield oid, size, content

    def file(self, commit: str, path: str) -> tuple[str, int] | None:
        """Blob id and size in bytes of one file at ``commit``; ``None`` when it is not there."""
        command = ("ls-tree", "-l", "-z", "--full-tree", commit, "--", os.fsencode(path))
        said = self._run(command).stdout.partition(b"\t")[0].split()
        return (said[2].decode(), int(said[3])) if said[1:2] == [b"blob"] else None

    def read(self, commit: str, path: str, limit: int | None = None) -> bytes:
        """The content of one file at ``commit``.

        :param limit: a larger file (bytes) is never read.
        :raises UsageError: when it is not there, or larger.
        """
        if limit is not None and (file := self.file(commit, path)) and file[1] > limit:
            raise UsageError(f"{path}: {file[1]:,} bytes are too much; at most {limit:,} are read")
        done = self._run(("cat-file", "blob", os.fsencode(f"{commit}:{path}")), ok=(0, 128))
        if done.returncode:
            raise UsageError(f"{path} is not a file of commit {commit[:12]}")
        return done.stdout

    def read_blobs(self, oids: Iterable[str]) -> dict[str, bytes]:
        """The content of many blobs, by their ids."""
        found: dict[str, bytes] = {}
        wanted = list(dict.fromkeys(oids))
        if wanted:
            with self._blobs() as blobs:
                for oid in wanted:
                    found[oid] = blobs.read(oid)
        return found

    def export(self, commit: str, paths: Sequence[str], into: Path) -> None:
        """Write the files of ``commit`` under ``paths`` (literal; all when empty) below ``into``.

        Keeps the executable bit and symbolic links; a submodule becomes an empty folder.

        :raises DiskFull: naming the file.
        """
        self.export_entries(self.ls_tree(commit, paths), into)

    def export_entries(self, entries: Iterable[TreeEntry], into: Path) -> None:
        """Write exactly these leaves below ``into``; see :meth:`export`."""
        links = []
        with self._blobs() as blobs:
            for entry in entries:
                target = into / entry.path
                if ".." in Path(entry.path).parts:
                    raise GitError(f"{self.path}: a tree holds the path {entry.path!r}; it is not exported")
                if entry.type != "blob":
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                content = blobs.read(entry.oid)
                if entry.mode == SYMLINK:
                    # Links come last, so that no file of a malformed tree is written through one.
                    links.append((target, content))
                    continue
                with needs_room(target):
                    target.write_bytes(content)
                target.chmod(0o755 if entry.mode == EXECUTABLE else 0o644)
        for target, destination in links:
            target.symlink_to(os.fsdecode(destination))

    def diff_raw(self, base: str, head: str) -> list[Change]:
        """What differs between two trees, without rename detection, submodules and modes included."""
        output = self._run(
            (
                "diff-tree",
                "-r",
                "-z",
                "--raw",
                "--no-renames",
                "--ignore-submodules=none",
                base,
                head,
            )
        ).stdout
        return parse_raw(output)

    def merge_bases(self, one: str, other: str) -> list[str]:
        """All merge bases of two commits; none when they share no history here."""
        return self._run(("merge-base", "--all", one, other), ok=(0, 1)).stdout.decode().split()

    def hidden_history(self, one: str, other: str, bases: Sequence[str]) -> bool:
        """Whether a shallow clone ends between two commits and their merge bases ``bases``.

        Then a better merge base may lie behind the end, where nobody can see it.
        """
        file = self._shallow()
        ends = set(file.read_text().split()) if file.is_file() else set()
        if not ends:
            return False
        between = self._run(("rev-list", one, other, "--not", *bases)).stdout.decode().split()
        return not ends.isdisjoint(between)

    def is_shallow(self) -> bool:
        """Whether some of the history is not in this clone."""
        return self._shallow().is_file()

    def _shallow(self) -> Path:
        """The file with the ends of a shallow clone, if it is one."""
        for folder in (self.path / ".git", self.path):
            # Without asking git, where a folder is plainly a repository's.
            if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
                return folder / "shallow"
        place = self._run(("rev-parse", "--git-path", "shallow")).stdout
        return self.path / os.fsdecode(place).rstrip("\n")

    def prefix(self) -> str:
        """Where :attr:`path` is in its working tree, with a slash at the end; nothing for its root."""
        return os.fsdecode(self._run(("rev-parse", "--show-prefix")).stdout).rstrip("\n")

    def has_remote(self, name: str) -> bool:
        """Whether there is a remote of that name."""
        return self._run(("config", "--get", f"remote.{name}.url"), ok=(0, 1)).returncode == 0

    def origin(self) -> tuple[str, str]:
        """Where the repository was cloned from, without any password, and the branch that is its default.

        Without a remote called ``origin``: the repository itself and the branch that is checked out.
        """
        url = self._run(("config", "--get", "remote.origin.url"), ok=(0, 1)).stdout.decode().strip()
        names = ("refs/remotes/origin/HEAD", "HEAD") if url else ("HEAD",)
        for name in names:
            found = self._run(("symbolic-ref", "--short", "--quiet", name), ok=(0, 1, 128))
            if branch := found.stdout.decode().strip().removeprefix("origin/"):
                return without_password(url) or str(self.path.resolve()), branch
        return without_password(url) or str(self.path.resolve()), "main"

    @property
    def _extra(self) -> Mapping[str, str]:
        return {"GIT_OBJECT_DIRECTORY": str(self.objects)} if self.objects else {}

    def _run(
        self, arguments: Sequence[str | bytes], ok: tuple[int, ...] = (0,), given: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        return run_git(arguments, at=self.path, ok=ok, given=given, extra=self._extra)

    def _size(self, answer: bytes, oid: str) -> int:
        header = answer.split()
        if len(header) != 3:
            raise GitError(f"{self.path} lacks the object {oid}; fetch the commit completely")
        return int(header[2])

    @contextmanager
    def _batch(self, mode: str, oids: Sequence[str]) -> Iterator[IO[bytes]]:
        """What one ``git cat-file`` says about many objects; a file asks for them, so nobody waits."""
        with scratch() as requests:
            requests.write("".join(f"{oid}\n" for oid in oids).encode())
            requests.seek(0)
            command = ("git", "-C", str(self.path), "cat-file", mode, "--buffer")
            pipe, null = subprocess.PIPE, subprocess.DEVNULL
            own = environment(self._extra)
            with subprocess.Popen(command, stdin=requests, stdout=pipe, stderr=null, env=own) as process:
                assert process.stdout is not None
                try:
                    yield process.stdout
                finally:
                    process.terminate()

    @contextmanager
    def _blobs(self) -> Iterator[_Blobs]:
        command = ("git", "-C", str(self.path), "cat-file", "--batch")
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        own = environment(self._extra)
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, env=own) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield _Blobs(process.stdin, process.stdout, self.path)
            finally:
                process.stdin.close()
                process.terminate()


@dataclass(frozen=True)
class _Blobs:
    """Objects by id from one ``git cat-file --batch``: one process for a whole export."""

    requests: IO[bytes]
    answers: IO[bytes]
    path: Path

    def read(self, oid: str) -> bytes:
        self.requests.write(oid.encode() + b"\n")
        self.requests.flush()
        header = self.answers.readline().split()
        if len(header) != 3:
            raise GitError(f"{self.path} lacks the object {oid}; fetch the commit completely")
        content = self.answers.read(int(header[2]))
        self.answers.read(1)
        return content


def _entries(output: bytes) -> list[TreeEntry]:
    entries = []
    for record in os.fsdecode(output).split("\0")[:-1]:
        meta, _, name = record.partition("\t")
        mode, type_, oid = meta.split(" ")
        entries.append(TreeEntry(mode, type_, oid, name))
    return entries


def parse_raw(output: bytes) -> list[Change]:
    """What ``git diff --raw -z`` printed."""
    fields = output.split(b"\0")[:-1]
    changes = []
    for meta, name in zip(fields[::2], fields[1::2], strict=True):
        old_mode, new_mode, old_oid, new_oid, status = meta.decode().lstrip(":").split(" ")
        changes.append(Change(old_mode, new_mode, old_oid, new_oid, status, os.fsdecode(name)))
    return changes
