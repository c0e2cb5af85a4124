"""What every driver can do, and what it is given to do it with.

A driver turns an artifact into something that runs in one environment. It knows nothing of nights, leases or
pull requests; ``target.guard`` is how its caller stops it when somebody else took over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from daybreak.aws.tokens import Tokens
from daybreak.catalog.graph import CatalogResource
from daybreak.settings import EnvironmentSettings, HostSettings, ImageSettings

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
    :param host: where services of the `process` driver run; ``None``: on this machine.
    :param guard: called immediately before each mutation; raises :class:`daybreak.errors.LostOp`. The clients
        of :meth:`client` call it themselves; whoever changes something without them (SQL, host, commands)
        calls it.
    :param log: one line for people.
    :param tokens: under which AWS was asked for what, by this try or one before.
    :param images: how images of services are made, where containers run.
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
    tokens: Tokens = field(default_factory=Tokens)
    host: HostSettings | None = None
    images: ImageSettings = field(default_factory=ImageSettings)

    def client(self, service: str) -> Any:
        """A boto3 client of this target: patient, and guarded before each try of each mutating call."""
        from daybreak.aws.guard import guarded
        from daybreak.aws.session import client

        shared = client(self.session, service, self.environment.region, self.endpoint_url)
        return guarded(shared, self.guard)


class Driver(Protocol):
    """The verbs of one runtime. All are idempotent."""

    def create(self, resource: CatalogResource, package: Package, target: Target) -> None:
        """Make what must exist before the first deploy."""

    def deploy(self, resource: CatalogResource, package: Package, target: Target) -> Mapping[str, str]:
        """Run this artifact; return the variables that dependents get (``{"TRIPS_URL": "http://…"}``)."""

    def observe(self, resource: CatalogResource, target: Target) -> str | None:
        """The content key of what really runs now and is healthy, read back; ``None`` when nothing does."""

    def provides(self, resource: CatalogResource, target: Target) -> Mapping[str, str]:
        """The variables that dependents get of what is there now, as :meth:`deploy` gave them."""

    def destroy(self, resource: CatalogResource, target: Target) -> None:
        """Take it away; nothing there is success."""
