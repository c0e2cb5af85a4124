"""Images that an installation needs, and taking away the others from all its engines."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from daybreak.build.images.engine import connected
from daybreak.build.images.image import Images
from daybreak.build.images.prune import Pruned, prune
from daybreak.change.plan import Plan
from daybreak.errors import DaybreakError
from daybreak.settings import EngineSettings, ImageSettings

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation


class PruneFailed(DaybreakError):
    """Engines that could not be pruned, each with its reason; the others were."""

    code = "prune_failed"


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

    What goes is logged as it goes. An engine that is down, refuses or is full keeps no other one from it.

    :param bases: tags of main's bases, which stay.
    :raises PruneFailed: in the end, when any engine could not be pruned.
    """
    settings = installation.settings
    images = settings.build.images or ImageSettings()
    engines: list[EngineSettings] = [] if settings.build.images is None else [images.engine]
    engines += [each.engine for each in settings.environments if each.runtime == "docker"]
    wanted, failed = needed(installation), []
    gone: list[Pruned] = []
    for engine in {each.url: each for each in engines}.values():
        try:
            with connected(engine) as client:
                of = Images(client, engine, images, installation.home, log=log)
                gone += prune(of, wanted, installation.clock(), bases)
        except DaybreakError as error:
            log(str(error))
            failed.append(f"{engine.url}: {error}")
    if failed:
        raise PruneFailed("not every engine was pruned:\n" + "\n".join(failed))
    return gone
