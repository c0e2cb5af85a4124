"""Base images of main's services, and which images go: the tasks of `dags/base_images.py`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from airflow.sdk import Asset, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

#: Main moved: said by whoever lands on it.
MAIN = Asset(name="daybreak-main", uri="x-daybreak://main")


@task(execution_timeout=timedelta(minutes=10))
def find() -> list[dict[str, str]]:
    """The services of the latest main, whose bases are looked after."""
    from daybreak.build.images.builds import services
    from daybreak.catalog.loader import load
    from daybreak.orchestration.connections import installation

    found = installation()
    if found.settings.build.images is None:
        raise AirflowSkipException("`build.images` is not in daybreak.yaml: no images are built")
    repository, monorepo = found.mirror(), found.settings.monorepo
    catalog = load(repository, repository.rev_parse(monorepo.branch), monorepo.catalog)
    return [{"name": name, "commit": catalog.commit} for name in services(catalog)]


@task(execution_timeout=timedelta(hours=1), pool="builds", map_index_template="{{ name }}")
def base(service: dict[str, str]) -> str:
    """Build the base that main's lock names for the service, unless it is there.

    Once a week, and by hand, the images that bases start from are pulled first.
    """
    from daybreak.build.images import builds
    from daybreak.catalog.loader import load
    from daybreak.orchestration.connections import installation

    context, name = get_current_context(), service["name"]
    context["name"] = name  # type: ignore[typeddict-unknown-key]  # of map_index_template
    found = installation()
    repository = found.mirror()
    catalog = load(repository, service["commit"], found.settings.monorepo.catalog)
    pull = context["dag_run"].run_type != "asset_triggered"
    made = builds.ensure(repository, catalog, name, found.home, found.settings.build, pull=pull)
    if made is None:
        raise AirflowSkipException(f"the Dockerfile of {name} has no stage of dependencies")
    return f"{made.tag}{' (degraded)' if made.degraded else ''}"


@task(execution_timeout=timedelta(minutes=30), trigger_rule="all_done")
def prune(bases: Iterable[str] | None = None) -> list[str]:
    """Remove the images that no environment runs and no revert may need, on every engine.

    :param bases: what `base` said of main's, which stay.
    """
    from daybreak.environment.images import prune_all
    from daybreak.orchestration.connections import installation

    kept = {said.partition(" ")[0] for said in bases or () if said}
    return [f"{each.tag}: {each.size / 1e6:.0f} MB" for each in prune_all(installation(), print, kept)]
