"""Services as processes of a ``daybreak host``, on this machine or on the one that `host:` names."""

from __future__ import annotations

import json
from collections.abc import Mapping

from daybreak.build.venv import materialize
from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.host import Health, HostClient, HostDown, ServiceSpec, ServiceStatus, ServiceUnhealthy
from daybreak.deploy.host.child import BASE_ENVIRONMENT
from daybreak.deploy.host.preparing import work_folder
from daybreak.deploy.host.spec import Place
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
        host, environment = _host(target), target.environment.name
        host.ping()  # before the long part
        place = _place(host, resource.name, package, target)
        spec = ServiceSpec(
            key=package.key,
            argv=tuple(runtime["command"]),
            cwd=place.work,
            # The program is found in its virtual environment first.
            env={**target.variables, "PATH": f"{place.runtime}/bin:{BASE_ENVIRONMENT['PATH']}"},
            health=str(runtime["health"]),
        )
        seen = host.generations(environment).get(resource.name, 0)
        target.guard()
        put = host.put(environment, resource.name, spec, seen=seen)
        seconds = float(resource.options.get("healthy_seconds", HEALTHY_SECONDS))
        try:
            status = host.wait_healthy(environment, resource.name, seconds)
        except ServiceUnhealthy as error:
            target.guard()
            older = host.rollback(environment, resource.name, seen=put.generation)
            after = f"\n{resource.name} {older.key[:12]} runs again." if older else ""
            raise ServiceUnhealthy(masked(str(error), target.variables) + after) from None
        return _provided(resource, status)

    def observe(self, resource: CatalogResource, target: Target) -> str | None:
        """The key of the process, when it is healthy now."""
        try:
            status = _host(target).status(target.environment.name, resource.name, probe=True)
        except HostDown:
            return None
        return status.key if status is not None and status.health is Health.HEALTHY else None

    def provides(self, resource: CatalogResource, target: Target) -> Mapping[str, str]:
        """Its address, which outlives restarts and other versions."""
        try:
            status = _host(target).status(target.environment.name, resource.name)
        except HostDown:
            return {}
        return {} if status is None else _provided(resource, status)

    def destroy(self, resource: CatalogResource, target: Target) -> None:
        """End the process."""
        host, environment = _host(target), target.environment.name
        seen = host.generations(environment)
        target.guard()
        host.remove(environment, resource.name, seen=seen)


def _host(target: Target) -> HostClient:
    return HostClient(target.home, target.host)


def _place(host: HostClient, service: str, package: Package, target: Target) -> Place:
    """Where it will run: made by the host where that is another machine, here where it is not."""
    environment = target.environment.name
    if host.elsewhere is not None:
        return host.prepare(environment, service, package.key)
    runtime = materialize(package.folder, package.key, target.home, log=target.log)
    return Place(str(runtime), str(work_folder(target.home, environment, service)))


def _provided(resource: CatalogResource, status: ServiceStatus) -> Mapping[str, str]:
    return {f"{resource.name.upper()}_URL": status.url}
