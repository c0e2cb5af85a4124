"""Docker Engines, and what images are made of: the settings of the runtime ``docker``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineSettings(_Model):
    """A Docker Engine.

    ``certificates`` is a folder with ``ca.pem``, ``cert.pem`` and ``key.pem``, as ``DOCKER_CERT_PATH`` names
    one; TCP is never spoken without. SSH uses the machine's ``ssh`` and its keys.
    """

    url: Annotated[str, Field(pattern=r"^(unix:///|tcp://|ssh://)\S+$")] = "unix:///var/run/docker.sock"
    certificates: Path | None = None

    @model_validator(mode="after")
    def _encrypted(self) -> EngineSettings:
        if self.url.startswith("tcp://") and self.certificates is None:
            raise ValueError(
                f"engine {self.url} needs `certificates`: whoever reaches an engine without TLS is its root"
            )
        return self

    @property
    def local(self) -> bool:
        """Whether it is on this machine."""
        return self.url.startswith("unix://")

    @property
    def address(self) -> str:
        """The host under which its published ports are reached."""
        return "127.0.0.1" if self.local else str(urlsplit(self.url).hostname)


class ImageSettings(_Model):
    """How images of services are made, and where they are kept.

    ``python`` is what a service without a Dockerfile starts from. ``registry`` is a prefix
    (``registry.acme.example/daybreak``) where images are pushed and looked for; without one each engine
    builds its own. ``secrets`` are files by id for ``RUN --mount=type=secret,id=…`` of a team's Dockerfile:
    they are in no layer. ``network`` is the one of a Dockerfile's RUN. ``tests`` says which tests of services
    (``unit``, ``e2e``) run in containers of their images. An image that nothing runs and no revert may need
    goes after ``keep_days``; of each service the newest ``keep`` stay in any case.
    """

    engine: EngineSettings = EngineSettings()
    python: str = "python:3.13-slim"
    registry: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.:/_-]*[a-z0-9]$")] | None = None
    secrets: Mapping[str, Path] = Field(default_factory=dict)
    network: str | None = None
    tests: frozenset[Literal["unit", "e2e"]] = frozenset()
    keep_days: int = Field(14, ge=0)
    keep: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _reached(self) -> ImageSettings:
        if "e2e" in self.tests and not self.engine.local:
            raise ValueError(
                f"`tests` has e2e, and the engine {self.engine.url} is on another machine: what the suites "
                "ask is published on this one. Name a unix:// engine, or leave e2e out"
            )
        return self
