"""How everything else talks to the host of a home."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from daybreak.deploy.host.files import HostFiles, read_json
from daybreak.deploy.host.spec import ServiceSpec, ServiceStatus
from daybreak.errors import DaybreakError


class HostDown(DaybreakError):
    """No host serves this home."""

    code = "host_down"


class ServiceUnhealthy(DaybreakError):
    """A service did not become healthy; the message holds the end of its log."""

    code = "unhealthy"


class HostClient:
    """The host of ``home``. Every call is one short connection, so a restarted host is found again.

    All methods raise :class:`HostDown` when no host runs.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()

    def ping(self) -> int:
        """The host's process id."""
        return int(self._ask(10, op="ping")["pid"])

    def port(self, environment: str, service: str) -> int:
        """The stable port of a service, whether it runs yet or not."""
        return int(self._ask(10, op="port", environment=environment, service=service))

    def put(self, environment: str, service: str, spec: ServiceSpec) -> ServiceStatus:
        """This is what shall run.

        The same spec, healthy or starting: nothing happens; anything else is (re)started.
        """
        answer = self._ask(60, op="put", environment=environment, service=service, spec=spec.to_json())
        return ServiceStatus.from_json(answer)

    def wait_healthy(self, environment: str, service: str, timeout: float) -> ServiceStatus:
        """Wait at most ``timeout`` seconds for a healthy service.

        :raises ServiceUnhealthy: at the timeout, or at once when it keeps crashing.
        """
        try:
            answer = self._ask(
                timeout + 10, op="wait", environment=environment, service=service, timeout=timeout
            )
        except DaybreakError as error:
            if error.code in {"unhealthy", "unknown_service"}:
                raise ServiceUnhealthy(str(error)) from None
            raise
        return ServiceStatus.from_json(answer)

    def status(self, environment: str, service: str, *, probe: bool = False) -> ServiceStatus | None:
        """One service, ``None`` when the host has none of that name.

        :param probe: ask its health check right now, instead of believing the last answer.
        """
        answer = self._ask(15, op="status", environment=environment, service=service, probe=probe)
        return None if answer is None else ServiceStatus.from_json(answer)

    def list(self, environment: str | None = None) -> tuple[ServiceStatus, ...]:
        """All services, sorted by environment and name."""
        return tuple(
            ServiceStatus.from_json(item) for item in self._ask(10, op="list", environment=environment)
        )

    def rollback(self, environment: str, service: str) -> ServiceStatus | None:
        """Put the last spec back that was healthy before the present one; ``None`` when there is none."""
        answer = self._ask(60, op="rollback", environment=environment, service=service)
        return None if answer is None else ServiceStatus.from_json(answer)

    def remove(self, environment: str, service: str | None = None) -> int:
        """Stop and forget a service, or all of an environment; how many there were."""
        return int(self._ask(60, op="remove", environment=environment, service=service))

    def logs(self, environment: str, service: str, lines: int = 100) -> str:
        """The last lines of a service's output."""
        return str(self._ask(10, op="logs", environment=environment, service=service, lines=lines))

    def _ask(self, timeout: float, /, **request: Any) -> Any:
        address = read_json(HostFiles(self.home).address)
        if address is None:
            raise self._down("")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(timeout)
                connection.connect(str(address["socket"]))
                connection.sendall(json.dumps(request).encode() + b"\n")
                with connection.makefile("rb") as lines:
                    line = lines.readline()
        except TimeoutError:
            raise HostDown(
                f"the host of {self.home} did not answer {request['op']!r} within {timeout:g} s; "
                f"look at its output"
            ) from None
        except (OSError, KeyError) as error:
            raise self._down(f" ({error})") from None
        if not line:
            raise self._down(" (it ended while it was asked)")
        answer = json.loads(line)
        if not answer["ok"]:
            raise DaybreakError(answer["error"], code=answer["code"])
        return answer["result"]

    def _down(self, detail: str) -> HostDown:
        return HostDown(
            f"no daybreak host runs for {self.home}{detail}; start it with `daybreak host --home {self.home}`"
        )
