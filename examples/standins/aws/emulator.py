"""Starts, asks and stops the AWS emulator. Used by tests and the demo; needs nothing but the standard
library.

with AwsEmulator().start(Path(".demo/aws")) as aws:
    boto3.client("s3", endpoint_url=aws.endpoint_url, …)
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from examples.standins.aws import venv

_HOST = "127.0.0.1"
#: Variables of the caller that the emulator, and so the functions that run in it, may see.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE")


class EmulatorFailed(RuntimeError):
    """The emulator did not start, died, or refused a control call; the message holds the log's tail."""


class Faults:
    """What shall go wrong: a client of the emulator's control endpoint (README.md lists the kinds)."""

    def __init__(self, emulator: AwsEmulator) -> None:
        self._emulator = emulator

    def inject(self, kind: str, service: str | None, action: str | None = None, **details: Any) -> str:
        """Add one fault and return its id.

        :param kind: ``throttle``, ``error``, ``error5xx_before``, ``error5xx_after``, ``hang_up_before``,
            ``hang_up_after``, ``delay``, ``bucket``, ``stack_failure``, ``stack_duration`` or ``linger``.
        :param service: name of boto3's client (``dynamodb``, ``ec2``, ``emr`` …); ``None`` matches all.
        :param action: operation of the API (``CreateTable``); ``None`` matches all.
        :param details: ``account``, ``times``, ``seconds``, ``capacity`` … as the kind needs them.
        :raises EmulatorFailed: the emulator does not know the kind or one of the details.
        """
        body = {"kind": kind, "service": service, "action": action, **details}
        return str(self._emulator.control("POST", "faults", body)["id"])

    def listed(self) -> list[dict[str, Any]]:
        """All faults with how often each has ``fired``."""
        return list(self._emulator.control("GET", "faults")["faults"])

    def remove(self, fault: str) -> None:
        """Take one fault away by its id; nothing there is success."""
        self._emulator.control("DELETE", f"faults?id={fault}")

    def clear(self, account: str | None = None) -> None:
        """Take all faults away, or those of one account."""
        self._emulator.control("DELETE", "faults" + (f"?account={account}" if account else ""))


class AwsEmulator:
    """One emulator, in a process group of its own: :meth:`start`, then :meth:`stop`.

    :param name: what it is called in URLs: an address, since S3 puts buckets before a host's name.
    :param address: where it listens: on this machine alone, or ``0.0.0.0`` in a container.
    """

    def __init__(self, name: str = _HOST, address: str = _HOST) -> None:
        self.name, self.address = name, address
        self.home = Path()
        self.port = 0
        self.faults = Faults(self)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> AwsEmulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint_url(self) -> str:
        """Base URL for ``endpoint_url=`` and ``AWS_ENDPOINT_URL``."""
        return f"http://{self.name}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the emulator, which is its process group's id too."""
        if self._process is None:
            raise EmulatorFailed("the AWS emulator is not running; call start() first")
        return self._process.pid

    def start(
        self,
        home: Path,
        port: int | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        die_with_parent: bool = True,
        timeout: float = 60.0,
    ) -> AwsEmulator:
        """Start the emulator and wait until it answers.

        :param home: folder for its log, temporary files and the functions' code.
        :param port: ``None`` takes a free one.
        :param environment: more variables for the emulator, for example ``{"AUTH": "true"}``.
        :param die_with_parent: the emulator ends when this process does, however it ends.
        :param timeout: seconds to wait for health.
        :raises EmulatorFailed: the port is taken, or it did not become healthy; with the log's tail.
        """
        if self._process is not None:
            raise EmulatorFailed(f"this emulator is already running on port {self.port}")
        python = venv.ensure()
        self.home = home.resolve()
        (self.home / "tmp").mkdir(parents=True, exist_ok=True)
        # The socket is bound here and handed over, so that no other process can take a free port in between.
        with _listen(self.address, port) as listener, self.log_path.open("ab") as log:
            self.port = listener.getsockname()[1]
            self._process = subprocess.Popen(
                [str(python), str(venv.HERE / "launcher.py"), "--fd", str(listener.fileno())]
                + (["--until-stdin-closes"] if die_with_parent else []),
                stdin=subprocess.PIPE if die_with_parent else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                env=self._environment(environment or {}),
                pass_fds=(listener.fileno(),),
                start_new_session=True,
            )
        try:
            self._wait_healthy(timeout)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, grace: float = 5.0) -> None:
        """Stop the emulator and everything that it started; not running is success.

        :param grace: seconds between SIGTERM and SIGKILL.
        """
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if not _ended(process.pid):
            os.kill(process.pid, signal.SIGTERM)
            deadline = time.monotonic() + grace
            while not _ended(process.pid) and time.monotonic() < deadline:
                time.sleep(0.02)
        # The leader is not reaped yet, so its id cannot have been given to a stranger.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    @property
    def log_path(self) -> Path:
        """What the emulator wrote."""
        return self.home / "aws.log"

    def journal(self, since: int = 0, *, account: str | None = None) -> list[dict[str, Any]]:
        """Calls with a number above ``since``, oldest first; see README.md for the fields.

        :param account: only the calls made with this account's key.
        """
        query = f"journal?since={since}" + (f"&account={account}" if account else "")
        return list(self.control("GET", query)["calls"])

    def clear_journal(self) -> None:
        """Forget all calls; the numbers go on."""
        self.control("DELETE", "journal")

    def snapshot(self, account: str) -> str:
        """Remember an account as it is; the snapshot's id, for :meth:`restore`."""
        return str(self.control("POST", "snapshots", {"account": account})["id"])

    def restore(self, snapshot: str) -> None:
        """Make an account what it was; nothing may be in progress in it."""
        self.control("PUT", f"snapshots?id={snapshot}")

    def bill(self, account: str, rows: list[dict[str, Any]]) -> None:
        """What an account was billed: rows of ``day``, ``service``, ``amount`` (US dollars) and ``tags``."""
        self.control("POST", "costs", {"account": account, "rows": rows})

    def inject(self, kind: str, service: str | None, action: str | None = None, **details: Any) -> str:
        """Short for :meth:`Faults.inject`."""
        return self.faults.inject(kind, service, action, **details)

    def clear_faults(self, account: str | None = None) -> None:
        """Short for :meth:`Faults.clear`."""
        self.faults.clear(account)

    def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call ``/_daybreak/<path>``.

        :raises EmulatorFailed: the emulator refused, or does not answer.
        """
        request = urllib.request.Request(
            f"{self.endpoint_url}/_daybreak/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        try:
            with _OPENER.open(request, timeout=30) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            raise EmulatorFailed(f"{method} {path}: {error.read().decode(errors='replace')}") from None
        except OSError as error:
            raise EmulatorFailed(
                f"the AWS emulator at {self.endpoint_url} does not answer: {error}"
            ) from error

    @property
    def ended(self) -> bool:
        """Whether it ended by itself."""
        return _ended(self.pid)

    def wait(self) -> int:
        """Wait until the emulator ends by itself and return its exit code."""
        assert self._process is not None
        return self._process.wait()

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {
            **passed,
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "STATE_DIR": str(self.home / "state"),
            "S3_DATA_DIR": str(self.home / "s3"),
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_HOST": self.name,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            **more,
        }

    def _wait_healthy(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if _ended(self.pid):
                raise EmulatorFailed(f"the AWS emulator ended while starting; its log says:\n{self._tail()}")
            try:
                self.control("GET", "health")
            except EmulatorFailed:
                time.sleep(0.05)
            else:
                return
        raise EmulatorFailed(
            f"the AWS emulator was not healthy after {timeout:g} s; its log says:\n{self._tail()}"
        )

    def _tail(self, lines: int = 30) -> str:
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])


#: No proxy: a proxy of the machine must not come between us and 127.0.0.1.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _listen(address: str, port: int | None) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port or 0))
    except OSError as error:
        listener.close()
        raise EmulatorFailed(f"port {port} on {address} is not free ({error}); choose another") from error
    listener.listen(128)
    return listener


def _ended(pid: int) -> bool:
    """Whether our child has ended, without reaping it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
