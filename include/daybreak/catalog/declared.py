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
#: So many times the limit has who did not end within it.
_PATIENCE = 3

_INCLUDE = Path(__file__).resolve().parents[2]
_EVALUATE = Path(__file__).with_name("_evaluate.py")


def evaluate(source: bytes, catalog_path: str, time_limit: float) -> list[dict[str, Any]]:
    """What the file declares, as data, in order of declaration.

    It runs in another process, with an empty environment and an empty folder, for at most ``time_limit``
    seconds. One that gives no answer in them is run once more, for three times as long: the machine may have
    been busy, or out of memory, and people are told of what is found here as their own fault.

    :raises CatalogError: naming ``file:line`` and the field.
    """
    name = catalog_path.rpartition("/")[2]
    answer = _answer(source, name, time_limit) or _answer(source, name, _PATIENCE * time_limit)
    if answer is None:
        raise CatalogError(
            f"{catalog_path}: did not end within {_PATIENCE * time_limit:g} s; it must only declare resources"
        )
    if not answer:
        raise CatalogError(f"{catalog_path}: its process ended without handing over a catalog")
    if "error" in answer:
        line = f":{answer['line']}" if answer["line"] else ""
        raise CatalogError(f"{catalog_path}{line}: {answer['error']}")
    found: list[dict[str, Any]] = answer["resources"]
    return found


def _answer(source: bytes, name: str, time_limit: float) -> dict[str, Any] | None:
    """What the process hands over; empty when it ends without that, ``None`` when it does not end."""
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
        return None
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError:
        return {}
    return answer


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
