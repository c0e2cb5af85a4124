"""The fingerprint asks what runs, and knows the difference between nothing and not knowing."""

from __future__ import annotations

import json

import pytest

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import DEFAULT_ACTIONS, ResourceType
from daybreak.deploy.drivers import DRIVERS, driver_for
from daybreak.deploy.fingerprint import observe_all
from daybreak.deploy.process import ProcessDriver
from tests.deploy.conftest import SERVICE, Deploys, RunningHost


def resource(name: str, type: ResourceType, enabled: bool = True, **options: object) -> CatalogResource:
    actions = DEFAULT_ACTIONS[type] if enabled else frozenset()
    return CatalogResource(name, type, actions=actions, enabled=enabled, options=options, depends_on=())


def test_what_is_deployed_is_read_back_and_what_cannot_be_asked_is_said(
    deploys: Deploys, host: RunningHost
) -> None:
    trips = resource("trips", ResourceType.SERVICE)
    runtime = {"python": "3.11", "command": ["python", "-S", "-c", SERVICE], "health": "/healthz"}
    package = deploys.package({"runtime.json": json.dumps(runtime), "requirements.txt": ""}, "k1", "trips")
    ProcessDriver().deploy(trips, package, deploys.target())
    every = (
        trips,
        resource("fleet", ResourceType.SERVICE),
        resource("gone", ResourceType.SERVICE, enabled=False),
        resource("common", ResourceType.PACKAGE),
        resource("scorer", ResourceType.LAMBDA, logical_id="NotInAnyStack"),
    )

    found = observe_all(Catalog("c" * 40, {each.name: each for each in every}), lambda _: deploys.target())

    assert found == {"trips": "k1", "fleet": None, "scorer": None}
    assert [line for line in deploys.log if line.startswith("scorer cannot be observed")]


@pytest.mark.parametrize("type", list(ResourceType))
def test_every_type_has_a_driver_or_is_made_by_others(type: ResourceType) -> None:
    by_others = {ResourceType.PACKAGE, ResourceType.INFRA, ResourceType.EMR, ResourceType.FLINK}
    assert (driver_for(resource("x", type)) is None) == (type in by_others)
    assert driver_for(resource("x", type)) is DRIVERS.get(type)
