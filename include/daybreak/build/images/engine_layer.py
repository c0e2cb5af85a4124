"""One layer on an image, without a Dockerfile: files and a configuration, by the engine's own ``commit``.

A build sends a context and makes an image of every instruction; here files go into a container that is never
started, and what is in it becomes the image. Works with every engine, near or far.
"""

from __future__ import annotations

import tarfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from daybreak.build.images.engine import explained
from daybreak.build.images.tags import stamped
from daybreak.build.process import SOURCE_DATE_EPOCH

if TYPE_CHECKING:
    from docker import DockerClient

#: Containers that only ever lend their layer; one that a kill left behind goes with a later build.
_NAME = "daybreak-layer-"
_STALE_SECONDS = 3600


def lay(
    client: DockerClient,
    url: str,
    image: str,
    files: Mapping[str, Path],
    tag: tuple[str, str],
    labels: Mapping[str, str],
    *,
    scratch: Path,
    user: str | None = None,
    command: Sequence[str] | None = None,
) -> str:
    """Make an image of ``image`` and ``files``; its id.

    :param image: id or tag of what it stands on.
    :param files: folders here, by the absolute folder in the image into which their content goes, as root's.
    :param tag: repository and tag.
    :param scratch: a folder for the layer as a tar.
    :param user, command: of its containers; by default those of ``image``.
    :raises EngineDown, EngineRefused, DiskFull: as :func:`daybreak.build.images.engine.explained`.
    """
    from docker.errors import APIError

    layer = scratch / "layer.tar"
    with tarfile.open(layer, "w") as archive:
        for target, folder in files.items():
            _add(archive, folder, target.strip("/"))
    with explained(url):
        _sweep(client)
        # All of it, not what differs: of the container's own, its host name for one, nothing is to stay.
        config = dict(client.api.inspect_image(image)["Config"])
        config |= {"Labels": stamped({**(config.get("Labels") or {}), **labels}), "Hostname": "", "Image": ""}
        if user is not None:
            config["User"] = user
        if command is not None:
            config["Cmd"] = list(command)
        # It never starts, but an image that was imported has no command of its own.
        name, words = f"{_NAME}{uuid4().hex[:12]}", config["Cmd"] or ["python"]
        container = client.api.create_container(image, words, name=name)["Id"]
        try:
            with layer.open("rb") as content:
                client.api.put_archive(container, "/", content)
            made = client.api.commit(container, *tag, conf=config)
        finally:
            with suppress(APIError):
                client.api.remove_container(container, force=True)
    return str(made["Id"])


def _add(archive: tarfile.TarFile, folder: Path, target: str) -> None:
    """What is in ``folder``, by name, as root's and with one time."""
    for path in sorted(folder.rglob("*")):
        entry = archive.gettarinfo(path, f"{target}/{path.relative_to(folder).as_posix()}")
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = SOURCE_DATE_EPOCH
        entry.mode = 0o755 if path.is_dir() or entry.mode & 0o100 else 0o644
        if entry.isreg():
            with path.open("rb") as content:
                archive.addfile(entry, content)
        else:
            archive.addfile(entry)


def _sweep(client: DockerClient) -> None:
    from docker.errors import APIError

    for each in client.api.containers(all=True, filters={"name": _NAME, "status": "created"}):
        age = time.time() - float(each["Created"])
        if age > _STALE_SECONDS:
            with suppress(APIError):
                client.api.remove_container(each["Id"])
