"""Airflow, asked over its REST API with the bot's login."""

from __future__ import annotations

import os
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
    """Login, components, DAGs, pools, connections, plugins."""
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
    yield _connections(seen, settings)
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


def _connections(seen: Inspection, settings: Settings) -> Finding:
    """Whether what the settings name is there; what a worker has by other means cannot be seen from here."""
    apps = [app.connection for app in (settings.slack, settings.github) if app is not None]
    named = sorted({*(account.connection for account in settings.aws.accounts.values()), *apps})
    area = "airflow connections"
    try:
        present = seen.connections()
    except UsageError:
        # Nothing that triggers runs needs to read credentials, so a bot that may not is as it should be.
        return Finding(
            area, "warn", f"the bot may not look at them; the settings name {', '.join(named)}",
            "Admin, Connections shows an admin whether they are there",
        )  # fmt: skip
    present |= {name for name in named if f"AIRFLOW_CONN_{name.upper()}" in os.environ}
    if missing := [name for name in named if name not in present]:
        return Finding(
            area, "warn", f"not in Airflow's database: {', '.join(missing)}",
            "Admin, Connections; nothing to do where the workers have them as AIRFLOW_CONN_… or from a "
            "secrets backend, or where AWS is reached by the workers' own role",
        )  # fmt: skip
    return Finding(area, "ok", f"{', '.join(named)}: there")
