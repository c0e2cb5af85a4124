"""Airflow, asked over its REST API with the bot's login."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from daybreak.doctor.finding import Finding
from daybreak.errors import UsageError
from daybreak.settings import Settings

if TYPE_CHECKING:
    from daybreak.orchestration.inspect import Inspection

#: What stands still when it is not healthy, by the name of the component in Airflow's health report.
_COMPONENTS = {
    "metadatabase": "nothing runs",
    "scheduler": "no task starts",
    "triggerer": "a night never wakes for its morning",
    "dag_processor": "changed DAG files are not seen",
}


def airflow(settings: Settings) -> Iterator[Finding]:
    """Login, components, DAGs, pools, plugins."""
    from daybreak.orchestration.inspect import Inspection
    from daybreak.orchestration.rest import Rest

    if settings.airflow is None:
        yield Finding(
            "airflow", "warn", "daybreak.yaml has no `airflow:`; bots and CLI cannot trigger runs",
            "add url, username and password of the bot (docs/settings.md)",
        )  # fmt: skip
        return
    seen = Inspection(Rest.of(settings))
    yield Finding("airflow", "ok", f"{settings.airflow.url}: Airflow {seen.version()}, login accepted")
    for name, state in seen.health().items():
        if state != "healthy":
            yield Finding(
                "airflow", "fail", f"{name} is {state or 'not running'}: {_COMPONENTS.get(name, '')}",
                f"start it, or look at its log: airflow {name.replace('_', '-')}",
            )  # fmt: skip
    yield from _dags(seen)
    yield from _pools(seen)
    for source, error in seen.plugin_errors().items():
        yield Finding("airflow plugins", "fail", f"{source}: {error}", "webhooks and pages of it are missing")


def _dags(seen: Inspection) -> Iterator[Finding]:
    from daybreak.orchestration.inspect import DAGS

    for file, error in seen.import_errors().items():
        yield Finding("airflow dags", "fail", f"{file}: {error}", "its DAGs are not there until it is mended")
    paused: list[str] = []
    present: list[str] = []
    for dag_id in DAGS:
        try:
            (paused if seen.is_paused(dag_id) else present).append(dag_id)
        except UsageError:
            yield Finding(
                "airflow dags", "fail", f"there is no DAG {dag_id}",
                "put dags/ into Airflow's DAG bundle and `daybreak` on its path (docs/existing-airflow.md)",
            )  # fmt: skip
    if present:
        yield Finding("airflow dags", "ok", f"{', '.join(present)}: there and not paused")
    for dag_id in paused:
        yield Finding("airflow dags", "warn", f"{dag_id} is paused", f"unpause {dag_id} when you are ready")


def _pools(seen: Inspection) -> Iterator[Finding]:
    from daybreak.orchestration.pools import POOLS

    slots = seen.pools()
    missing = [pool.name for pool in POOLS if pool.name not in slots]
    if missing:
        yield Finding(
            "airflow pools", "fail", f"missing: {', '.join(missing)}; tasks that name them never start",
            "python -m daybreak.orchestration.pools > pools.json && airflow pools import pools.json",
        )  # fmt: skip
    else:
        said = ", ".join(f"{pool.name} {slots[pool.name]}" for pool in POOLS)
        yield Finding("airflow pools", "ok", said)
