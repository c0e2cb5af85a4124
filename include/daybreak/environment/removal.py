"""Taking away what a revision does not have any more."""

from __future__ import annotations

import logging
from collections.abc import Collection

from daybreak.catalog.graph import Catalog
from daybreak.catalog.resource import ResourceType
from daybreak.catalog.snapshot import stored
from daybreak.deploy.drivers import driver_for
from daybreak.environment.contract import variables
from daybreak.environment.machine import Op
from daybreak.environment.stacks import infra
from daybreak.environment.stacks.stack import Kind
from daybreak.environment.working import Working
from daybreak.errors import DaybreakError, LostOp

log = logging.getLogger(__name__)


def take_away(work: Working, op: Op, gone: Collection[str]) -> dict[str, str]:
    """Destroy what the revision does not have any more, users before what they use; why not, by name."""
    installation = work.installation
    current = installation.deployments.current(work.environment)
    commits = {str(current[name].commit) for name in gone if name in current}
    catalogs = {commit: stored(installation.store, commit) for commit in sorted(commits)}
    # The catalogs are of few commits, and what one of them puts behind something else comes before it here.
    order = [name for catalog in catalogs.values() for name in reversed(catalog.order())]
    lost: dict[str, str] = {}
    for name in sorted(set(gone) & current.keys(), key=order.index):
        try:
            _destroy(work, op, catalogs[str(current[name].commit)], name)
        except LostOp:
            raise
        except DaybreakError as error:
            lost[name] = f"was not taken away: {error}"
    return lost


def _destroy(work: Working, op: Op, catalog: Catalog, name: str) -> None:
    resource, settings = catalog[name], work.installation.settings
    driver, stacks = driver_for(resource), work.stacks(work.target(op))
    if resource.type is ResourceType.INFRA:
        if infra.stack_of(resource) is not Kind.EPHEMERAL:
            raise DaybreakError("its stack holds what is kept; delete it by hand, or leave it in the catalog")
        stacks.delete(Kind.EPHEMERAL)
    elif driver is None:
        raise DaybreakError("it is part of a stack, and goes with the next night's teardown")
    else:
        environment = settings.environment(work.environment)
        own = variables(settings, environment, catalog.commit, catalog, resource, {})
        driver.destroy(resource, work.target(op, stack=stacks.facts(), variables=own))
    work.deployments(op).record(work.environment, name, None, None, work.run_id)
    log.info("%s: %s was taken away", work.environment, name)
