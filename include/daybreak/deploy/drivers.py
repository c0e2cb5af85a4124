"""Which driver deploys which type of resource: one line for each."""

from __future__ import annotations

from collections.abc import Mapping

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.command import CommandDriver
from daybreak.deploy.database import DatabaseDriver
from daybreak.deploy.driver import Driver
from daybreak.deploy.lambda_ import LambdaDriver
from daybreak.deploy.service import ServiceDriver
from daybreak.deploy.spark import SparkDriver

#: Packages are part of what uses them; infra and EMR clusters are made by the environment's stacks.
DRIVERS: Mapping[ResourceType, Driver] = {
    ResourceType.DATABASE: DatabaseDriver(),
    ResourceType.SERVICE: ServiceDriver(),
    ResourceType.LAMBDA: LambdaDriver(),
    ResourceType.SPARK: SparkDriver(),
    ResourceType.COMMAND: CommandDriver(),
}


def driver_for(resource: CatalogResource) -> Driver | None:
    """The driver of ``resource``; ``None`` when there is nothing to deploy for its type."""
    return DRIVERS.get(resource.type)
