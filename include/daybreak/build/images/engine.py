"""A Docker Engine as builds and deploys reach it: its client, and its failures as Daybreak's errors."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from daybreak.disk import DiskFull, says_no_room
from daybreak.errors import DaybreakError

if TYPE_CHECKING:
    from docker import DockerClient

    from daybreak.settings import EngineSettings

#: Of one call; streams of builds and pushes may pause for as long.
CALL_SECONDS = 120

#: Until the engine said its own: nothing is asked of it but that.
_ANY_VERSION = "1.41"

#: What is Daybreak's own on an engine, by label; nothing without them is ever touched.
RESOURCE, KEY, COMMIT, BASE = (
    "dev.daybreak.resource", "dev.daybreak.key", "dev.daybreak.commit", "dev.daybreak.base",
)  # fmt: skip

#: Of a container that ends by itself: from when, in seconds since 1970, it is nobody's.
UNTIL = "dev.daybreak.until"
_GRACE_SECONDS = 600
#: Of what a container prints: it can be read, whatever the engine's default is, and is bounded.
LOGS: Mapping[str, Any] = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}}


class EngineDown(DaybreakError):
    """The Docker Engine cannot be reached, or ended while it was asked."""

    code = "engine_down"


class EngineRefused(DaybreakError):
    """The Docker Engine said no; the message is its own."""

    code = "engine"


@contextmanager
def connected(engine: EngineSettings) -> Iterator[DockerClient]:
    """A client of ``engine``, whose errors inside are Daybreak's.

    :raises EngineDown: when it does not answer.
    :raises EngineRefused: when it refuses a call.
    :raises DiskFull: when its disk is.
    """
    from docker import DockerClient
    from docker.errors import TLSParameterError
    from docker.tls import TLSConfig

    from daybreak.build.images.engine_ssh import through

    with ExitStack() as stack:
        way = stack.enter_context(through(engine.url)) if engine.url.startswith("ssh://") else None
        try:
            with explained(engine.url):
                tls: TLSConfig | bool = False
                if engine.certificates is not None:
                    at = engine.certificates
                    try:
                        tls = TLSConfig(
                            client_cert=(str(at / "cert.pem"), str(at / "key.pem")),
                            ca_cert=str(at / "ca.pem"),
                            verify=True,
                        )
                    except TLSParameterError as error:
                        raise EngineDown(
                            f"{at} is no folder with ca.pem, cert.pem and key.pem: {error}"
                        ) from None
                url = way.url if way else engine.url
                client = DockerClient(base_url=url, tls=tls, timeout=CALL_SECONDS, version=_ANY_VERSION)
                stack.callback(client.close)
                if way:
                    way.share(client)
                # Else REQUESTS_CA_BUNDLE of the machine would take the place of the engine's own authority.
                client.api.trust_env = False
                client.api._version = client.version(api_version=False)["ApiVersion"]
                yield client
        except EngineDown as error:
            if way is None or not way.said():
                raise
            raise EngineDown(f"{error} {way.said()}") from error


def reached(client: DockerClient, engine: EngineSettings) -> str:
    """Where other programs of this machine find the engine, as long as ``client`` is connected."""
    if engine.url.startswith("ssh://"):
        return f"unix://{client.api.get_adapter('http+docker://').socket_path}"
    return engine.url


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Around calls to the engine at ``url``; raises as :func:`connected` does."""
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except APIError as error:
        said = str(error.explanation or error)
        if says_no_room(said):
            raise DiskFull(f"the disk of the Docker Engine {url} is full: {said}") from error
        raise EngineRefused(f"the Docker Engine {url}: {said}") from error
    except (
        DockerException,
        RequestException,
        HTTPError,
        ConnectionError,
        TimeoutError,
        BrokenPipeError,
    ) as error:
        raise EngineDown(f"the Docker Engine {url} does not answer: {error}. Is it running?") from error


def printed(
    client: DockerClient, image: str, command: Sequence[str], entrypoint: Sequence[str] | None = None
) -> bytes:
    """What a command prints on its standard output, in a container of ``image`` without a network.

    The Docker library's `containers.run` reads that after it removed the container: now and then it is empty.

    :raises docker.errors.ContainerError: when it fails, with what it printed on its standard error.
    """
    from docker.errors import ContainerError

    more = {} if entrypoint is None else {"entrypoint": list(entrypoint)}
    sweep(client)
    container = client.containers.create(
        image, list(command), network_mode="none", log_config=LOGS, labels=ending(CALL_SECONDS), **more
    )
    try:
        container.start()
        code = container.wait()["StatusCode"]
        if code != 0:
            said = container.logs(stdout=False)
            raise ContainerError(container, code, list(command), image, said)
        return bytes(container.logs(stderr=False))
    finally:
        remove(client, container.id)


def ending(seconds: float) -> dict[str, str]:
    """The label, for :func:`sweep`, of a container that is to have ended and gone within ``seconds``."""
    return {UNTIL: str(int(time.time() + seconds + _GRACE_SECONDS))}


def remove(client: DockerClient, container: str) -> None:
    """Remove a container, running or not, with the volumes that its image gave it."""
    from docker.errors import APIError

    with suppress(APIError):
        client.api.remove_container(container, force=True, v=True)


def sweep(client: DockerClient) -> None:
    """Remove what a killed process left: nobody waits for it any more, and its image could not go."""
    for each in client.api.containers(all=True, filters={"label": UNTIL}):
        if time.time() > float(each["Labels"][UNTIL]):
            remove(client, each["Id"])
