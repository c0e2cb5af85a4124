"""What is in a working tree and in no commit, as a commit that only we see.

The user's repository is only read: index and objects are written to a folder of our own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from daybreak.errors import UsageError
from daybreak.git.command import GitError, run_git
from daybreak.git.repository import SUBMODULE, Change, Repository, parse_raw

_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "daybreak"), ("EMAIL", "daybreak@localhost"), ("DATE", "@0 +0000"))
}

#: A daemon, a complaint, and the filter that keeps what it reads in the user's repository.
_OFF = (
    "-c", "core.fsmonitor=false", "-c", "core.safecrlf=false", "-c", "filter.lfs.required=false",
    "-c", "filter.lfs.clean=", "-c", "filter.lfs.process=", "-c", "advice.addEmbeddedRepo=false",
)  # fmt: skip


@dataclass(frozen=True)
class WorkingTree:
    """The working tree as it is now.

    :param repo: the repository with the objects of ``commit`` in sight.
    :param commit: a child of HEAD with everything that ``git add --all`` would take.
    :param submodules: the submodules with changes that no commit of theirs has.
    """

    repo: Repository
    commit: str
    submodules: tuple[Change, ...]


@contextmanager
def working_tree(repo: Repository) -> Iterator[WorkingTree]:
    """The working tree of ``repo`` as a commit, as long as the context lasts.

    :raises UsageError: when there is none, as in a bare repository.
    """
    asked = ("--show-toplevel", "--git-path", "objects", "--git-path", "index")
    done = run_git(("rev-parse", "--path-format=absolute", *asked), at=repo.path, ok=(0, 128))
    if done.returncode:
        raise UsageError(f"{repo.path} has no working tree, so there is nothing uncommitted in it")
    top, objects, index = (Path(os.fsdecode(line)) for line in done.stdout.rstrip(b"\n").split(b"\n"))
    with tempfile.TemporaryDirectory(prefix="daybreak-worktree-") as folder:
        own, alternates = Path(folder), Path(folder) / "objects" / "info" / "alternates"
        alternates.parent.mkdir(parents=True)
        extra = {
            "GIT_OBJECT_DIRECTORY": str(own / "objects"),
            "GIT_INDEX_FILE": str(own / "index"),
            **_IDENTITY,
        }

        def git(*arguments: str) -> bytes:
            return run_git((*_OFF, *arguments), at=top, extra=extra).stdout

        def tree() -> str:
            if index.is_file():
                # With the times of the files in it, so that what did not change is not read again.
                shutil.copyfile(index, own / "index")
            git("add", "--all")
            return git("write-tree", "--missing-ok").decode().strip()

        def look_at_objects() -> None:
            alternates.write_bytes(os.fsencode(objects) + b"\n")

        try:
            # Git renews the time of an object that it wants to write and sees; here it sees none.
            added = tree()
            look_at_objects()
        except GitError:
            # A sparse index has to look into the trees that it leaves out.
            look_at_objects()
            added = tree()
        head = (
            run_git(("rev-parse", "--verify", "--quiet", "HEAD"), at=top, ok=(0, 1)).stdout.decode().strip()
        )
        parent = ("-p", head) if head else ()
        commit = git("commit-tree", "-m", "uncommitted", *parent, added).decode().strip()
        # All that is left to say: submodules whose own working tree has something in it.
        left = parse_raw(git("diff-files", "--raw", "-z", "--ignore-submodules=none"))
        submodules = tuple(change for change in left if change.new_mode == SUBMODULE)
        yield WorkingTree(Repository(repo.path, own / "objects"), commit, submodules)
