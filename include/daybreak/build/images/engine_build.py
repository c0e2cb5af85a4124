"""One ``docker build``: by BuildKit where engine and client have it, else by the engine's classic builder."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.build.images.engine import explained, reached
from daybreak.build.process import CommandFailed, Shell, stopping
from daybreak.disk import DiskFull, says_no_room
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from docker import DockerClient

    from daybreak.settings import EngineSettings, ImageSettings


@dataclass(frozen=True)
class Order:
    """What to build.

    :param context: the folder that COPY takes from.
    :param dockerfile: its text.
    :param target: a stage; by default the last one.
    :param own: the team wrote it: its RUN may need BuildKit, secrets, a network.
    """

    context: Path
    dockerfile: str
    tag: str
    labels: Mapping[str, str]
    target: str | None = None
    own: bool = False


def make(
    client: DockerClient, engine: EngineSettings, settings: ImageSettings, order: Order, sh: Shell
) -> str:
    """Build; the image's id. All output is in the log of ``sh``.

    :raises CommandFailed: when the Dockerfile's build fails.
    :raises EngineDown: when the engine ends meanwhile.
    :raises DiskFull: when the engine's disk is.
    """
    dockerfile = sh.folder / "Dockerfile"
    dockerfile.write_text(order.dockerfile, encoding="utf-8")
    command = buildkit() if order.own and _has_buildkit(client) else None
    if command is None and order.own and settings.secrets:
        raise UsageError(
            f"build.images.secrets need BuildKit, and there is no `docker` with it for {engine.url}. "
            "Install docker-buildx beside it."
        )
    if command is None:
        _classic(client, engine, settings, order, dockerfile, sh)
    else:
        _buildkit(client, command, engine, settings, order, dockerfile, sh)
    with explained(engine.url):
        return str(client.images.get(order.tag).id)


@functools.cache
def buildkit() -> str | None:
    """A ``docker`` command of this machine that speaks BuildKit, if there is one."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        found = shutil.which("docker", path=folder)
        if found is None:
            continue
        # Up to 22 it is in the command itself; since then it is the plugin buildx.
        old = _says(found, "version", "--format", "{{.Client.Version}}").split(".")[0]
        if (old.isdigit() and int(old) < 23) or "buildx" in _says(found, "buildx", "version"):
            return found
    return None


def _says(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def _has_buildkit(client: DockerClient) -> bool:
    # https://docs.docker.com/build/buildkit/: since 18.09, on Linux.
    said = client.version()
    return said["Os"] == "linux" and tuple(map(int, said["ApiVersion"].split("."))) >= (1, 39)


def _buildkit(
    client: DockerClient,
    command: str,
    engine: EngineSettings,
    settings: ImageSettings,
    order: Order,
    dockerfile: Path,
    sh: Shell,
) -> None:
    words = [command, "build", "--progress=plain", "--file", str(dockerfile), "--tag", order.tag]
    for name, value in order.labels.items():
        words += ["--label", f"{name}={value}"]
    for name, path in settings.secrets.items():
        words += ["--secret", f"id={name},src={path}"]
    if order.target is not None:
        words += ["--target", order.target]
    if settings.network is not None:
        words += ["--network", settings.network]
    variables = {"DOCKER_BUILDKIT": "1", "DOCKER_HOST": reached(client, engine)}
    if engine.certificates is not None:
        variables |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(engine.certificates.absolute())}
    try:
        sh.run([*words, str(order.context)], at=sh.folder, variables=variables)
    except CommandFailed as error:
        _explain(client, engine, sh.tail(), error)


def _classic(
    client: DockerClient, engine: EngineSettings, settings: ImageSettings, order: Order, dockerfile: Path,
    sh: Shell,
) -> None:  # fmt: skip
    with explained(engine.url), sh.log.open("a", encoding="utf-8") as log:
        log.write(f"build of {order.tag}\n")
        for said in client.api.build(
            path=str(order.context), dockerfile=str(dockerfile), tag=order.tag, labels=dict(order.labels),
            target=order.target, network_mode=settings.network if order.own else None, rm=True, forcerm=True,
            decode=True,
        ):  # fmt: skip
            stop = stopping.get()
            if time.monotonic() > sh.deadline or (stop is not None and stop.is_set()):
                raise CommandFailed(f"the build of {order.tag} was stopped", code="timeout")
            log.write(str(said.get("stream", "")))
            if "error" in said:
                log.write(f"{said['error']}\n")
                log.flush()
                _explain(client, engine, str(said["error"]), CommandFailed(str(said["error"]).strip()))


def _explain(client: DockerClient, engine: EngineSettings, said: str, error: CommandFailed) -> None:
    """Raise ``error``, or what it means."""
    if says_no_room(said):
        raise DiskFull(f"the disk of the Docker Engine {engine.url} is full: {error}") from None
    # Each client has its own words for an engine that ended.
    with explained(engine.url):
        client.ping()
    raise error
