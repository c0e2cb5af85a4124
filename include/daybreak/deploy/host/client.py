"""How everything else talks to the host of a home."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daybreak.deploy.host.files import HostFiles, read_json
from daybreak.deploy.host.spec import Place, ServiceSpec, ServiceStatus
from daybreak.errors import DaybreakError, LostOp
from daybreak.settings import HostSettings

#: Seconds for a virtual environment from nothing, downloads included.
_PREPARE = 660.0


class HostDown(DaybreakError):
    """No host serves this home."""

    code = "host_down"


class ServiceUnhealthy(DaybreakError):
    """A service did not become healthy; the message holds the end of its log."""

    code = "unhealthy"


class HostClient:
    """The host of ``home``, or of another machine. Every call is one short connection, so a restarted host is
    found again.

    :param elsewhere: the other machine.

    All methods raise :class:`HostDown` when no host runs.
    """

    def __init__(self, home: Path, elsewhere: HostSettings | None = None) -> None:
        self.home, self.elsewhere = home.absolute(), elsewhere

    def ping(self) -> int:
        """The host's process id."""
        return int(self._ask(10, op="ping")["pid"])

    def port(self, environment: str, service: str) -> int:
        """The stable port of a service, whether it runs yet or not."""
        return int(self._ask(10, op="port", environment=environment, service=service))

    def generations(self, environment: str) -> dict[str, int]:
        """How often each service of an environment was put or removed; one that never was is not in it.

        Whoever hands back what was seen changes only what nobody changed since: a process that slept between
        its last check and its request does not take away, or replace, what came after.
        """
        return dict(self._ask(10, op="generations", environment=environment))

    def prepare(self, environment: str, service: str, key: str) -> Place:
        """Have the host get an artifact from the store, and make its virtual environment where it runs.

        :raises DaybreakError: what went wrong there, with its code.
        """
        answer = self._ask(_PREPARE, op="prepare", environment=environment, service=service, key=key)
        return Place(**answer)

    def put(
        self, environment: str, service: str, spec: ServiceSpec, *, seen: int | None = None
    ) -> ServiceStatus:
        """This is what shall run.

        The same spec, healthy or starting: nothing happens; anything else is (re)started.

        :param seen: its generation, 0 for a new one.
        :raises LostOp: when it is another by now.
        """
        answer = self._ask(
            60, op="put", environment=environment, service=service, spec=spec.to_json(), seen=seen
        )
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

    def rollback(self, environment: str, service: str, *, seen: int | None = None) -> ServiceStatus | None:
        """Put the last spec back that was healthy before the present one; ``None`` when there is none.

        :param seen: as in :meth:`put`.
        :raises LostOp: as :meth:`put`.
        """
        answer = self._ask(60, op="rollback", environment=environment, service=service, seen=seen)
        return None if answer is None else ServiceStatus.from_json(answer)

    def remove(
        self, environment: str, service: str | None = None, *, seen: Mapping[str, int] | None = None
    ) -> int:
        """Stop and forget a service, or all of an environment; how many there were.

        :param seen: the generations; what is another by now stays.
        """
        words = {"environment": environment, "service": service}
        return int(self._ask(60, op="remove", **words, seen=None if seen is None else dict(seen)))

    def logs(self, environment: str, service: str, lines: int = 100) -> str:
        """The last lines of a service's output."""
        return str(self._ask(10, op="logs", environment=environment, service=service, lines=lines))

    def _ask(self, timeout: float, /, **request: Any) -> Any:
        try:
            with self._connected(timeout) as connection:
                if self.elsewhere is not None:
                    request["token"] = self.elsewhere.token.get_secret_value()
                connection.sendall(json.dumps(request).encode() + b"\n")
                with connection.makefile("rb") as lines:
                    line = lines.readline()
        except TimeoutError:
            raise HostDown(
                f"the host of {self._where} did not answer {request['op']!r} within {timeout:g} s; "
                f"look at its output"
            ) from None
        except (OSError, KeyError) as error:
            raise self._down(f" ({error})") from None
        if not line:
            raise self._down(" (it ended while it was asked)")
        answer = json.loads(line)
        if not answer["ok"] and answer["code"] == LostOp.code:
            raise LostOp(answer["error"])
        if not answer["ok"]:
            raise DaybreakError(answer["error"], code=answer["code"])
        return answer["result"]

    def _connected(self, timeout: float) -> socket.socket:
        if self.elsewhere is not None:
            connection = socket.create_connection(
                (self.elsewhere.name, self.elsewhere.port), min(timeout, 10)
            )
            connection.settimeout(timeout)
            return connection
        address = read_json(HostFiles(self.home).address)
        if address is None:
            raise self._down("")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(str(address["socket"]))
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def _where(self) -> str:
        return self.elsewhere.address if self.elsewhere is not None else str(self.home)

    def _down(self, detail: str) -> HostDown:
        if self.elsewhere is not None:
            return HostDown(
                f"no daybreak host answers at {self.elsewhere.address}{detail}; run `daybreak host` there, "
                f"with the same `host:` in its settings"
            )
        return HostDown(
            f"no daybreak host runs for {self.home}{detail}; start it with `daybreak host --home {self.home}`"
        )
