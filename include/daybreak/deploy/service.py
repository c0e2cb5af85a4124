"""Services run where their environment says: as processes of this machine's host, or as containers."""

from __future__ import annotations

from collections.abc import Mapping

from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.docker import DockerDriver
from daybreak.deploy.driver import Driver, Package, Target
from daybreak.deploy.process import ProcessDriver

RUNTIMES: Mapping[str, Driver] = {"process": ProcessDriver(), "docker": DockerDriver()}


class ServiceDriver:
    """The driver of the environment's ``runtime``."""

    def create(self, resource: CatalogResource, package: Package, target: Target) -> None:
        """As the runtime's driver does."""
        _of(target).create(resource, package, target)

    def deploy(self, resource: CatalogResource, package: Package, target: Target) -> Mapping[str, str]:
        """As the runtime's driver does."""
        return _of(target).deploy(resource, package, target)

    def observe(self, resource: CatalogResource, target: Target) -> str | None:
        """As the runtime's driver does."""
        return _of(target).observe(resource, target)

    def provides(self, resource: CatalogResource, target: Target) -> Mapping[str, str]:
        """As the runtime's driver does."""
        return _of(target).provides(resource, target)

    def destroy(self, resource: CatalogResource, target: Target) -> None:
        """As the runtime's driver does."""
        _of(target).destroy(resource, target)


def _of(target: Target) -> Driver:
    return RUNTIMES[target.environment.runtime]
