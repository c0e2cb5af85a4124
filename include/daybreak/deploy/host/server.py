"""The host itself: one thread, one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from daybreak.deploy.host import ports
from daybreak.deploy.host.child import Reaper
from daybreak.deploy.host.door import Door
from daybreak.deploy.host.files import HostFiles, read_json, write_private
from daybreak.deploy.host.log import RotatingLog
from daybreak.deploy.host.preparing import Preparing
from daybreak.deploy.host.service import Service, Timing
from daybreak.deploy.host.spec import Health, ServiceId, ServiceSpec
from daybreak.errors import DaybreakError, UsageError

#: How many services start at once when a host revives a whole home.
_REVIVED_AT_ONCE = 4


@dataclass(frozen=True)
class _Wanted:
    """What should run: the spec, whether it was ever healthy, and the last one before it that was."""

    spec: ServiceSpec
    proven: bool
    previous: ServiceSpec | None


class Host:
    """Owns the services of one home.

    :param door: how other machines reach them; ``None``: not at all.
    """

    def __init__(
        self, files: HostFiles, reaper: Reaper, timing: Timing, log_limit: int = 5_000_000,
        door: Door | None = None,
    ) -> None:  # fmt: skip
        self._files, self._reaper, self._timing, self._log_limit = files, reaper, timing, log_limit
        self._door, self._preparing = door, Preparing(files)
        self._services: dict[ServiceId, Service] = {}
        self._wanted: dict[ServiceId, _Wanted] = {}
        self._ports: dict[ServiceId, int] = {}
        self._generations: dict[ServiceId, int] = {}
        self._locks: dict[ServiceId, asyncio.Lock] = {}
        self._load()
        self._operations: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[Any]]] = {
            "ping": self._ping,
            "port": self._port,
            "prepare": self._prepare,
            "put": self._put,
            "wait": self._wait,
            "status": self._status,
            "list": self._list,
            "generations": self._told_generations,
            "rollback": self._rollback,
            "remove": self._remove,
            "logs": self._logs,
        }

    # State

    def _load(self) -> None:
        data = read_json(self._files.state) or {}
        try:
            self._ports = {ServiceId.parse(name): int(port) for name, port in data.get("ports", {}).items()}
            self._generations = {
                ServiceId.parse(name): int(number) for name, number in data.get("generations", {}).items()
            }
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
                "generations": {str(name): number for name, number in self._generations.items()},
                "services": services,
            },
        )

    def _prove(self, name: ServiceId, spec: ServiceSpec) -> None:
        wanted = self._wanted.get(name)
        if wanted is not None and wanted.spec == spec and not wanted.proven:
            self._wanted[name] = _Wanted(spec, True, wanted.previous)
            self._save()

    def _is_as_seen(self, name: ServiceId, seen: Any) -> bool:
        """Whether nobody put or removed the service since; ``None`` asks for nothing."""
        return seen is None or int(seen) == self._generations.get(name, 0)

    def _require_as_seen(self, name: ServiceId, seen: Any) -> None:
        if not self._is_as_seen(name, seen):
            raise DaybreakError(f"{name} was changed by somebody else since it was looked at", code="lost_op")

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
                    service = await self._run(name, wanted.spec, wanted.spec.port or self._ports[name])
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(service.changed(), 10)

        await asyncio.gather(*(one(name) for name in sorted(self._wanted)))

    async def stop(self) -> None:
        """Stop all services; the state stays, for the next host."""
        services = list(self._services.values())
        self._services.clear()
        if self._door is not None:
            self._door.close()
        # child_ended looks only at _services: poll these until they are gone.
        stopping = asyncio.gather(*(service.stop() for service in services))
        while not stopping.done():
            for service in services:
                if service.child is not None:
                    service.child.poll()
            await asyncio.wait([stopping], timeout=0.02)
        await stopping

    async def _run(self, name: ServiceId, spec: ServiceSpec, port: int) -> Service:
        if self._door is not None:
            await self._door.open(port)
        service = Service(
            name,
            spec,
            port,
            self._generations.get(name, 0),
            log=self._log(name),
            reaper=self._reaper,
            timing=self._timing,
            on_proven=lambda: self._prove(name, spec),
            machine=self._door.machine if self._door is not None else "127.0.0.1",
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
            if self._door is not None:
                self._door.shut(service.port)
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

    async def _prepare(self, request: Mapping[str, Any]) -> Any:
        return await self._preparing.prepare(_name(request), str(request["key"]))

    async def _put(self, request: Mapping[str, Any]) -> Any:
        name, spec = _name(request), ServiceSpec.from_json(request["spec"])
        async with self._lock(name):
            self._require_as_seen(name, request.get("seen"))
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
            self._require_as_seen(name, request.get("seen"))
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
        self._generations[name] = self._generations.get(name, 0) + 1
        self._save()
        return (await self._run(name, wanted.spec, port)).status().to_json()

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

    async def _told_generations(self, request: Mapping[str, Any]) -> Any:
        environment = request["environment"]
        return {
            name.service: number
            for name, number in self._generations.items()
            if name.environment == environment
        }

    async def _remove(self, request: Mapping[str, Any]) -> Any:
        environment, one, seen = str(request["environment"]), request.get("service"), request.get("seen")
        names = [
            name for name in self._wanted if name.environment == environment and one in {None, name.service}
        ]

        async def remove(name: ServiceId) -> bool:
            async with self._lock(name):
                if seen is not None and not self._is_as_seen(name, seen.get(name.service, 0)):
                    return False
                await self._end(name)
                # The port stays allocated: the service comes back tomorrow under the same address.
                self._wanted.pop(name, None)
                self._generations[name] = self._generations.get(name, 0) + 1
                self._save()
                self._log(name).delete()
                return True

        return sum(await asyncio.gather(*(remove(name) for name in names)))

    async def _logs(self, request: Mapping[str, Any]) -> Any:
        return self._log(_name(request)).tail(int(request["lines"]))


def _name(request: Mapping[str, Any]) -> ServiceId:
    return ServiceId(str(request["environment"]), str(request["service"]))
