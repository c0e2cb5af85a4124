"""Requirement locks: third-party packages come from them, pinned and hashed, and from nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from daybreak.build.process import Shell, uv
from daybreak.errors import UsageError

#: Beside a component: what it needs at run time.
LOCK = "requirements.txt"

#: Shipped with Daybreak: what makes wheels, and what runs tests where a team pins nothing of its own.
BUILD_TOOLS = Path(__file__).with_name("build-lock.txt")
TEST_TOOLS = Path(__file__).with_name("pytest-lock.txt")

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def normalised(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def refuse_first_party(lock: Path, shown: str, first_party: Iterable[str]) -> None:
    """Stop when ``lock`` names one of the monorepo's own distributions.

    A registry could answer for that name with something of somebody else's (dependency confusion);
    first-party packages come from wheels that were built here.

    :raises UsageError: with file and line.
    """
    own = {normalised(name) for name in first_party}
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), 1):
        found = _NAME.match(line)
        if found and normalised(found.group(1)) in own:
            raise UsageError(
                f"{shown}:{number}: {found.group(1)} is a package of this monorepo; "
                f"name it in packages_dependency and leave it out of the lock"
            )


def install(
    shell: Shell, into: Sequence[str], locks: Sequence[Path], wheels: Sequence[Path], *, at: Path
) -> None:
    """Install hashed locks, then first-party wheels over them.

    :param into: where: ``("--python", venv)`` or ``("--target", folder)``, as uv takes it.
    :raises CommandFailed: when a hash or a package is missing.
    """
    pip = (uv(), "pip", "install", *into, "--no-deps")
    for lock in locks:
        # Without dependencies: a lock is complete, and what it does not name is not installed.
        shell.run((*pip, "--require-hashes", "--requirement", str(lock)), at=at)
    if wheels:
        shell.run((*pip, "--no-index", *map(str, wheels)), at=at)


def distribution(wheel: Path) -> str:
    """The distribution's name in a wheel's file name."""
    return wheel.name.partition("-")[0]
