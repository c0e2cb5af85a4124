"""Processes of the host: started in sessions of their own, ended as whole groups, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
# Loaded here, not between fork and exec. None where there is no prctl: there the reaper does it alone.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

#: What every service gets besides its own variables: nothing of the host's environment passes on.
BASE_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


def hide() -> None:
    """Keep this process' environment and memory from others of its user, as from its services (Linux only).

    What it forks is hidden too, until it executes a program of its own.
    """
    # https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html: /proc/PID/environ asks for it.
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class Reaper:
    """A forked process that does one thing: when the host is gone, SIGKILL what it left.

    PR_SET_PDEATHSIG ends only the direct children of a killed host, not the workers that these forked. The
    reaper knows the process groups and notices the host's end because its pipe closes. It also holds a copy
    of the host's lock, so the next host starts only after the old one's services are gone.
    """

    def __init__(self) -> None:
        reading, self._pipe = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._pipe)
            try:
                _reap(reading)
            finally:
                os._exit(0)
        os.close(reading)

    def add(self, group: int) -> None:
        """This process group is to go when the host goes."""
        self._send(f"+{group}\n")

    def discard(self, group: int) -> None:
        """This process group is gone; its number may belong to somebody else soon."""
        self._send(f"-{group}\n")

    def close(self) -> None:
        """End the reaper (and every group that is still known to it)."""
        os.close(self._pipe)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _send(self, line: str) -> None:
        # Without its reaper the host still has PR_SET_PDEATHSIG.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, line.encode())


def _reap(reading: int) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    groups: set[int] = set()
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            group = int(line[1:])
            if line[:1] == b"+":
                groups.add(group)
            else:
                groups.discard(group)
    for group in groups:
        _kill_group(group, signal.SIGKILL)


def _kill_group(group: int, number: signal.Signals) -> None:
    # PermissionError is what macOS says of a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


class Child:
    """One running process of a service and everything that it forked.

    Must be made in the main thread: the kernel sends the death signal when the *thread* that forked ends.

    :param output: called with what the process writes to stdout and stderr.
    :raises OSError: when the program or the folder does not exist.
    """

    def __init__(
        self,
        argv: tuple[str, ...],
        env: Mapping[str, str],
        cwd: str,
        reaper: Reaper,
        output: Callable[[bytes], None],
    ) -> None:
        self.exited = asyncio.Event()
        self.returncode: int | None = None
        self._reaper, self._output = reaper, output
        host = os.getpid()

        def die_with_host() -> None:
            if _LIBC is not None:
                _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
                if os.getppid() != host:  # it died between fork and prctl
                    os._exit(1)

        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        try:
            # preexec_fn is safe here: the host has one thread.
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                argv,
                env={**BASE_ENVIRONMENT, **env},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
                preexec_fn=die_with_host,  # noqa: PLW1509
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._reaper.add(self.pid)
        self._reading = reading
        asyncio.get_running_loop().add_reader(reading, self._read)

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group and session."""
        return self._process.pid

    def poll(self) -> None:
        """Notice its end. Called at SIGCHLD."""
        if self.exited.is_set():
            return
        # Look without reaping: as long as the zombie is there, its group's number cannot be anybody else's,
        # so what it leaves behind is killed safely.
        if hasattr(os, "waitid"):
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return
        elif self._process.poll() is None:
            return
        _kill_group(self.pid, signal.SIGKILL)
        self.returncode = self._process.wait()
        self._reaper.discard(self.pid)
        self._read()
        self._close()
        self.exited.set()

    async def terminate(self, grace_seconds: float) -> None:
        """SIGTERM to the group; SIGKILL to what is still there after the grace."""
        if not self.exited.is_set():
            _kill_group(self.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.exited.wait(), grace_seconds)
        if not self.exited.is_set():
            _kill_group(self.pid, signal.SIGKILL)
            await self.exited.wait()

    def describe_end(self) -> str:
        """How it ended, for people."""
        code = self.returncode
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exited with code {code}"

    def _read(self) -> None:
        # Bounded for each call, so that a flooding service does not keep the others waiting.
        for _ in range(16):
            try:
                data = os.read(self._reading, 65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._close()
                return
            self._output(data)

    def _close(self) -> None:
        if self._reading >= 0:
            asyncio.get_running_loop().remove_reader(self._reading)
            os.close(self._reading)
            self._reading = -1
