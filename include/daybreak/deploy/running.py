"""Run a program of the team's (a command, the e2e suites): bounded in time, seeing only what it is given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daybreak.build.process import stopped, stopping
from daybreak.deploy.masking import masked
from daybreak.disk import needs_room

_LOOK_SECONDS = 0.5
#: What is kept of the output of one run.
_MAX_LOG = 10_000_000


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    :param code: exit code; negative is the signal that killed it.
    :param timed_out: it was killed because its time was over.
    :param log: its output, without secrets.
    """

    code: int
    timed_out: bool
    log: Path

    def tail(self, lines: int = 20) -> str:
        """The end of its output."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def describe(self) -> str:
        """For people: ``ended with exit code 3``."""
        if self.timed_out:
            return "was killed, its time was over"
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with exit code {self.code}"


def run(
    argv: Sequence[str],
    *,
    at: Path,
    environment: Mapping[str, str],
    seconds: float,
    log: Path,
    stdout: Path | None = None,
) -> Ended:
    """Run ``argv`` in the folder ``at`` with exactly ``environment``, for at most ``seconds``, and not much
    longer than this thread is to work (`process.stopping`).

    Nothing that it started outlives it.

    :param log: gets stdout and stderr, secrets of ``environment`` masked.
    :param stdout: gets stdout instead, as it is.
    :raises OSError: when it cannot be started.
    :raises DiskFull: when its output cannot be kept.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    raw = log.with_name(f"{log.name}.raw")
    try:
        with (
            open(os.open(raw, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output,
            open(stdout or os.devnull, "wb") as separate,
        ):
            process = subprocess.Popen(
                argv, cwd=at, env=dict(environment), stdin=subprocess.DEVNULL,
                stdout=separate if stdout else output, stderr=output, start_new_session=True,
            )  # fmt: skip
            try:
                code, timed_out = _waited(process, seconds)
            finally:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        text = _end_of(raw).decode("utf-8", "replace")
        with needs_room(log):
            log.write_text(masked(text, environment), encoding="utf-8")
    finally:
        raw.unlink(missing_ok=True)
    return Ended(code, timed_out, log)


def _waited(process: subprocess.Popen[bytes], seconds: float) -> tuple[int, bool]:
    """Its exit code, and whether its time was over."""
    deadline = time.monotonic() + seconds
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        try:
            return process.wait(left if stopping.get() is None else min(left, _LOOK_SECONDS)), False
        except subprocess.TimeoutExpired:
            over = time.monotonic() >= deadline
            if over or stopped():
                return -signal.SIGKILL, over


def plain_python() -> str:
    """The interpreter under the orchestrator's virtual environment: the same Python, none of its packages."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix) / "bin" / f"python{version}"
    return str(base) if base.exists() else sys.executable


def plain_path(path: str) -> str:
    """``PATH`` without the orchestrator's virtual environment, whose tools are not the team's."""
    if sys.prefix == sys.base_prefix:
        return path
    own = str(Path(sys.prefix) / "bin")
    return os.pathsep.join(folder for folder in path.split(os.pathsep) if folder.rstrip("/") != own)


def _end_of(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _MAX_LOG))
        return file.read()
