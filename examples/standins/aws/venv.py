"""The emulator's own virtual environment, ``<repository>/.venv-aws``, made once from requirements.txt."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
LOCK = HERE / "requirements.txt"
FOLDER = REPOSITORY / ".venv-aws"


class VenvFailed(RuntimeError):
    """The environment could not be made; the message ends with uv's own words."""


def ensure(folder: Path = FOLDER) -> Path:
    """Make the environment unless it is there already, and return its Python.

    Safe for several processes at once: one makes it, the others wait for it.

    :raises VenvFailed: uv is missing, or an install failed.
    """
    python = folder / "bin" / "python"
    marker = folder / "lock.sha256"
    wanted = _fingerprint()
    if _marked(marker, wanted):
        return python
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".making").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _marked(marker, wanted):
            return python
        marker.unlink(missing_ok=True)
        uv = _uv()
        # --allow-existing: the folder holds the lock that others wait for; the sync removes what is stale.
        _run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(LOCK)])
        marker.write_text(wanted, encoding="utf-8")
    return python


def _fingerprint() -> str:
    """Names the lock and the Python that it is installed for."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return hashlib.sha256(LOCK.read_bytes() + version.encode()).hexdigest()


def _marked(marker: Path, wanted: str) -> bool:
    try:
        return marker.read_text(encoding="utf-8") == wanted
    except FileNotFoundError:
        return False


def _uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise VenvFailed(f"uv is neither beside {sys.executable} nor on PATH; run `make setup` first")
    return found


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise VenvFailed(f"`{' '.join(command[:3])} …` failed:\n{done.stderr.strip()[-2000:]}")
