"""Run other people's commands: what they may see, how long they may take, where their output goes."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from daybreak.disk import DiskFull, says_no_room
from daybreak.errors import DaybreakError, UsageError

#: What every build and test may see of the orchestrator's environment. Everything else may be a secret.
ALLOWED = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")

#: And without user and password: who installs packages runs code of a pull request, too, such as the build of
#: a source distribution that its lock names.
PROXIES = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "http_proxy", "https_proxy", "no_proxy", "all_proxy",
)  # fmt: skip

#: 1980-01-01, the first instant that a zip can hold: the same inputs give the same bytes in every commit.
SOURCE_DATE_EPOCH = 315_532_800

#: Set in a thread that builds or tests: its commands are killed soon after the event.
stopping: ContextVar[threading.Event | None] = ContextVar("stopping", default=None)

_LOOK_SECONDS = 0.25
_STALE_SECONDS = 24 * 3600
_TAIL_LINES = 20


class CommandFailed(DaybreakError):
    """A command ended badly; its output is in the log."""

    code = "command_failed"


def stopped() -> bool:
    """Whether what this thread works on is to end soon."""
    stop = stopping.get()
    return stop is not None and stop.is_set()


@contextmanager
def unhurried() -> Iterator[None]:
    """Inside, commands come to their end although this thread is to stop."""
    before = stopping.set(None)
    try:
        yield
    finally:
        stopping.reset(before)


@dataclass
class Shell:
    """Where and with what the commands of one build run.

    :param folder: a temporary folder; it is also their HOME.
    :param log: the file that gets all output.
    :param deadline: on the monotonic clock; who still works then is killed with all children.
    """

    folder: Path
    log: Path
    deadline: float
    environment: Mapping[str, str]

    def run(self, command: Sequence[str], *, at: Path, variables: Mapping[str, str] | None = None) -> None:
        """Run ``command`` in the folder ``at``.

        :raises CommandFailed: with the code of :class:`DiskFull` where the command says that it is.
        """
        code = self.call(command, at=at, variables=variables)
        if code != 0:
            why = DiskFull.code if says_no_room(self.tail()) else None
            raise CommandFailed(f"`{_shown(command)}` ended with exit code {code}", code=why)

    def call(self, command: Sequence[str], *, at: Path, variables: Mapping[str, str] | None = None) -> int:
        """Run ``command`` and return its exit code; raises :class:`CommandFailed` when time is up."""
        with self.log.open("ab") as log:
            log.write(f"$ {_shown(command)}\n".encode(errors="replace"))
            log.flush()
            try:
                process = subprocess.Popen(
                    command,
                    cwd=at,
                    env={**self.environment, **(variables or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise CommandFailed(f"`{_shown(command)}` cannot be started: {error.strerror}") from None
            try:
                while not _ended(process, min(_LOOK_SECONDS, self.deadline - time.monotonic())):
                    if time.monotonic() >= self.deadline:
                        raise CommandFailed(
                            f"`{_shown(command)}` was killed: the time limit (build.timeout_seconds) is over",
                            code="timeout",
                        )
                    if stopped():
                        raise CommandFailed(f"`{_shown(command)}` was stopped", code="stopped")
                return process.returncode
            finally:
                # Also after a normal end: nothing that a build started outlives it.
                _kill_group(process)

    def tail(self) -> str:
        """The last lines of the log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


@contextmanager
def shell(home: Path, log: Path, *, timeout: float, passed: Sequence[str]) -> Iterator[Shell]:
    """A fresh temporary folder under ``home`` with an allow-listed environment; gone in the end.

    :param passed: names of variables that may be seen as they are (``build.pass_environment``).
    """
    folder = scratch(home)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        yield Shell(folder, log, time.monotonic() + timeout, environment(folder, passed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch(home: Path) -> Path:
    """A new folder under ``<home>/tmp``; what kills left there a day ago is swept on the way."""
    parent = home.absolute() / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.iterdir():
        try:
            if time.time() - old.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        except FileNotFoundError:
            continue
    return Path(tempfile.mkdtemp(dir=parent))


def environment(
    folder: Path, passed: Sequence[str] = (), environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The variables that commands in ``folder`` get."""
    seen = {**_proxies(environ), **{name: environ[name] for name in (*ALLOWED, *passed) if name in environ}}
    inner = folder / "tmp"
    inner.mkdir(exist_ok=True)
    # uv looks for settings in all parents; this ends its search before it leaves the folder.
    (folder / "uv.toml").touch()
    # HOME moves, uv's cache stays: otherwise every build would download the world again.
    cache = (
        environ.get("UV_CACHE_DIR") or Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"
    )
    return {
        "LC_ALL": "C.UTF-8",
        **seen,
        "HOME": str(folder),
        "TMPDIR": str(inner),
        "UV_CACHE_DIR": str(cache),
        "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
        "PYTHONHASHSEED": "0",
        "NO_COLOR": "1",
    }


def visible(passed: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that a container gets: nothing of the allow-list that names a file of this machine."""
    return {
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "NO_COLOR": "1",
        "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
        **_proxies(environ),
        **{name: environ[name] for name in ("TZ", *passed) if name in environ},
    }


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Where proxies are, not who may use them; curl takes one without ``http://`` too."""
    told = {name: environ[name] for name in PROXIES if name in environ}
    return {name: re.sub(r"^(\w+://)?.*@", r"\1", value.strip(), flags=re.S) for name, value in told.items()}


def uv() -> str:
    """The uv that belongs to this Python, else the one on PATH; raises :class:`UsageError` for none."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise UsageError("uv is not installed beside this Python nor on PATH; `make setup` brings it")
    return found


def interpreter(version: str) -> str:
    """What to ask uv for: this very interpreter when it has the wanted version, else the version."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    return sys.executable if version == here else version


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for at most ``seconds``; whether ``process`` has ended."""
    seconds = max(0.0, seconds)
    if hasattr(os, "pidfd_open"):
        # Popen.wait() with a time limit looks every 50 ms; a build is many short commands.
        descriptor = os.pidfd_open(process.pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(seconds * 1000)
        finally:
            os.close(descriptor)
        return process.poll() is not None
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


def _shown(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:]])
