"""Images by tag and by age: on the engine, and in the registry where one is set."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from daybreak.build.images.engine import explained
from daybreak.errors import DaybreakError

if TYPE_CHECKING:
    from docker import DockerClient

#: When an image was built, as ISO 8601 in UTC. ``Created`` does not say it where BuildKit found all of it in
#: its cache, nor where it is told SOURCE_DATE_EPOCH, as every command of a build is.
BUILT = "dev.daybreak.built"


class ImageFailed(DaybreakError):
    """An image could not be built; the message ends with the last lines of its log."""

    code = "image_failed"


def find(client: DockerClient, url: str, tag: str, registry: str | None) -> str | None:
    """The id of an image that is on the engine, or in the registry, from which it is fetched then."""
    from docker.errors import APIError, ImageNotFound

    with explained(url):
        try:
            return str(client.images.get(tag).id)
        except ImageNotFound:
            if registry is None:
                return None
        try:
            return str(client.images.pull(*named(tag)).id)
        except ImageNotFound:
            return None
        except APIError as error:
            # A registry says "unknown" of what it does not have, each in its own words.
            if any(word in str(error.explanation) for word in ("unknown", "not found", "does not exist")):
                return None
            raise


def had(client: DockerClient, url: str, name: str, resource: str, log: Callable[[str], None]) -> str:
    """The id of an image that a service starts from, which is pulled when it is not on the engine.

    :raises ImageFailed: when it is not to be had.
    """
    from docker.errors import APIError, ImageNotFound

    with explained(url):
        try:
            return str(client.images.get(name).id)
        except ImageNotFound:
            log(f"{resource}: pulling {name}")
        try:
            return str(client.images.pull(*named(name)).id)
        except APIError as error:
            raise ImageFailed(f"{name} of {resource} is not to be had: {error.explanation}") from None


def push(client: DockerClient, url: str, tag: str) -> None:
    """Bring it to its registry; who is logged in there, `docker login` of this machine says."""
    repository, name = named(tag)
    with explained(url):
        for said in client.images.push(repository, tag=name, stream=True, decode=True):
            if "error" in said:
                raise ImageFailed(f"{tag} cannot be pushed: {said['error']}")


def named(tag: str) -> tuple[str, str]:
    """Repository and tag, or digest, which goes before a tag; the host of a registry may have a port."""
    pinned, at, digest = tag.partition("@")
    if at:
        return named(pinned)[0], digest
    repository, colon, name = tag.rpartition(":")
    return (repository, name) if colon and "/" not in name else (tag, "latest")


def stamped(labels: Mapping[str, str]) -> dict[str, str]:
    """``labels`` of an image that is built now. Each one needs its own: what it stands on has one, too."""
    return {**labels, BUILT: datetime.now(UTC).isoformat()}


def created(image: Any) -> datetime:
    """When an image was made, to the microsecond: a second may see two of a service."""
    labels = (image.attrs.get("Config") or {}).get("Labels") or {}
    said = str(labels.get(BUILT) or image.attrs["Created"])
    # Up to nanoseconds, without zeros at the end: https://docs.docker.com/reference/api/engine/
    fraction = re.match(r"\.(\d+)", said[19:])
    micro = int(fraction.group(1).ljust(6, "0")[:6]) if fraction else 0
    return datetime.fromisoformat(said[:19]).replace(microsecond=micro, tzinfo=UTC)
