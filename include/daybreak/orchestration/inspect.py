"""What Airflow says of itself over its REST API: health, DAGs, pools, import errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daybreak.orchestration.rest import Rest

#: Our DAGs.
DAGS = ("nightly", "bcd", "pr_e2e", "prebuild", "caretaker", "lane_care")

_MANY = 100


class Inspection:
    """Reads only. Every method raises as :meth:`daybreak.orchestration.rest.Rest.run` does."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def version(self) -> str:
        """Airflow's version."""
        from airflow_client.client.api.version_api import VersionApi

        return str(self._rest.ask(VersionApi, "get_version").version)

    def health(self) -> Mapping[str, str]:
        """``healthy``, ``unhealthy`` or empty (never seen) by component."""
        from airflow_client.client.api.monitor_api import MonitorApi

        answer = self._rest.ask(MonitorApi, "get_health")
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return {part: str(getattr(getattr(answer, part), "status", None) or "") for part in parts}

    def is_paused(self, dag_id: str) -> bool:
        """See :meth:`daybreak.orchestration.rest.Rest.is_paused`."""
        return self._rest.is_paused(dag_id)

    def pools(self) -> Mapping[str, int]:
        """Slots by pool."""
        from airflow_client.client.api.pool_api import PoolApi

        answer = self._rest.ask(PoolApi, "get_pools", limit=_MANY)
        return {pool.name: int(pool.slots) for pool in answer.pools}

    def connections(self) -> frozenset[str]:
        """The connections in Airflow's database; those of variables and secrets backends it does not show."""
        from airflow_client.client.api.connection_api import ConnectionApi

        answer = self._rest.ask(ConnectionApi, "get_connections", limit=_MANY)
        return frozenset(each.connection_id for each in answer.connections)

    def import_errors(self) -> Mapping[str, str]:
        """The last line of what went wrong, by DAG file."""
        from airflow_client.client.api.import_error_api import ImportErrorApi

        answer = self._rest.ask(ImportErrorApi, "get_import_errors", limit=_MANY)
        return {each.filename: _last_line(each.stack_trace) for each in answer.import_errors}

    def plugin_errors(self) -> Mapping[str, str]:
        """What went wrong, by plugin; the UI does not show these."""
        from airflow_client.client.api.plugin_api import PluginApi

        answer: Any = self._rest.ask(PluginApi, "import_errors")
        return {each.source: _last_line(each.error) for each in answer.import_errors}


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
