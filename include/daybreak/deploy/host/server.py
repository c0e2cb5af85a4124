"""The host itself: one thread, one event loop, one socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daybreak.deploy.host import ports
from daybreak.deploy.host.child import Reaper
from daybreak.deploy.host.files import HostFiles, read_json, take_lock, write_private
from daybreak.deploy.host.log import RotatingLog
from daybreak.deploy.host.service import Service, Timing
from daybreak.deploy.host.spec import Health, ServiceId, ServiceSpec
from daybreak.errors import DaybreakError, UsageError

#: The longest request; a spec with a large environment is some kilobytes.
LONGEST_LINE = 1 << 20
#: How many services start at once when a host revives a whole home.
_REVIVED_AT_ONCE = 4


@dataclass(frozen=True)
class _Wanted:
    """What should run: the spec, whether it was ever healthy, and the last one before it that was."""

    spec: ServiceSpec
    proven: bool
    previous: ServiceSpec | None


class Host:
    """Owns the services of one home."""

    def __init__(self, files: HostFiles, reaper: Reaper, timing: Timing, log_limit: int = 5_000_000) -> None:
        self._files, self._reaper, self._timing, self._log_limit = files, reaper, timing, log_limit
        self._services: dict[ServiceId, Service] = {}
        self._wanted: dict[ServiceId, _Wanted] = {}
        self._ports: dict[ServiceId, int] = {}
        self._locks: dict[ServiceId, asyncio.Lock] = {}
        self._load()
        self._operations: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[Any]]] = {
            "ping": self._ping,
            "port": self._port,
            "put": self._put,
            "wait": self._wait,
            "status": self._status,
            "list": self._list,
            "rollback": self._rollback,
            "remove": self._remove,
            "logs": self._logs,
        }

    # State

    def _load(self) -> None:
        data = read_json(self._files.state) or {}
        try:
            self._ports = {ServiceId.parse(name): int(port) for name, port in data.get("ports", {}).items()}
            for name, entry in data.get("services", {}).items():
                previous = entry["previous"]
                self._wanted[ServiceId.parse(name)] = _Wanted(
                    ServiceSpec.from_json(entry["spec"]),
                    bool(entry["proven"]),
                    ServiceSpec.from_json(previous) if previous else None,
                )
        except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
            raise UsageError(
                f"{self._files.state} is not a host's state ({error!r}). Delete it: the next deploy puts the "
                f"services back."
            ) from None

    def _save(self) -> None:
        services = {
            str(name): {
                "spec": wanted.spec.to_json(),
                "proven": wanted.proven,
                "previous": wanted.previous.to_json() if wanted.previous else None,
            }
            for name, wanted in self._wanted.items()
        }
        write_private(
            self._files.state,
            {
                "version": 1,
                "ports": {str(name): port for name, port in self._ports.items()},
                "services": services,
            },
        )

    def _prove(self, name: ServiceId, spec: ServiceSpec) -> None:
        wanted = self._wanted.get(name)
        if wanted is not None and wanted.spec == spec and not wanted.proven:
            self._wanted[name] = _Wanted(spec, True, wanted.previous)
            self._save()

    def _lock(self, name: ServiceId) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    # Lifecycle

    def child_ended(self) -> None:
        """SIGCHLD: signals coalesce, so look at all of them."""
        for service in self._services.values():
            if service.child is not None:
                service.child.poll()

    async def revive(self) -> None:
        """Start everything that should run, a few at a time."""
        turn = asyncio.Semaphore(_REVIVED_AT_ONCE)

        async def one(name: ServiceId) -> None:
            async with turn:
                async with self._lock(name):
                    wanted = self._wanted.get(name)
                    if wanted is None or name in self._services:  # somebody was quicker
                        return
                    # The port stays even if a stranger took it: dependents know the address.
                    service = self._run(name, wanted.spec, wanted.spec.port or self._ports[name])
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(service.changed(), 10)

        await asyncio.gather(*(one(name) for name in sorted(self._wanted)))

    async def stop(self) -> None:
        """Stop all services; the state stays, for the next host."""
        services = list(self._services.values())
        self._services.clear()
        # child_ended looks only at _services: poll these until they are gone.
        stopping = asyncio.gather(*(service.stop() for service in services))
        while not stopping.done():
            for service in services:
                if service.child is not None:
                    service.child.poll()
            await asyncio.wait([stopping], timeout=0.02)
        await stopping

    def _run(self, name: ServiceId, spec: ServiceSpec, port: int) -> Service:
        service = Service(
            name,
            spec,
            port,
            log=self._log(name),
            reaper=self._reaper,
            timing=self._timing,
            on_proven=lambda: self._prove(name, spec),
        )
        self._services[name] = service
        service.start()
        return service

    def _log(self, name: ServiceId) -> RotatingLog:
        return RotatingLog(self._files.log(name.environment, name.service), limit=self._log_limit)

    async def _end(self, name: ServiceId) -> None:
        service = self._services.get(name)
        if service is not None:
            await service.stop()
            self._services.pop(name, None)  # not `del`: the host's own stop may have been quicker

    def _allocate(self, name: ServiceId) -> int:
        """The service's port, another one if a stranger sits on it while the service does not run."""
        port = self._ports.get(name)
        service = self._services.get(name)
        running = service is not None and service.child is not None
        if port is None or not (running or ports.is_free(port)):
            taken = frozenset(self._ports.values())
            port = ports.choose(name, str(self._files.home.absolute()), taken)
            self._ports[name] = port
            self._save()
        return port

    # Operations

    async def answer(self, request: Mapping[str, Any]) -> Any:
        """Do what a request says.

        :raises DaybreakError: which goes back to the client as text and code.
        """
        operation = self._operations.get(str(request.get("op")))
        if operation is None:
            raise UsageError(f"the host knows no operation {request.get('op')!r}; is it of another version?")
        return await operation(request)

    async def _ping(self, _: Mapping[str, Any]) -> Any:
        return {"pid": os.getpid(), "services": len(self._services)}

    async def _port(self, request: Mapping[str, Any]) -> Any:
        return self._allocate(_name(request))

    async def _put(self, request: Mapping[str, Any]) -> Any:
        name, spec = _name(request), ServiceSpec.from_json(request["spec"])
        async with self._lock(name):
            service, wanted = self._services.get(name), self._wanted.get(name)
            if (
                service is not None
                and service.spec == spec
                and service.health in {Health.STARTING, Health.HEALTHY}
            ):
                return service.status().to_json()
            previous = None
            if wanted is not None:
                previous = wanted.spec if wanted.proven and wanted.spec != spec else wanted.previous
            return await self._replace(name, _Wanted(spec, False, previous))

    async def _rollback(self, request: Mapping[str, Any]) -> Any:
        name = _name(request)
        async with self._lock(name):
            wanted = self._wanted.get(name)
            if wanted is None or wanted.previous is None:
                return None
            return await self._replace(name, _Wanted(wanted.previous, True, None))

    async def _replace(self, name: ServiceId, wanted: _Wanted) -> Any:
        await self._end(name)
        port = wanted.spec.port
        if port and not ports.is_free(port):
            raise UsageError(
                f"port {port} of {name} is taken by another process; stop that, or leave the port out"
            )
        port = port or self._allocate(name)
        # Written before it starts: a host that dies between the two revives it.
        self._wanted[name] = wanted
        self._save()
        return self._run(name, wanted.spec, port).status().to_json()

    async def _wait(self, request: Mapping[str, Any]) -> Any:
        name, seconds = _name(request), float(request["timeout"])
        try:
            async with asyncio.timeout(seconds):
                while True:
                    service = self._services.get(name)
                    if service is None:
                        raise DaybreakError(f"the host runs no {name}", code="unknown_service")
                    if service.health is Health.HEALTHY:
                        return service.status().to_json()
                    if service.health is Health.CRASH_LOOP:
                        raise DaybreakError(self._explain(service, "keeps crashing"), code="unhealthy")
                    # Bounded: after a put another Service stands there, and this one changes no more.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(service.changed(), 0.5)
        except TimeoutError:
            service = self._services.get(name)
            if service is None:
                raise DaybreakError(f"the host runs no {name}", code="unknown_service") from None
            text = self._explain(service, f"was not healthy within {seconds:g} s")
            raise DaybreakError(text, code="unhealthy") from None

    def _explain(self, service: Service, what: str) -> str:
        status = service.status()
        tail = service.log.tail(30) or "(it wrote nothing)"
        reason = f": {status.detail}" if status.detail else ""
        return f"{service.name} {what} ({status.health}{reason}). The end of its log:\n{tail}"

    async def _status(self, request: Mapping[str, Any]) -> Any:
        service = self._services.get(_name(request))
        if service is None:
            return None
        if request.get("probe"):
            await service.check()
        return service.status().to_json()

    async def _list(self, request: Mapping[str, Any]) -> Any:
        environment = request.get("environment")
        return [
            service.status().to_json()
            for name, service in sorted(self._services.items())
            if environment in {None, name.environment}
        ]

    async def _remove(self, request: Mapping[str, Any]) -> Any:
        environment, one = str(request["environment"]), request.get("service")
        names = [
            name for name in self._wanted if name.environment == environment and one in {None, name.service}
        ]

        async def remove(name: ServiceId) -> None:
            async with self._lock(name):
                await self._end(name)
                # The port stays allocated: the service comes back tomorrow under the same address.
                self._wanted.pop(name, None)
                self._save()
                self._log(name).delete()

        await asyncio.gather(*(remove(name) for name in names))
        return len(names)

    async def _logs(self, request: Mapping[str, Any]) -> Any:
        return self._log(_name(request)).tail(int(request["lines"]))


def _name(request: Mapping[str, Any]) -> ServiceId:
    return ServiceId(str(request["environment"]), str(request["service"]))


def serve(home: Path, *, timing: Timing | None = None, log_limit: int = 5_000_000) -> None:
    """Be the host of ``home`` until SIGTERM or SIGINT. Call it in the main thread of a process of its own.

    :raises UsageError: when another host serves this home, or its state cannot be read.
    """
    files = HostFiles(home.absolute())
    files.prepare()
    lock = take_lock(files.lock, patience_seconds=10)
    try:
        # Forked before there is an event loop or any other thread; it shares the lock.
        reaper = Reaper()
        try:
            asyncio.run(_serve(files, Host(files, reaper, timing or Timing(), log_limit)))
        finally:
            reaper.close()
    finally:
        os.close(lock)


async def _serve(files: HostFiles, host: Host) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loop.add_signal_handler(signal.SIGCHLD, host.child_ended)
    path = files.socket()
    path.unlink(missing_ok=True)  # of a host that was killed: we hold the lock
    mask = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(
            lambda reader, writer: _converse(host, reader, writer), path, limit=LONGEST_LINE
        )
    finally:
        os.umask(mask)
    write_private(
        files.address,
        {"pid": os.getpid(), "socket": str(path), "started": datetime.now(UTC).isoformat(timespec="seconds")},
    )
    _say(f"daybreak host {os.getpid()} serves {files.home}")
    revival = asyncio.create_task(host.revive())
    await over.wait()
    _say("daybreak host: stopping all services")
    revival.cancel()
    await asyncio.gather(revival, return_exceptions=True)
    server.close()
    await host.stop()
    files.address.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    if path.parent != files.home:
        with contextlib.suppress(OSError):
            path.parent.rmdir()


async def _converse(host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request, one answer, each a line of JSON."""
    try:
        try:
            request = json.loads(await reader.readline())
            if not isinstance(request, dict):
                raise UsageError("a request to the host is a JSON object on one line")
            answer = {"ok": True, "result": await host.answer(request)}
        except DaybreakError as error:
            answer = {"ok": False, "code": error.code, "error": str(error)}
        except (KeyError, TypeError, ValueError) as error:
            answer = {
                "ok": False,
                "code": "usage",
                "error": f"not a request that the host understands: {error!r}",
            }
        except Exception as error:  # a bug of ours must not take the services' owner down
            _say(f"daybreak host: {error!r}")
            answer = {"ok": False, "code": "host", "error": f"the host failed: {error!r}"}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
    except ConnectionError:
        pass  # the client went away; what it asked for is done
    finally:
        writer.close()


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
