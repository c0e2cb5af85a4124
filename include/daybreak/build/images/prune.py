"""Which images go: never one that runs, may have to run again, or is what another one stands on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import CONFLICT
from typing import Any

from daybreak.build.images.engine import BASE, KEY, RESOURCE, explained, sweep
from daybreak.build.images.image import BASE_KEY, DEGRADED, Images
from daybreak.build.images.tags import created


@dataclass(frozen=True)
class Pruned:
    """An image that went; ``size`` in bytes, layers that others share counted."""

    tag: str
    size: int


def prune(
    images: Images, needed: Collection[tuple[str, str]], now: datetime, bases: Collection[str] = ()
) -> list[Pruned]:
    """Remove what nobody needs, service images before the bases that they stood on.

    Kept are: what a container is of, running or not; what ``needed`` names; of each service the newest
    ``keep``; whatever is younger than ``keep_days``; bases of what is kept, and ``bases``.

    :param needed: resource and content key of what environments run, of what one may go back to, and of what
        unfinished runs are to deploy.
    :param bases: tags of those that main's next builds start from.
    :raises EngineDown: when the engine does not answer.
    """
    settings = images.settings
    with explained(images.engine.url):
        sweep(images.client)
        used = {str(each.attrs["ImageID"] if "ImageID" in each.attrs else each.attrs["Image"])
                for each in images.client.containers.list(all=True, ignore_removed=True)}  # fmt: skip
    services = sorted(images.labelled({RESOURCE: "", KEY: ""}), key=created, reverse=True)
    young = now - timedelta(days=settings.keep_days)
    seen: dict[str, int] = {}
    kept: list[Any] = []
    going: list[Any] = []
    for image in services:
        resource = str(image.labels[RESOURCE])
        seen[resource] = seen.get(resource, 0) + 1
        keep = (
            image.id in used
            or (resource, image.labels[KEY]) in needed
            or seen[resource] <= settings.keep
            or created(image) > young
        )
        (kept if keep else going).append(image)
    # A degraded base stands on another one, by its layers: the engine refuses to remove that.
    standing = {str(image.labels.get(BASE)) for image in kept}.union(bases)
    there = {image.id: image for label in (BASE_KEY, DEGRADED) for image in images.labelled({label: ""})}
    for image in there.values():
        if (
            KEY in image.labels
            or image.id in used
            or standing.intersection(image.tags)
            or created(image) > young
        ):
            continue
        going.append(image)
    return [gone for image in going for gone in _remove(images, image)]


def _remove(images: Images, image: Any) -> list[Pruned]:
    from docker.errors import APIError, ImageNotFound

    size, gone = int(image.attrs["Size"]), []
    for tag in image.tags or [image.id]:
        with explained(images.engine.url):
            try:
                # Not by force: an image that a container was started of a moment ago stays.
                images.client.images.remove(tag)
            except ImageNotFound:
                continue
            except APIError as error:
                if error.status_code != CONFLICT:
                    raise
                images.log(f"{tag} stays: {error.explanation}")
                continue
        images.log(f"{tag} went: {size / 1e6:.0f} MB")
        gone.append(Pruned(tag, size))
    return gone
