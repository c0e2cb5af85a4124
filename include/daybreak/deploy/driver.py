"""What every driver can do, and what it is given to do it with.

A driver turns an artifact into something that runs in one environment. It knows nothing of nights, leases or
pull requests; ``target.guard`` is how its caller stops it when somebody else took over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from daybreak.catalog.graph import CatalogResource
from daybreak.settings import EnvironmentSettings

if TYPE_CHECKING:
    import boto3


@dataclass(frozen=True)
class Package:
    """An artifact as a driver gets it: its content key, and its files in a local folder."""

    resource: str
    key: str
    commit: str
    folder: Path


@dataclass(frozen=True)
class Target:
    """One environment, as far as a driver may reach it.

    :param nonce: names the present provisioning of the environment.
    :param session: a boto3 session of the environment's account and region.
    :param endpoint_url: AWS endpoint, or ``None`` for the real one.
    :param stack: physical ids by logical id and outputs by key, of the environment's own stacks.
    :param variables: the resource contract's variables (docs/resource-contract.md) without ``PORT``.
    :param home: ``$DAYBREAK_HOME``.
    :param guard: called immediately before each mutation; raises :class:`daybreak.errors.LostOp`.
    :param log: one line for people.
    """

    environment: EnvironmentSettings
    nonce: str
    session: boto3.Session
    endpoint_url: str | None
    stack: Mapping[str, str]
    home: Path
    guard: Callable[[], None]
    variables: Mapping[str, str] = field(default_factory=dict)
    log: Callable[[str], None] = print

    def client(self, service: str) -> Any:
        """A boto3 client of this target with Daybreak's retry settings."""
        from daybreak.aws.session import client

        return client(self.session, service, self.environment.region, self.endpoint_url)


class Driver(Protocol):
    """The verbs of one runtime. All are idempotent."""

    def create(self, resource: CatalogResource, package: Package, target: Target) -> None:
        """Make what must exist before the first deploy."""

    def deploy(self, resource: CatalogResource, package: Package, target: Target) -> Mapping[str, str]:
        """Run this artifact; return the variables that dependents get (``{"TRIPS_URL": "http://…"}``)."""

    def observe(self, resource: CatalogResource, target: Target) -> str | None:
        """The content key of what really runs now and is healthy, read back; ``None`` when nothing does."""

    def destroy(self, resource: CatalogResource, target: Target) -> None:
        """Take it away; nothing there is success."""
