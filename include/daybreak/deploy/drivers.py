"""Which driver deploys which type of resource: one line for each."""

from __future__ import annotations

from collections.abc import Mapping

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.database import DatabaseDriver
from daybreak.deploy.driver import Driver, Target
from daybreak.deploy.lambda_ import LambdaDriver
from daybreak.deploy.process import ProcessDriver

#: Packages are part of what uses them; infra is made by the environment's stacks.
DRIVERS: Mapping[ResourceType, Driver] = {
    ResourceType.DATABASE: DatabaseDriver(),
    ResourceType.SERVICE: ProcessDriver(),
    ResourceType.LAMBDA: LambdaDriver(),
}


def driver_for(resource: CatalogResource) -> Driver | None:
    """The driver of ``resource``; ``None`` when there is nothing to deploy for its type."""
    return DRIVERS.get(resource.type)


def fingerprint(catalog: Catalog, target: Target) -> dict[str, str | None]:
    """What really runs: the content key of each deployable resource, read back; ``None`` where nothing does."""
    found = {}
    for name in catalog.order():
        driver = driver_for(catalog[name])
        if driver is not None and catalog[name].enabled:
            found[name] = driver.observe(catalog[name], target)
    return found
