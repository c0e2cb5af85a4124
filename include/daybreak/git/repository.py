"""A git repository as plumbing sees it: bytes in, objects out, and never a write into somebody's repository.

Nothing here checks out, stashes or touches an index. What needs files gets an export of exact blobs: no
attributes (``export-ignore``, ``eol``, filters) and no machine's configuration decide what a commit contains.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from daybreak.errors import DaybreakError, UsageError
from daybreak.locking import exclusive

#: Long enough for the first clone of a large monorepo, short enough to notice a dead remote.
_REMOTE_TIMEOUT_SECONDS = 1800

#: Variables by which a caller's git (a hook, a rebase) would point ours at another repository or index.
_FOREIGN = frozenset(
    f"GIT_{name}"
    for name in ("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES",
                 "COMMON_DIR", "NAMESPACE", "PREFIX", "EXTERNAL_DIFF")
)  # fmt: skip

SYMLINK = "120000"
EXECUTABLE = "100755"


class GitError(DaybreakError):
    """Git failed for a reason that is not the caller's mistake."""

    code = "git"


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
    """A repository (bare or with a working tree) in the folder ``path``."""

    path: Path

    def rev_parse(self, revision: str) -> str:
        """The full id of the commit that ``revision`` names; raises :class:`UsageError` for none."""
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        done = self._run(arguments, ok=(0, 1, 128))
        if done.returncode:
            if b"not a git repository" in done.stderr or not self.path.is_dir():
                raise UsageError(f"{self.path} is not a git repository")
            if b"dubious ownership" in done.stderr:
                raise UsageError(_text(done.stderr).strip())
            raise UsageError(f"{revision!r} names no commit of {self.path}; fetch it, or name another")
        return done.stdout.decode().strip()

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
        entries = []
        for record in output.split(b"\0")[:-1]:
            meta, _, name = record.partition(b"\t")
            mode, type_, oid = meta.decode().split(" ")
            entries.append(TreeEntry(mode, type_, oid, os.fsdecode(name)))
        return entries

    def read(self, commit: str, path: str) -> bytes:
        """The content of one file at ``commit``; raises :class:`UsageError` when it is not there."""
        done = self._run(("cat-file", "blob", os.fsencode(f"{commit}:{path}")), ok=(0, 128))
        if done.returncode:
            raise UsageError(f"{path} is not a file of commit {commit[:12]}")
        return done.stdout

    def export(self, commit: str, paths: Sequence[str], into: Path) -> None:
        """Write the files of ``commit`` under ``paths`` (literal; all when empty) below ``into``.

        Keeps the executable bit and symbolic links; a submodule becomes an empty folder.
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
        fields = output.split(b"\0")[:-1]
        changes = []
        for meta, name in zip(fields[::2], fields[1::2], strict=True):
            old_mode, new_mode, old_oid, new_oid, status = meta.decode().lstrip(":").split(" ")
            changes.append(Change(old_mode, new_mode, old_oid, new_oid, status, os.fsdecode(name)))
        return changes

    def merge_bases(self, one: str, other: str) -> list[str]:
        """All merge bases of two commits; none when they share no history here."""
        return self._run(("merge-base", "--all", one, other), ok=(0, 1)).stdout.decode().split()

    def origin(self) -> tuple[str, str]:
        """Where the repository was cloned from, without any password, and the branch that is its default.

        Without a remote called ``origin``: the repository itself and the branch that is checked out.
        """
        url = self._run(("config", "--get", "remote.origin.url"), ok=(0, 1)).stdout.decode().strip()
        names = ("refs/remotes/origin/HEAD", "HEAD") if url else ("HEAD",)
        for name in names:
            found = self._run(("symbolic-ref", "--short", "--quiet", name), ok=(0, 1, 128))
            if branch := found.stdout.decode().strip().removeprefix("origin/"):
                return _without_password(url) or str(self.path.resolve()), branch
        return _without_password(url) or str(self.path.resolve()), "main"

    def _run(
        self, arguments: Sequence[str | bytes], ok: tuple[int, ...] = (0,)
    ) -> subprocess.CompletedProcess[bytes]:
        return _git(arguments, at=self.path, ok=ok)

    @contextmanager
    def _blobs(self) -> Iterator[_Blobs]:
        command = ("git", "-C", str(self.path), "cat-file", "--batch")
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, env=_environment()) as process:
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


def mirror(url: str, folder: Path) -> Repository:
    """A bare mirror of ``url`` in ``folder``, brought up to date; ``url`` itself is only read.

    Several processes may ask for the same mirror at once: one works, the others wait and then fetch. A kill
    at any point leaves either no mirror or a whole one.

    :raises GitError: when ``url`` cannot be read.
    """
    if Path(url).exists():
        url = str(Path(url).resolve())
    folder = folder.absolute()
    with exclusive(folder.with_name(f"{folder.name}.lock")):
        if not folder.exists():
            _clone(url, folder)
        else:
            fetch = ("fetch", "--quiet", "--prune", "--force", "--no-tags", "--", url, "+refs/*:refs/*")
            _git(fetch, at=folder, timeout=_REMOTE_TIMEOUT_SECONDS)
    return Repository(folder)


def _clone(url: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _git(("clone", "--quiet", "--mirror", "--", url, fresh), timeout=_REMOTE_TIMEOUT_SECONDS)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _git(
    arguments: Sequence[str | bytes | Path],
    *,
    at: Path | None = None,
    ok: tuple[int, ...] = (0,),
    timeout: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    # Automatic gc would delete objects that a running export still reads.
    settings = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")
    place = ("-C", at) if at else ()
    try:
        done = subprocess.run(
            ("git", *settings, *place, *arguments),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=_environment(),
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError("git is not installed, or not on PATH") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git did not answer within {timeout:.0f} s; is the remote reachable?") from None
    if done.returncode not in ok:
        reason = _text(done.stderr).strip() or f"exit code {done.returncode}"
        raise GitError(_redact(f"git {arguments[0]!s} failed: {reason}"))
    return done


def _environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    # English messages, no password prompt, and neither a lock nor a replaced object in what is only read.
    environment.update(
        LC_ALL="C.UTF-8", GIT_TERMINAL_PROMPT="0", GIT_OPTIONAL_LOCKS="0", GIT_NO_REPLACE_OBJECTS="1",
        GIT_LITERAL_PATHSPECS="1",
    )  # fmt: skip
    return environment


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _without_password(url: str) -> str:
    return re.sub(r"(https?://)[^/@\s]+@", r"\1", url)


def _redact(text: str) -> str:
    return re.sub(r"(://)[^/@\s]+@", r"\1***@", text)
