"""Services as containers on the environment's Docker Engine.

The new container is started beside the old one and gets the service's name only when it is healthy, so
callers never meet one that is not; when it does not become so, the old one was never away. What is live is
read back from the engine: who has the name in the environment's network, by which labels, from which image.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import CONFLICT
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from daybreak.build.images.engine import COMMIT, KEY, RESOURCE, EngineDown, connected
from daybreak.build.images.image import Images
from daybreak.build.images.in_image import limits
from daybreak.build.images.recipe import Recipe
from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.host import ServiceUnhealthy
from daybreak.deploy.masking import masked
from daybreak.deploy.process import HEALTHY_SECONDS
from daybreak.deploy.relays import (
    ENVIRONMENT,
    EVERYWHERE,
    HARMLESS,
    PORT,
    ROLE,
    containers,
    front,
    fronts,
    reachable,
)
from daybreak.errors import UsageError
from daybreak.locking import exclusive

if TYPE_CHECKING:
    from docker import DockerClient

#: What the container was made of besides its image: who changes it by hand is found.
_MADE, _HEALTH = "dev.daybreak.made", "dev.daybreak.health"
_LOOK_SECONDS, _GRACE_SECONDS, _TAIL = 0.2, 10, 30
#: A container that ended this often does not come any more.
_CRASHES = 3
#: Until a front passes callers on.
_DOOR_SECONDS = 30

_PROBE = (
    "import sys, urllib.request\n"
    "try: code = urllib.request.urlopen(sys.argv[1], timeout=5).status\n"
    "except OSError: code = 0\n"
    "sys.exit(code != 200)\n"
)


class DockerDriver:
    """An image by content key; one container for each environment, and a front that keeps its address."""

    def create(self, resource: CatalogResource, package: Package, target: Target) -> None:
        """Nothing must exist before."""

    def deploy(self, resource: CatalogResource, package: Package, target: Target) -> Mapping[str, str]:
        """Run it, wait until it is healthy, then give it the service's name; else what ran before goes on.

        :raises ServiceUnhealthy: with the end of its log.
        :raises ImageFailed: when its image cannot be built.
        :raises EngineDown: when the engine does not answer.
        """
        engine = target.environment.engine
        recipe = Recipe.read(resource.name, package.folder)
        with connected(engine) as client:
            images = Images(client, engine, target.images, target.home, log=target.log)
            image = images.service(recipe, package.key, package.commit)
            if image.degraded:
                target.log(f"{resource.name} runs on a degraded base, until its own can be built")
            return _Service(client, resource, target).roll(package, recipe.health, image.id)

    def observe(self, resource: CatalogResource, target: Target) -> str | None:
        """The key of the container that has the service's name, when it is healthy and as it was made."""
        try:
            with connected(target.environment.engine) as client:
                return _Service(client, resource, target).observed()
        except EngineDown as error:
            target.log(f"{resource.name} cannot be observed: {error}")
            return None

    def provides(self, resource: CatalogResource, target: Target) -> Mapping[str, str]:
        """Its address, which outlives its containers."""
        try:
            with connected(target.environment.engine) as client:
                return _Service(client, resource, target).provided()
        except EngineDown:
            return {}

    def destroy(self, resource: CatalogResource, target: Target) -> None:
        """Remove its containers; with the environment's last one, its network too."""
        with connected(target.environment.engine) as client:
            _Service(client, resource, target).remove()


@dataclass
class _Service:
    """One service of one environment on an engine."""

    client: DockerClient
    resource: CatalogResource
    target: Target

    @property
    def network(self) -> str:
        return f"daybreak-{self.target.environment.name}"

    @property
    def labels(self) -> dict[str, str]:
        return {ENVIRONMENT: self.target.environment.name, RESOURCE: self.resource.name}

    def roll(self, package: Package, health: str, image: str) -> Mapping[str, str]:
        """Replace what runs."""
        target, name = self.target, self.resource.name
        target.guard()
        variables = dict(target.variables)
        with exclusive(target.home.absolute() / "locks" / f"network-{target.environment.name}.lock"):
            self._network()
            if target.environment.engine.local:
                variables = reachable(self.client, image, self.network, target.environment.name, variables)
        bounds = limits(self.resource)
        made = _digest({"image": image, "variables": variables, "limits": bounds})
        live = self._live()
        if len(live) == 1 and live[0].labels.get(_MADE) == made and self._sound(live[0]):
            target.log(f"{name} {package.key[:12]} runs already")
            self._only(live[0])
            return self._provided(image, health)
        target.guard()
        fresh = self.client.containers.run(
            image, name=f"{self.network}-{name}-{uuid4().hex[:8]}", network=self.network,
            environment={**variables, "PORT": str(PORT), "HOST": EVERYWHERE},
            labels={**self.labels, ROLE: "service", KEY: package.key, COMMIT: package.commit, _MADE: made,
                    _HEALTH: health},
            log_config={"type": "json-file", "config": {"max-size": "10m", "max-file": "3"}},
            **bounds, **HARMLESS,
        )  # fmt: skip
        started = time.monotonic()
        try:
            self._wait(fresh, started + float(self.resource.options.get("healthy_seconds", HEALTHY_SECONDS)))
            target.guard()
            self._name(fresh)
        except BaseException as error:
            said = self._tail(fresh)
            with suppress(Exception):
                fresh.remove(force=True)
            if not isinstance(error, ServiceUnhealthy):
                raise
            still = next((each.labels[KEY] for each in live if KEY in each.labels), "")
            after = f"\n{name} {still[:12]} runs on." if still else ""
            raise ServiceUnhealthy(f"{error}\n{said}{after}") from None
        target.log(f"{name} {package.key[:12]} is healthy after {time.monotonic() - started:.1f} s")
        for line in self._tail(fresh).splitlines():
            target.log(f"{name}: {line}")
        self._only(fresh)
        return self._provided(image, health)

    def observed(self) -> str | None:
        """The key of what is live and sound."""
        live = self._live()
        if len(live) != 1 or not self._sound(live[0]):
            return None
        container = live[0]
        if drift := self._drift(container):
            self.target.log(f"{self.resource.name} is not what was deployed: {drift}")
            return None
        if self.resource.name not in fronts(self.client, self.target.environment.name, running=True):
            self.target.log(f"{self.resource.name} cannot be reached: its front does not run")
            return None
        return str(container.labels[KEY])

    def provided(self) -> Mapping[str, str]:
        """The variables of dependents, when the front is there."""
        port = fronts(self.client, self.target.environment.name).get(self.resource.name)
        return {} if port is None else self._url(port)

    def remove(self) -> None:
        """Containers of ours, and the network when nobody is left in it."""
        from docker.errors import NotFound

        environment = self.target.environment.name
        for role in ("service", "front"):
            for each in containers(self.client, environment, role, self.resource.name):
                self.target.guard()
                self._end(each)
        if any(containers(self.client, environment, role) for role in ("service", "front")):
            return
        self.target.guard()
        for each in containers(self.client, environment, "loopback"):
            self._end(each)
        with suppress(NotFound):
            network = self.client.networks.get(self.network)
            if network.attrs["Labels"].get(ENVIRONMENT) == environment and not network.attrs["Containers"]:
                network.remove()

    def _only(self, container: Any) -> None:
        """End every other container of the service, what a killed deploy left unnamed too."""
        self.target.guard()
        for each in containers(self.client, self.target.environment.name, "service", self.resource.name):
            if each.id != container.id:
                self._end(each)

    def _network(self) -> None:
        """The environment's network, made unless it is there.

        Services of an environment are deployed at once, by workers of several machines too, and an older
        engine takes two networks of one name: whoever made one looks again, and all keep the first.
        """
        from docker.errors import APIError

        environment = self.target.environment.name
        if not self._networks():
            try:
                self.client.networks.create(
                    self.network, labels={ENVIRONMENT: environment}, check_duplicate=True
                )
            except APIError as error:
                if error.status_code != CONFLICT:
                    raise
        first, *others = self._networks()
        if first.attrs["Labels"].get(ENVIRONMENT) != environment:
            raise UsageError(
                f"the network {self.network} on the engine is not Daybreak's; remove or rename it"
            )
        for other in others:
            # One that somebody is in stays, and so does what is not ours.
            with suppress(APIError):
                if other.attrs["Labels"].get(ENVIRONMENT) == environment:
                    other.remove()

    def _networks(self) -> list[Any]:
        """Networks of that very name, the first one that was made first."""
        found = [
            each for each in self.client.networks.list(names=[self.network]) if each.name == self.network
        ]
        return sorted(found, key=lambda each: (each.attrs["Created"], each.id))

    def _live(self) -> list[Any]:
        """Who has the service's name in the network, ours or not."""
        from docker.errors import NotFound

        found = []
        with suppress(NotFound):
            ids = self.client.networks.get(self.network).attrs["Containers"]
            for each in ids:
                with suppress(NotFound):
                    container = self.client.containers.get(each)
                    end = container.attrs["NetworkSettings"]["Networks"].get(self.network) or {}
                    if self.resource.name in (end.get("Aliases") or ()):
                        found.append(container)
        return found

    def _sound(self, container: Any, health: str | None = None) -> bool:
        """Whether it answers its health check now; a front has none of its own."""
        from docker.errors import APIError

        if ROLE not in container.labels:
            self.target.log(f"{container.name} calls itself {self.resource.name} and is not Daybreak's")
            return False
        url = f"http://127.0.0.1:{PORT}{health or container.labels.get(_HEALTH, '/healthz')}"
        try:
            # As the service's own user, in its own network: what is asked is what callers meet.
            return bool(container.exec_run(["python", "-I", "-S", "-c", _PROBE, url]).exit_code == 0)
        except APIError:
            return False  # it does not run

    def _drift(self, container: Any) -> str:
        """How the container differs from what was deployed; empty when it does not."""
        from docker.errors import ImageNotFound

        try:
            image = self.client.images.get(container.attrs["Image"])
        except ImageNotFound:
            return "its image is gone"
        if (image.labels or {}).get(KEY) != container.labels[KEY]:
            return f"its image {image.short_id} was made of something else"
        touched = [
            str(each["Path"]) for each in container.diff() or ()
            if "-packages/" in str(each["Path"]) and "__pycache__" not in str(each["Path"])
        ]  # fmt: skip
        return f"somebody changed {touched[0]} in it" if touched else ""

    def _wait(self, container: Any, deadline: float, health: str | None = None, crashed: int = 0) -> None:
        """Until it is sound.

        :param crashed: how often it had been restarted before this deploy: a front outlives many.
        """
        name = self.resource.name
        while True:
            container.reload()
            state, restarts = container.attrs["State"], container.attrs["RestartCount"] - crashed
            if restarts >= _CRASHES or state["Status"] in {"exited", "dead"}:
                killed = " (out of memory)" if state.get("OOMKilled") else ""
                raise ServiceUnhealthy(f"{name} keeps crashing: exit code {state['ExitCode']}{killed}")
            if state["Status"] == "running" and self._sound(container, health):
                return
            if time.monotonic() > deadline:
                raise ServiceUnhealthy(f"{name} did not become healthy in time")
            time.sleep(_LOOK_SECONDS)

    def _name(self, container: Any) -> None:
        """Now callers may find it: names are given when a network is joined."""
        network = self.client.networks.get(self.network)
        network.disconnect(container)
        network.connect(container, aliases=[self.resource.name])
        container.reload()
        self._wait(container, time.monotonic() + 30)

    def _tail(self, container: Any) -> str:
        from docker.errors import APIError

        try:
            said = container.logs(tail=_TAIL).decode("utf-8", "replace").rstrip()
        except APIError:
            return ""
        return masked(said, self.target.variables)

    def _end(self, container: Any) -> None:
        from docker.errors import NotFound

        with suppress(NotFound):
            container.stop(timeout=_GRACE_SECONDS)
            container.remove(force=True)

    def _provided(self, image: str, health: str) -> Mapping[str, str]:
        self.target.guard()
        environment = self.target.environment
        port = front(
            self.client, image, self.network, environment.name, self.resource.name, self.labels,
            everywhere=not environment.engine.local,
        )  # fmt: skip
        [door] = containers(self.client, environment.name, "front", self.resource.name)
        self._wait(door, time.monotonic() + _DOOR_SECONDS, health, door.attrs["RestartCount"])
        return self._url(port)

    def _url(self, port: int) -> Mapping[str, str]:
        address = self.target.environment.engine.address
        return {f"{self.resource.name.upper()}_URL": f"http://{address}:{port}"}


def _digest(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
