"""One ``docker build``: by BuildKit where engine and client have it, else by the engine's classic builder."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from socket import SHUT_RDWR, socket
from typing import TYPE_CHECKING, Any

from daybreak.build.images.engine import CALL_SECONDS, explained, reached
from daybreak.build.images.tags import stamped
from daybreak.build.process import CommandFailed, Shell, stopping
from daybreak.disk import DiskFull, says_no_room
from daybreak.errors import DaybreakError, UsageError

if TYPE_CHECKING:
    from docker import DockerClient

    from daybreak.settings import EngineSettings, ImageSettings

_LOOK_SECONDS = 0.25


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
    """Build; the image's id, which is a new one each time. All output is in the log of ``sh``.

    :raises CommandFailed: when the Dockerfile's build fails.
    :raises EngineDown: when the engine ends meanwhile.
    :raises DiskFull: when the engine's disk is.
    """
    dockerfile = sh.folder / "Dockerfile"
    dockerfile.write_text(order.dockerfile, encoding="utf-8")
    order = replace(order, labels=stamped(order.labels))
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
    # HOME is another one in here: neither `docker login` nor a person's own plugins would be found.
    config = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    variables = {"DOCKER_BUILDKIT": "1", "DOCKER_HOST": reached(client, engine), "DOCKER_CONFIG": config}
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
    with sh.log.open("a", encoding="utf-8") as log, _watched(client, order, sh), explained(engine.url):
        log.write(f"build of {order.tag}\n")
        for said in client.api.build(
            path=str(order.context), dockerfile=str(dockerfile), tag=order.tag, labels=dict(order.labels),
            target=order.target, network_mode=settings.network if order.own else None, rm=True, forcerm=True,
            # A step may say nothing for long, so the time of a single call is no bound for it.
            decode=True, timeout=max(0.0, sh.deadline - time.monotonic()) + CALL_SECONDS,
        ):  # fmt: skip
            log.write(str(said.get("stream", "")))
            if "error" in said:
                log.write(f"{said['error']}\n")
                log.flush()
                _explain(client, engine, str(said["error"]), CommandFailed(str(said["error"]).strip()))


@contextmanager
def _watched(client: DockerClient, order: Order, sh: Shell) -> Iterator[None]:
    """Hang up a call that streams when its time is over or its build is stopped, whether it talks or not.

    The engine ends what nobody listens to any more.
    """
    stop, ended = stopping.get(), threading.Event()
    answers: list[Any] = []
    why: list[CommandFailed] = []

    def keep(answer: Any, **_: object) -> None:
        answers.append(answer)

    def watch() -> None:
        while not ended.wait(_LOOK_SECONDS):
            if stop is not None and stop.is_set():
                why[:] = [CommandFailed(f"the build of {order.tag} was stopped", code="stopped")]
            elif time.monotonic() >= sh.deadline:
                why[:] = [
                    CommandFailed(f"the build of {order.tag} was stopped: its time is over", code="timeout")
                ]
            for answer in answers if why else ():
                # A copy: whoever reads closes its own.
                with suppress(OSError, ValueError), socket(fileno=os.dup(answer.raw.fileno())) as line:
                    line.shutdown(SHUT_RDWR)

    client.api.hooks["response"].append(keep)
    watching = threading.Thread(target=watch, name="watch-build", daemon=True)
    watching.start()
    try:
        yield
    except DaybreakError as error:
        raise (why[0] if why else error) from None
    finally:
        ended.set()
        watching.join()
        client.api.hooks["response"].remove(keep)
    if why:
        raise why[0]


def _explain(client: DockerClient, engine: EngineSettings, said: str, error: CommandFailed) -> None:
    """Raise ``error``, or what it means."""
    if says_no_room(said):
        raise DiskFull(f"the disk of the Docker Engine {engine.url} is full: {error}") from None
    # Each client has its own words for an engine that ended.
    with explained(engine.url):
        client.ping()
    raise error
