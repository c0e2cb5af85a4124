"""What a service is to the host, and what the host says about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from daybreak.errors import UsageError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,99}")


class Health(StrEnum):
    """How a service is. Only HEALTHY means that its last health check answered 200."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    BACKOFF = "backoff"
    CRASH_LOOP = "crash_loop"
    STOPPED = "stopped"


@dataclass(frozen=True, order=True)
class ServiceId:
    """Names one service of one environment; also the path of its log, hence the narrow alphabet."""

    environment: str
    service: str

    def __post_init__(self) -> None:
        for part in (self.environment, self.service):
            if not _NAME.fullmatch(part):
                raise UsageError(
                    f"{part!r} cannot name a service of the host: lower-case letters, digits, - and _"
                )

    def __str__(self) -> str:
        return f"{self.environment}/{self.service}"

    @classmethod
    def parse(cls, text: str) -> ServiceId:
        """The reverse of ``str()``."""
        environment, _, service = text.partition("/")
        return cls(environment, service)


@dataclass(frozen=True)
class ServiceSpec:
    """How to run one service.

    :param key: the content key of what runs.
    :param argv: the program, absolute or found on the spec's ``PATH``, and its arguments.
    :param env: its whole environment; the host adds ``PORT``, and ``PATH`` and ``LANG`` where missing.
    :param cwd: an existing folder.
    :param health: path of the health check; 200 is healthy.
    :param port: a fixed port, or 0 for the stable one that the host keeps for this service.
    """

    key: str
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    health: str = "/healthz"
    port: int = 0

    def __post_init__(self) -> None:
        if not self.argv:
            raise UsageError("a service needs a command: `argv` is empty")
        if not self.health.startswith("/"):
            raise UsageError(f"the health path must start with '/', not {self.health!r}")
        if not 0 <= self.port < 65536:
            raise UsageError(f"{self.port} is not a port")

    def to_json(self) -> dict[str, Any]:
        """Plain data. Holds secrets (``env``): only for the socket and the 0600 state file."""
        return {**asdict(self), "argv": list(self.argv), "env": dict(self.env)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ServiceSpec:
        """The reverse of :meth:`to_json`; raises :class:`UsageError` for anything else."""
        try:
            return cls(
                key=str(data["key"]),
                argv=tuple(str(part) for part in data["argv"]),
                cwd=str(data["cwd"]),
                env={str(name): str(value) for name, value in data["env"].items()},
                health=str(data["health"]),
                port=int(data["port"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"not the spec of a service: {error!r}") from None


@dataclass(frozen=True)
class Place:
    """Where a service runs, on the host's machine.

    :param runtime: its virtual environment.
    :param work: the folder that it begins in.
    """

    runtime: str
    work: str


@dataclass(frozen=True)
class ServiceStatus:
    """One service as the host sees it; without its environment, so it may be logged.

    :param since: when it got this health, UTC, ISO 8601.
    :param restarts: how often it was started again since its last ``put``.
    :param detail: why it is not healthy, for people.
    :param generation: how often the service was put or removed until this was put.
    :param machine: the name under which other machines reach it.
    """

    environment: str
    service: str
    key: str
    health: Health
    port: int
    pid: int | None
    since: str
    restarts: int
    detail: str = ""
    generation: int = 0
    machine: str = "127.0.0.1"

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://{self.machine}:{self.port}"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ServiceStatus:
        """The reverse of :meth:`to_json`."""
        return cls(**{**data, "health": Health(data["health"])})
