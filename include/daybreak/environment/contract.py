"""The variables that a deployed resource and the e2e suites get (docs/resource-contract.md), and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.settings import EnvironmentSettings, Settings


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
    """
    names = catalog.resources if resource is None else catalog.closure([resource.name]) - {resource.name}
    found = {"DAYBREAK_ENVIRONMENT": environment.name, "DAYBREAK_COMMIT": commit}
    databases = sorted(name for name in names if catalog[name].type is ResourceType.DATABASE)
    for name in databases:
        found[f"{name.upper()}_DATABASE_URL"] = plain_url(environment.database_url(name))
    if len(databases) == 1:
        found["DATABASE_URL"] = found[f"{databases[0].upper()}_DATABASE_URL"]
    prefixes = tuple(f"{name.upper()}_" for name in names)
    found.update({name: value for name, value in urls.items() if name.startswith(prefixes)})
    found["AWS_DEFAULT_REGION"] = environment.region
    if settings.aws.endpoint_url:
        found["AWS_ENDPOINT_URL"] = settings.aws.endpoint_url
    workload = settings.aws.accounts[environment.account].workload
    if workload is not None:
        found["AWS_ACCESS_KEY_ID"] = workload.access_key_id
        found["AWS_SECRET_ACCESS_KEY"] = workload.secret_access_key.get_secret_value()
    return found


def plain_url(url: str) -> str:
    """A SQLAlchemy URL without its driver: ``postgresql://…``, ``mysql://…``."""
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    return parsed.set(drivername=parsed.get_backend_name()).render_as_string(hide_password=False)
