"""Images that an installation needs, and taking away the others from all its engines."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from daybreak.build.images.engine import EngineDown, connected
from daybreak.build.images.image import Images
from daybreak.build.images.prune import Pruned, prune
from daybreak.change.plan import Plan
from daybreak.settings import EngineSettings, ImageSettings

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation

#: How many deployments of a resource back an environment may want to go.
_BACK = 10


def needed(installation: Installation) -> set[tuple[str, str]]:
    """Resource and content key of what environments run or ran lately, and of what unfinished runs deploy."""
    found = set()
    for environment in installation.settings.environments:
        for resource in installation.deployments.current(environment.name):
            for each in installation.deployments.history(environment.name, resource, _BACK):
                if each.key is not None:
                    found.add((resource, each.key))
    for run in installation.runs.unfinished():
        if run.plan:
            found |= {(step.name, step.key) for step in Plan.from_json(run.plan).steps}
    return found


def prune_all(
    installation: Installation, log: Callable[[str], None], bases: Collection[str] = ()
) -> list[Pruned]:
    """Prune the engine that builds and those of the environments, each once.

    An engine that is down is said, and the others are pruned.

    :param bases: tags of main's bases, which stay.
    """
    settings = installation.settings
    images = settings.build.images or ImageSettings()
    engines: list[EngineSettings] = [] if settings.build.images is None else [images.engine]
    engines += [each.engine for each in settings.environments if each.runtime == "docker"]
    wanted, gone = needed(installation), []
    for engine in {each.url: each for each in engines}.values():
        try:
            with connected(engine) as client:
                of = Images(client, engine, images, installation.home, log=log)
                gone += prune(of, wanted, installation.clock(), bases)
        except EngineDown as error:
            log(str(error))
    return gone
