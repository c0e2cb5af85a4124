"""Mirrors of remotes, kept on this machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from daybreak.git.command import address, run_git
from daybreak.git.repository import Repository
from daybreak.locking import exclusive

#: Long enough for the first clone of a large monorepo, short enough to notice a dead remote.
_REMOTE_TIMEOUT_SECONDS = 1800


def mirror(url: str, folder: Path) -> Repository:
    """A bare mirror of ``url`` in ``folder``, brought up to date; ``url`` itself is only read.

    Several processes may ask for the same mirror at once: one works, the others wait and then fetch. A kill
    at any point leaves either no mirror or a whole one. It does not know where it is from: a password in the
    URL would stand in a file that builds and tests, which are other people's code, could read.

    :raises GitError: when ``url`` cannot be read.
    """
    if Path(url).exists():
        url = str(Path(url).resolve())
    where, secret = address(url)
    folder = folder.absolute()
    with exclusive(folder.with_name(f"{folder.name}.lock")):
        if not folder.exists():
            _clone(where, folder, secret)
        else:
            fetch = ("fetch", "--quiet", "--prune", "--force", "--no-tags", "--", where, "+refs/*:refs/*")
            run_git(fetch, at=folder, timeout=_REMOTE_TIMEOUT_SECONDS, extra=secret)
            _forget_where_from(folder)  # of a mirror that an older version made
    return Repository(folder)


def _clone(where: str, folder: Path, secret: Mapping[str, str]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        clone = ("clone", "--quiet", "--mirror", "--", where, fresh)
        run_git(clone, timeout=_REMOTE_TIMEOUT_SECONDS, extra=secret)
        _forget_where_from(fresh)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _forget_where_from(folder: Path) -> None:
    run_git(("config", "--remove-section", "remote.origin"), at=folder, ok=(0, 128))
