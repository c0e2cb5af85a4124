"""Services as processes on this machine's ``daybreak host``."""

from __future__ import annotations

import json
from collections.abc import Mapping

from daybreak.build.venv import materialize
from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.host import Health, HostClient, HostDown, ServiceSpec, ServiceUnhealthy

#: How long a service may take until its health check answers 200, unless ``options.healthy_seconds`` says more.
HEALTHY_SECONDS = 60.0


class ProcessDriver:
    """A virtual environment by content key, shared by all environments; one process for each of them."""

    def create(self, resource: CatalogResource, package: Package, target: Target) -> None:
        """Nothing must exist before."""

    def deploy(self, resource: CatalogResource, package: Package, target: Target) -> Mapping[str, str]:
        """Run it and wait until it is healthy; else what ran before comes back.

        :raises ServiceUnhealthy: with the end of its log.
        :raises HostDown: when no host runs on this machine.
        """
        runtime = json.loads((package.folder / "runtime.json").read_text(encoding="utf-8"))
        venv = materialize(package.folder, package.key, target.home, log=target.log)
        program, *arguments = runtime["command"]
        spec = ServiceSpec(
            key=package.key,
            argv=(str(venv / "bin" / program), *arguments),
            cwd=str(venv),
            env=dict(target.variables),
            health=str(runtime["health"]),
        )
        host = HostClient(target.home)
        target.guard()
        host.put(target.environment.name, resource.name, spec)
        seconds = float(resource.options.get("healthy_seconds", HEALTHY_SECONDS))
        try:
            status = host.wait_healthy(target.environment.name, resource.name, seconds)
        except ServiceUnhealthy:
            target.guard()
            host.rollback(target.environment.name, resource.name)
            raise
        return {f"{resource.name.upper()}_URL": status.url}

    def observe(self, resource: CatalogResource, target: Target) -> str | None:
        """The key of the process, when it is healthy now."""
        try:
            status = HostClient(target.home).status(target.environment.name, resource.name, probe=True)
        except HostDown:
            return None
        return status.key if status is not None and status.health is Health.HEALTHY else None

    def destroy(self, resource: CatalogResource, target: Target) -> None:
        """End the process."""
        target.guard()
        HostClient(target.home).remove(target.environment.name, resource.name)
