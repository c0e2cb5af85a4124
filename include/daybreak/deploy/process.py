"""Services as processes on this machine's ``daybreak host``."""

from __future__ import annotations

import json
from collections.abc import Mapping

from daybreak.build.venv import materialize
from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.host import Health, HostClient, HostDown, ServiceSpec, ServiceUnhealthy
from daybreak.deploy.host.child import BASE_ENVIRONMENT
from daybreak.deploy.masking import masked

#: Seconds until the health check must answer 200, unless ``options.healthy_seconds`` says otherwise.
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
        host, environment = HostClient(target.home), target.environment.name
        host.ping()  # before the long part
        venv = materialize(package.folder, package.key, target.home, log=target.log)
        # Its own folder: the virtual environment is shared, nobody may write into it.
        work = target.home.absolute() / "host" / "work" / environment / resource.name
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
        program, *arguments = runtime["command"]
        inside = venv / "bin" / program
        spec = ServiceSpec(
            key=package.key,
            argv=(str(inside) if inside.exists() else program, *arguments),
            cwd=str(work),
            env={**target.variables, "PATH": f"{venv / 'bin'}:{BASE_ENVIRONMENT['PATH']}"},
            health=str(runtime["health"]),
        )
        target.guard()
        host.put(environment, resource.name, spec)
        seconds = float(resource.options.get("healthy_seconds", HEALTHY_SECONDS))
        try:
            status = host.wait_healthy(environment, resource.name, seconds)
        except ServiceUnhealthy as error:
            target.guard()
            older = host.rollback(environment, resource.name)
            after = f"\n{resource.name} {older.key[:12]} runs again." if older else ""
            raise ServiceUnhealthy(masked(str(error), target.variables) + after) from None
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
