"""The fingerprint of an environment: what really runs there, read back, not what somebody wrote down."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import Action
from daybreak.deploy.driver import Target
from daybreak.deploy.drivers import driver_for
from daybreak.errors import DaybreakError

_AT_ONCE = 8


def observe_all(catalog: Catalog, target: Callable[[CatalogResource], Target]) -> dict[str, str | None]:
    """The content key of each deployed resource, by name; ``None`` where nothing runs or nobody can tell.

    :param target: for each resource, with its variables, and with ``stack``, where drivers of AWS resources
        look up what to ask.
    """
    names = [
        name
        for name in catalog.order()
        if Action.DEPLOY in catalog[name].actions and driver_for(catalog[name]) is not None
    ]

    def observe(name: str) -> str | None:
        driver, here = driver_for(catalog[name]), target(catalog[name])
        assert driver is not None
        try:
            return driver.observe(catalog[name], here)
        except DaybreakError as error:
            here.log(f"{name} cannot be observed: {error}")
            return None

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="observe") as pool:
        return dict(zip(names, pool.map(observe, names), strict=True))
