"""Daybreak in Airflow's API server: the routes by which Slack and GitHub reach it. No logic lives here."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class DaybreakPlugin(AirflowPlugin):
    """Airflow loads this file in each of its processes; FastAPI is imported by the API server alone."""

    name = "daybreak"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """``/daybreak/slack`` and ``/daybreak/github``."""
        from daybreak.orchestration.webhooks import create

        return [{"app": create(), "url_prefix": "/daybreak", "name": "daybreak"}]
