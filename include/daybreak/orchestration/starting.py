"""Makes the DAG runs that people ask Bobby for, over Airflow's REST API."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote

from daybreak.errors import UsageError
from daybreak.orchestration.rest import Rest
from daybreak.settings import Settings


class Starter:
    """A :data:`daybreak.talk.bobby.ask.Trigger`; nothing is connected before the first run.

    A paused DAG is an error: its run would be made and never begin.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _rest(self) -> Rest:
        return Rest.of(self._settings)

    def __call__(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> str:
        """Make the run, or find it; returns its page.

        :raises UsageError: when no Airflow is named, there is no such DAG, it is paused, or a Param is wrong.
        :raises AirflowUnreachable: when it does not answer; the same call again is safe.
        """
        if self._rest.is_paused(dag_id):
            raise UsageError(f"the DAG {dag_id} is paused in Airflow: its run would never begin; unpause it")
        self._rest.trigger(dag_id, run_id, conf)
        return f"{self._rest.url}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"
