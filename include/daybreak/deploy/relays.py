"""Small relays beside containers: a stable address for a service, and a way to what this machine has.

A service's container comes and goes with each version; its *front* stays, so its published port does too. It
connects each caller to the name that only a healthy container has. The *loopback* relay listens on the
address that the environment's network has for this machine, and passes on to 127.0.0.1: databases and
emulators of a laptop listen nowhere else.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daybreak.errors import DeployFailed

if TYPE_CHECKING:
    from docker import DockerClient

#: Where services listen inside their containers.
PORT = 8000
#: All addresses of a container, which its network alone reaches; of a remote engine's machine.
EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a container

ENVIRONMENT, ROLE, PORTS = "dev.daybreak.environment", "dev.daybreak.role", "dev.daybreak.ports"

#: Passes bytes from each (address, port) to another one; its argument is JSON. A service that is replaced may
#: end before it answers who just came in: what only reads is asked of the next one, as proxies do. An address
#: that is gone answers no SYN at all, so whoever is not reached within a second is looked up again.
_PROGRAM = """
import asyncio, json, sys
SIZE = 65536
async def copy(reader, writer, begin=None):
    try:
        data = await begin if begin else await reader.read(SIZE)
        while data:
            writer.write(data)
            await writer.drain()
            data = await reader.read(SIZE)
    except OSError:
        pass
    finally:
        writer.close()
async def answered(inner, outer, reader, said, more):
    first = asyncio.ensure_future(inner.read(SIZE))
    while not first.done():
        await asyncio.wait({first, more} if more else {first}, return_when=asyncio.FIRST_COMPLETED)
        if more and more.done():
            try:
                data = more.result()
                outer.write(data) if data else outer.write_eof()
                await outer.drain()
            except OSError:
                data = b""
            said += data
            more = asyncio.ensure_future(reader.read(SIZE)) if data else None
    try:
        return first.result(), said, more
    except OSError:
        return b"", said, more
async def serve(listen, port, host, to):
    async def one(reader, writer):
        said, more = b"", asyncio.ensure_future(reader.read(SIZE))
        for left in (2, 1, 0):
            try:
                found = asyncio.open_connection(host, to, happy_eyeballs_delay=0.2)
                inner, outer = await asyncio.wait_for(found, 1)
            except (OSError, asyncio.TimeoutError):
                await asyncio.sleep(0.05)
                continue
            outer.write(said)
            answer, said, more = await answered(inner, outer, reader, said, more)
            again = not answer and left and len(said) <= SIZE and said.startswith((b"GET ", b"HEAD "))
            if not again:
                writer.write(answer)
                await asyncio.gather(copy(inner, writer), copy(reader, outer, more))
                return
            outer.close()
        if more:
            more.cancel()
        writer.close()
    return await asyncio.start_server(one, listen, port)
async def main():
    servers = [await serve(*each) for each in json.loads(sys.argv[1])]
    await asyncio.gather(*(server.serve_forever() for server in servers))
asyncio.run(main())
"""
_FIRST_PORT, _PORTS, _TRIES = 20_000, 10_000, 50
_LOOPBACK = re.compile(r"(?<=[/@])(?:127\.0\.0\.1|localhost):(\d+)")


def front(
    client: DockerClient, image: str, network: str, environment: str, service: str, labels: Mapping[str, str],
    *, everywhere: bool,
) -> int:  # fmt: skip
    """The published port of a service's front, which is started when it is not there or does not run.

    :param everywhere: published on all addresses of the engine's machine, not on 127.0.0.1 only.
    """
    from docker.errors import APIError

    found = fronts(client, environment, running=True).get(service)
    if found is not None:
        return found
    for stopped in containers(client, environment, "front", service):
        stopped.remove(force=True)
    # The same port each time, unless somebody else has it.
    first = zlib.crc32(f"{environment}/{service}".encode()) % _PORTS
    for number in range(_TRIES):
        port = _FIRST_PORT + (first + number) % _PORTS
        container = client.containers.create(
            image, ["-I", "-c", _PROGRAM, json.dumps([[EVERYWHERE, PORT, service, PORT]])],
            entrypoint=["python"], name=f"daybreak-{environment}-{service}-front", network=network,
            ports={f"{PORT}/tcp": (EVERYWHERE if everywhere else "127.0.0.1", port)},
            labels={**labels, ROLE: "front", PORTS: str(port)}, **HARMLESS,
        )  # fmt: skip
        try:
            container.start()
        except APIError as error:
            container.remove(force=True)
            if "already allocated" in str(error.explanation) or "in use" in str(error.explanation):
                continue
            raise
        return port
    raise DeployFailed(f"{environment} has no free port for {service} from {_FIRST_PORT} on")


#: What every container of ours gives up.
HARMLESS: Mapping[str, Any] = {
    "detach": True,
    "init": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "restart_policy": {"Name": "unless-stopped"},
}


def fronts(client: DockerClient, environment: str, *, running: bool = False) -> dict[str, int]:
    """Published ports of the environment's services, by name; of all fronts, or of those that run."""
    from daybreak.build.images.engine import RESOURCE

    found = containers(client, environment, "front")
    return {each.labels[RESOURCE]: int(each.labels[PORTS]) for each in found if not running or _runs(each)}


def _runs(relay: Any) -> bool:
    """Whether the engine keeps it running: one that somebody stopped it leaves alone."""
    return relay.status in {"running", "restarting"}


def containers(client: DockerClient, environment: str, role: str, resource: str = "") -> list[Any]:
    """Containers of ours, running or not."""
    from daybreak.build.images.engine import RESOURCE

    labels = [f"{ENVIRONMENT}={environment}", f"{ROLE}={role}"]
    if resource:
        labels.append(f"{RESOURCE}={resource}")
    return list(client.containers.list(all=True, ignore_removed=True, filters={"label": labels}))


def reachable(
    client: DockerClient, image: str, network: str, environment: str, variables: Mapping[str, str]
) -> dict[str, str]:
    """``variables`` as a container of the environment may use them.

    What listens on this machine's 127.0.0.1 is named by the network's address of this machine, where a relay
    listens for it; a service of the environment itself by its name.
    """
    own = {port: service for service, port in fronts(client, environment).items()}
    wanted = {int(port) for value in variables.values() for port in _LOOPBACK.findall(value)} - own.keys()
    gateway = ""
    if wanted:
        config = client.networks.get(network).attrs["IPAM"]["Config"][0]
        gateway = str(config.get("Gateway") or config["Subnet"].rpartition(".")[0] + ".1")
        _loopback(client, image, environment, gateway, wanted)

    def replaced(match: re.Match[str]) -> str:
        port = int(match.group(1))
        return f"{own[port]}:{PORT}" if port in own else f"{gateway}:{port}"

    return {name: _LOOPBACK.sub(replaced, value) for name, value in variables.items()}


def _loopback(client: DockerClient, image: str, environment: str, gateway: str, wanted: set[int]) -> None:
    """Ports of 127.0.0.1 are passed on by one container for each set of them; those that are there stay."""
    there = containers(client, environment, "loopback")
    for stopped in (each for each in there if not _runs(each)):
        stopped.remove(force=True)
    missing = wanted - {int(port) for each in there if _runs(each) for port in each.labels[PORTS].split()}
    if not missing:
        return
    routes = [[gateway, port, "127.0.0.1", port] for port in sorted(missing)]
    client.containers.run(
        image, ["-I", "-c", _PROGRAM, json.dumps(routes)], entrypoint=["python"],
        name=f"daybreak-{environment}-loopback-{min(missing)}", network_mode="host", **HARMLESS,
        labels={ENVIRONMENT: environment, ROLE: "loopback", PORTS: " ".join(map(str, sorted(missing)))},
    )  # fmt: skip
