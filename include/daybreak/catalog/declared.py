"""``resources.py`` is the team's code: evaluated in a process of its own, handed over as data."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from daybreak.errors import CatalogError

#: More than any real catalog says.
_ANSWER_LIMIT_BYTES = 64 << 20

_INCLUDE = Path(__file__).resolve().parents[2]
_EVALUATE = Path(__file__).with_name("_evaluate.py")


def evaluate(source: bytes, catalog_path: str, time_limit: float) -> list[dict[str, Any]]:
    """What the file declares, as data, in order of declaration.

    It runs in another process, with an empty environment and an empty folder, for at most ``time_limit``
    seconds.

    :raises CatalogError: naming ``file:line`` and the field.
    """
    name = catalog_path.rpartition("/")[2]
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
