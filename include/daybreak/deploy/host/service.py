"""One service's life: start, health, crash, backoff, again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from daybreak.deploy.host.child import Child, Reaper
from daybreak.deploy.host.log import RotatingLog
from daybreak.deploy.host.spec import Health, ServiceId, ServiceSpec, ServiceStatus


@dataclass(frozen=True)
class Timing:
    """How patient the host is; all in seconds, counts where the name says so.

    :param stable: a service that was healthy this long has its earlier crashes forgiven.
    :param crash_loop_after: crashes in a row from which on the service is called a crash loop.
    :param unhealthy_after: failed checks in a row that make a healthy service unhealthy.
    """

    check_starting: float = 0.2
    check_running: float = 5.0
    check_timeout: float = 2.0
    unhealthy_after: int = 3
    backoff_first: float = 0.5
    backoff_cap: float = 60.0
    crash_loop_after: int = 5
    stable: float = 60.0
    grace: float = 5.0

    def backoff(self, crashes: int) -> float:
        """How long to wait before the next start, after this many crashes in a row (at least 1)."""
        return min(self.backoff_cap, self.backoff_first * 2.0 ** min(crashes - 1, 30))


async def probe(port: int, path: str, timeout_seconds: float) -> str | None:
    """Ask ``GET path`` on 127.0.0.1; ``None`` when it answers 200, else what was wrong."""
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode("latin-1", "replace"))
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        return f"GET {path} gave no answer in {timeout_seconds:g} s"
    except (OSError, ValueError) as error:
        return f"GET {path}: {error.__class__.__name__}"
    parts = line.split(maxsplit=2)
    if len(parts) >= 2 and parts[0].startswith(b"HTTP/") and parts[1] == b"200":
        return None
    return f"GET {path} answered {line.decode('latin-1').strip()[:80]!r}"


class Service:
    """Keeps one spec running. Only used inside the host's event loop.

    :param on_proven: called when the spec became healthy for the first time.
    """

    def __init__(
        self,
        name: ServiceId,
        spec: ServiceSpec,
        port: int,
        generation: int,
        *,
        log: RotatingLog,
        reaper: Reaper,
        timing: Timing,
        on_proven: Callable[[], None],
        machine: str = "127.0.0.1",
    ) -> None:
        self.name, self.spec, self.port, self.log = name, spec, port, log
        self.generation, self.machine = generation, machine
        self.child: Child | None = None
        self.health = Health.STOPPED
        self._detail = ""
        self._since = _now()
        self._starts = 0
        self._crashes = 0
        self._failed_checks = 0
        self._reaper, self._timing, self._on_proven = reaper, timing, on_proven
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Begin to keep it running."""
        self._become(Health.STARTING, "")
        self._task = asyncio.create_task(self._keep_running(), name=str(self.name))

    async def stop(self) -> None:
        """End its processes; nothing of it is left afterwards."""
        if self._task is not None:
            self._task.cancel()
            # An error in the keeping must not stop the stopping.
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self.child is not None:
            await self.child.terminate(self._timing.grace)
            self.child = None
        self._become(Health.STOPPED, "")
        self.log.close()

    async def check(self) -> None:
        """Ask it now, instead of believing the last check."""
        if self.child is not None and not self.child.exited.is_set():
            await self._check(self.child)

    async def changed(self) -> None:
        """Wait for another health."""
        await self._changed.wait()

    def status(self) -> ServiceStatus:
        """What is known now."""
        return ServiceStatus(
            environment=self.name.environment,
            service=self.name.service,
            key=self.spec.key,
            health=self.health,
            port=self.port,
            pid=self.child.pid if self.child is not None else None,
            since=self._since,
            restarts=max(0, self._starts - 1),
            detail=self._detail,
            generation=self.generation,
            machine=self.machine,
        )

    async def _keep_running(self) -> None:
        while True:
            ended = await self._run_once()
            self._crashes += 1
            delay = self._timing.backoff(self._crashes)
            looping = self._crashes >= self._timing.crash_loop_after
            detail = f"{ended}; crash {self._crashes} in a row, next start in {delay:g} s"
            self._note(detail)
            self._become(Health.CRASH_LOOP if looping else Health.BACKOFF, detail)
            await asyncio.sleep(delay)
            if not looping:
                self._become(Health.STARTING, detail)

    async def _run_once(self) -> str:
        self._starts += 1
        self._failed_checks = 0
        try:
            self.child = Child(
                self.spec.argv,
                {**self.spec.env, "PORT": str(self.port)},
                self.spec.cwd,
                self._reaper,
                self.log.write,
            )
        except OSError as error:
            return f"cannot start {self.spec.argv[0]}: {error.strerror}"
        child = self.child
        self._note(f"started process {child.pid}, key {self.spec.key[:12]}, port {self.port}")
        began = time.monotonic()
        while not child.exited.is_set():
            await self._check(child)
            if self.health is Health.HEALTHY and time.monotonic() - began >= self._timing.stable:
                self._crashes = 0
            settled = self.health in {Health.HEALTHY, Health.UNHEALTHY}
            pause = self._timing.check_running if settled else self._timing.check_starting
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.exited.wait(), pause)
        self.child = None
        return child.describe_end()

    async def _check(self, child: Child) -> None:
        problem = await probe(self.port, self.spec.health, self._timing.check_timeout)
        if child.exited.is_set():  # whoever answered, it was not this process
            return
        if problem is None:
            self._failed_checks = 0
            if self.health is not Health.HEALTHY:
                self._become(Health.HEALTHY, "")
                self._on_proven()
            return
        self._failed_checks += 1
        if self.health is Health.HEALTHY and self._failed_checks >= self._timing.unhealthy_after:
            self._become(Health.UNHEALTHY, problem)
        elif self.health is Health.STARTING:
            self._detail = problem

    def _become(self, health: Health, detail: str) -> None:
        self._detail = detail
        if health is not self.health:
            self.health, self._since = health, _now()
            self._changed.set()
            self._changed = asyncio.Event()

    def _note(self, text: str) -> None:
        self.log.write(f"--- daybreak host {_now()}: {text}\n".encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
