"""A world as it was at one moment of a night, put back in a second instead of built again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from daybreak.catalog.snapshot import CURRENT, GRAPH
from daybreak.deploy.host import HostClient, ServiceSpec
from daybreak.deploy.host.files import HostFiles, read_json
from daybreak.registry import tables
from examples.standins.aws.emulator import AwsEmulator
from tests.crash.world import World, administer

Rows = Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Saved:
    """Account, database, registry, services, and the names of what was stored.

    :param registry: the rows of each table.

    What was stored since stays by default, because artifacts have names by content; a night that is to build
    has to forget it.

    :param stored: with the contents of what is written anew under its name; of all else ``None``.
    """

    aws: str
    database: str
    registry: Rows
    services: dict[str, dict[str, Any]]
    stored: Mapping[Path, bytes | None]


def save(world: World, emulator: AwsEmulator, name: str) -> Saved:
    """Remember the world; its night stands still, or is over."""
    database = f"{world.database_name}_{name}"
    _copy(world, world.database_name, database)
    # It has the environment's marker: a night that could look into it would empty it, too.
    administer(world.shared.server, f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
    return Saved(
        emulator.snapshot(world.account), database, _rows(world.installation.engine), _services(world),
        _stored(world),
    )  # fmt: skip


def restore(world: World, emulator: AwsEmulator, saved: Saved, *, unbuilt: bool = False) -> None:
    """Make the world what it was; services that were healthy are so again.

    :param unbuilt: forget what was stored since, too.
    """
    if unbuilt:
        _forget(world, saved.stored)
    host = HostClient(world.shared.home)
    for service in _services(world):
        if service not in saved.services:
            host.remove(world.name, service)
    for service, spec in saved.services.items():
        host.put(world.name, service, ServiceSpec.from_json(spec))
    emulator.restore(saved.aws)
    _copy(world, saved.database, world.database_name)
    _put_back(world.installation.engine, saved.registry)
    for service in saved.services:
        host.wait_healthy(world.name, service, 60)


def _rows(registry: Engine) -> Rows:
    with registry.connect() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in tables.metadata.sorted_tables
        }


def _put_back(registry: Engine, rows: Rows) -> None:
    """All tables as they were; a counter goes on where it is."""
    with registry.begin() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(table.delete())
        for table in tables.metadata.sorted_tables:
            if rows[table.name]:
                connection.execute(table.insert(), rows[table.name])


def _stored(world: World) -> dict[Path, bytes | None]:
    found = [path for path in world.shared.store.rglob("*") if path.is_file()]
    anew = {world.shared.store / name for name in (GRAPH, CURRENT)}
    return {path: path.read_bytes() if path in anew else None for path in found}


def _forget(world: World, stored: Mapping[Path, bytes | None]) -> None:
    for path in _stored(world).keys() - stored.keys():
        path.unlink()
    for path, content in stored.items():
        if content is not None:
            path.write_bytes(content)


def _services(world: World) -> dict[str, dict[str, Any]]:
    """The specs of the environment's services, as the host keeps them."""
    found = read_json(HostFiles(world.shared.home).state) or {}
    return {
        name.partition("/")[2]: entry["spec"]
        for name, entry in found.get("services", {}).items()
        if name.startswith(f"{world.name}/")
    }


def _copy(world: World, source: str, target: str) -> None:
    administer(
        world.shared.server,
        # A template must have no sessions; services connect again by themselves.
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{source}'",
        f'DROP DATABASE IF EXISTS "{target}" WITH (FORCE)',
        f'CREATE DATABASE "{target}" TEMPLATE "{source}"',
    )
