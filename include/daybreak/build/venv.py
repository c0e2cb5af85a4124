"""Virtual environments of services: one for each content key, shared by all environments."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from daybreak.build.locks import LOCK, install
from daybreak.build.process import CommandFailed, Shell, interpreter, shell, uv
from daybreak.disk import DiskFull, needs_room
from daybreak.errors import DaybreakError
from daybreak.locking import exclusive

_TIMEOUT_SECONDS = 600
_READY = ".daybreak-ready"


class VenvFailed(DaybreakError):
    """A virtual environment could not be made; the message ends with the last lines of its log."""

    code = "venv_failed"


@needs_room()
def materialize(
    package_folder: Path,
    key: str,
    home: Path,
    python: str | None = None,
    *,
    passed: Sequence[str] = (),
    log: Callable[[str], None] = print,
) -> Path:
    """The virtual environment of a service's artifact, ``<home>/runtimes/<key>``.

    It holds the locked third-party packages and the artifact's own wheels, and nothing from anywhere else.

    :param package_folder: the artifact: ``wheels/``, ``requirements.txt``, ``runtime.json``.
    :param python: the Python version; by default what ``runtime.json`` says.
    :param passed: variables that uv may see beside the allow-list (``build.pass_environment``).
    :raises VenvFailed: when a package, a hash or a dependency is missing.
    :raises DiskFull: this machine's disk is.
    """
    folder = home.absolute() / "runtimes" / key
    ready = folder / _READY
    if ready.exists():
        return folder
    with exclusive(home.absolute() / "locks" / f"runtime-{key}.lock"):
        if ready.exists():
            return folder
        # Its scripts name its path, so it is made in place; without the marker it is a wreck.
        shutil.rmtree(folder, ignore_errors=True)
        log(f"making the virtual environment {key[:12]}")
        version = (
            python or json.loads((package_folder / "runtime.json").read_text(encoding="utf-8"))["python"]
        )
        where = home.absolute() / "logs" / "venv" / f"{key}.log"
        with shell(home, where, timeout=_TIMEOUT_SECONDS, passed=passed) as sh:
            lock = package_folder / LOCK
            wheels = sorted((package_folder / "wheels").glob("*.whl"))
            try:
                fill(sh, folder, version, [lock] if lock.is_file() else [], wheels)
            except CommandFailed as error:
                said = f"no virtual environment for {key[:12]}: {error}. Log: {where}\n{sh.tail()}"
                raise VenvFailed(said, code=error.code if error.code == DiskFull.code else None) from None
        ready.touch()
    return folder


def fill(sh: Shell, folder: Path, version: str, locks: Sequence[Path], wheels: Sequence[Path]) -> None:
    """Make a virtual environment from hashed locks and first-party wheels, and check that it is whole.

    :raises CommandFailed: also when a wheel needs something that no lock and no wheel brings.
    """
    at = sh.folder
    sh.run((uv(), "venv", "--quiet", "--no-project", "--python", interpreter(version), str(folder)), at=at)
    into = ("--python", str(folder / "bin" / "python"))
    install(sh, into, [lock for lock in locks if _says_something(lock)], wheels, at=at)
    sh.run((uv(), "pip", "check", *into), at=at)


def _says_something(lock: Path) -> bool:
    lines = lock.read_text(encoding="utf-8").splitlines()
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)
