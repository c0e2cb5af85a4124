"""The variables that deployed resources and e2e suites get (docs/resource-contract.md), and no others."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.settings import EnvironmentSettings, Settings

#: What drivers provide for a resource, beside the contract's own variables.
_PROVIDED = ("URL", "FUNCTION")


def variables(
    settings: Settings,
    environment: EnvironmentSettings,
    commit: str,
    catalog: Catalog,
    resource: CatalogResource | None,
    urls: Mapping[str, str],
) -> dict[str, str]:
    """The contract's variables, without ``PORT``. They hold secrets: never log them.

    :param resource: who gets them; ``None`` is the e2e suites, which get everything.
    :param urls: ``<RESOURCE>_URL`` and the like of what is deployed so far.
    :raises UsageError: when a database is needed and the environment has no `sql` URL.
    """
    needed = _needed(catalog, resource)
    found = {"DAYBREAK_ENVIRONMENT": environment.name, "DAYBREAK_COMMIT": commit}
    databases = sorted(name for name in needed if catalog[name].type is ResourceType.DATABASE)
    for name in databases:
        found[f"{name.upper()}_DATABASE_URL"] = plain_url(environment.database_url(name))
    if len(databases) == 1:
        found["DATABASE_URL"] = found[f"{databases[0].upper()}_DATABASE_URL"]
    for name in sorted(needed):
        for what in _PROVIDED:
            variable = f"{name.upper()}_{what}"
            if variable in urls:
                found[variable] = urls[variable]
    found["AWS_DEFAULT_REGION"] = environment.region
    if settings.aws.endpoint_url:
        found["AWS_ENDPOINT_URL"] = settings.aws.endpoint_url
    workload = settings.aws.accounts[environment.account].workload
    if workload is not None:
        found["AWS_ACCESS_KEY_ID"] = workload.access_key_id
        found["AWS_SECRET_ACCESS_KEY"] = workload.secret_access_key.get_secret_value()
    return found


def _needed(catalog: Catalog, resource: CatalogResource | None) -> Collection[str]:
    """What is named to ``resource``: its own dependencies and those of the packages that are part of it.

    Not what these need in their turn: who calls a service gets its address, not its database's password.
    """
    if resource is None:
        return {name for name, each in catalog.resources.items() if each.enabled}
    parts = [resource, *(catalog[name] for name in catalog.package_closure(resource.name))]
    return {name for part in parts for name in part.depends_on if catalog[name].enabled}


def plain_url(url: str) -> str:
    """A SQLAlchemy URL without its driver: ``postgresql://…``, ``mysql://…``."""
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    return parsed.set(drivername=parsed.get_backend_name()).render_as_string(hide_password=False)
