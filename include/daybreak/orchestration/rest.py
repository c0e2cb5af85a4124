"""Trigger DAG runs, and read how they go, over Airflow's REST API with its official client.

For whoever is not a task: the bots, people's scripts, the demo. Nothing of Airflow itself is imported, and
the client only when it is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from daybreak.errors import DaybreakError, UsageError

if TYPE_CHECKING:
    from daybreak.settings import Settings

#: Airflow answers with at most `[api] maximum_page_limit` rows, 100 unless it is told otherwise.
_PAGE = 100
#: Another try does no harm: a run that was made by the first one is a 409 then, which is success.
_UNAVAILABLE = (502, 503, 504)


class AirflowUnreachable(DaybreakError):
    """Airflow does not answer, or does not let us in; nobody knows whether the call was carried out."""

    code = "airflow_unreachable"


@dataclass(frozen=True)
class Run:
    """A DAG run. ``state`` is Airflow's word: ``queued``, ``running``, ``success`` or ``failed``."""

    dag_id: str
    run_id: str
    state: str
    triggered_by: str
    conf: Mapping[str, Any]
    note: str

    @property
    def ended(self) -> bool:
        """Nothing happens in it any more, unless somebody clears a task."""
        return self.state in ("success", "failed")


@dataclass(frozen=True)
class TaskInstance:
    """A task of a run.

    :param name: what ``map_index_template`` made of a mapped one, such as its environment; else empty.
    :param state: Airflow's word, such as ``up_for_retry``; empty before it is scheduled.
    :param began: when the last try began, :param ended_at: when it ended; ``None`` before that.
    """

    task_id: str
    map_index: int
    name: str
    state: str
    try_number: int
    began: datetime | None
    ended_at: datetime | None

    @property
    def seconds(self) -> float:
        """How long the last try ran; 0 while it has not ended."""
        return (self.ended_at - self.began).total_seconds() if self.began and self.ended_at else 0.0

    @property
    def ended(self) -> bool:
        """It will not run again by itself."""
        return self.state in ("success", "failed", "skipped", "upstream_failed", "removed")


class Rest:
    """One Airflow, as one user. Make one, keep it: it holds the connections and the token."""

    def __init__(self, url: str, username: str, password: str, *, timeout: float = 30) -> None:
        """Nothing is sent yet.

        :param url: base URL, with the path prefix where there is one.
        :param timeout: seconds for each call.
        """
        self.url = url.rstrip("/")
        self._login = {"username": username, "password": password}
        self._timeout = timeout

    def is_paused(self, dag_id: str) -> bool:
        """Whether runs of the DAG would be queued for ever.

        :raises UsageError: there is no such DAG, or it was not read yet.
        :raises AirflowUnreachable: no answer.
        """
        return bool(self._call(partial(self._dags.get_dag, dag_id)).is_paused)

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> Run:
        """Make the run, or find it: ``run_id`` names the work, so a second call changes nothing.

        :raises UsageError: there is no such DAG, or a Param is wrong; with Airflow's words.
        :raises AirflowUnreachable: no answer; the same call again is safe.
        """
        from airflow_client.client.exceptions import ConflictException
        from airflow_client.client.models.trigger_dag_run_post_body import TriggerDAGRunPostBody

        # No logical date: two runs for one instant are no contradiction.
        body = TriggerDAGRunPostBody(dag_run_id=run_id, logical_date=None, conf=dict(conf))
        try:
            return _run(self._call(partial(self._runs.trigger_dag_run, dag_id, body)))
        except ConflictException:
            return self.run(dag_id, run_id)

    def run(self, dag_id: str, run_id: str) -> Run:
        """The run as it is now; raises as :meth:`trigger` does."""
        return _run(self._call(partial(self._runs.get_dag_run, dag_id, run_id)))

    def going_on(self, dag_id: str) -> list[Run]:
        """Its runs that are queued or running, at most 100, the oldest first; raises as :meth:`trigger`."""
        call = partial(
            self._runs.get_dag_runs, dag_id, state=["queued", "running"], limit=_PAGE, order_by=["run_after"]
        )
        return [_run(each) for each in self._call(call).dag_runs]

    def set_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Replace the run's note, Markdown of at most 1000 characters; raises as :meth:`trigger` does."""
        from airflow_client.client.models.dag_run_patch_body import DAGRunPatchBody

        body = DAGRunPatchBody(note=note)
        self._call(partial(self._runs.patch_dag_run, dag_id, run_id, body, update_mask=["note"]))

    def task_instances(self, dag_id: str, run_id: str) -> tuple[TaskInstance, ...]:
        """All its task instances, in the order in which they ended; raises as :meth:`trigger` does."""
        found: list[Any] = []
        cursor: str | None = ""
        # By id, which never changes: what ends between two pages must not slip from one into the other.
        page = partial(self._instances.get_task_instances, dag_id, run_id, limit=_PAGE, order_by=["id"])
        while cursor is not None:
            answer = self._call(partial(page, cursor=cursor))
            found += answer.task_instances
            cursor = answer.next_cursor
        found.sort(key=lambda each: (each.end_date is None, each.end_date))
        return tuple(_instance(each) for each in found)

    def ask(self, api: Any, call: str, **arguments: Any) -> Any:
        """Any other call of the official client, with this login and patience.

        :param api: one of the client's classes, such as ``PoolApi``; ``call`` is the method's name.
        :raises UsageError: Airflow refused it; :raises AirflowUnreachable: no answer.
        """
        return self._call(partial(getattr(api(self._client), call), **arguments))

    @classmethod
    def of(cls, settings: Settings) -> Rest:
        """The Airflow of the settings.

        :raises UsageError: when they name none.
        """
        airflow = settings.airflow
        if airflow is None:
            raise UsageError(
                "daybreak.yaml has no `airflow:` section (url, username, password); see docs/settings.md"
            )
        return cls(airflow.url, airflow.username, airflow.password.get_secret_value())

    @cached_property
    def _client(self) -> Any:
        from airflow_client.client import ApiClient, Configuration
        from urllib3 import Retry

        patience = Retry(
            total=3, status_forcelist=_UNAVAILABLE, allowed_methods=None, backoff_factor=0.5,
            raise_on_status=False,
        )  # fmt: skip
        return ApiClient(Configuration(host=self.url, retries=patience))

    @cached_property
    def _dags(self) -> Any:
        from airflow_client.client.api.dag_api import DAGApi

        return DAGApi(self._client)

    @cached_property
    def _runs(self) -> Any:
        from airflow_client.client.api.dag_run_api import DagRunApi

        return DagRunApi(self._client)

    @cached_property
    def _instances(self) -> Any:
        from airflow_client.client.api.task_instance_api import TaskInstanceApi

        return TaskInstanceApi(self._client)

    def _call(self, call: Callable[..., Any]) -> Any:
        from airflow_client.client.exceptions import ApiException, ConflictException
        from urllib3.exceptions import HTTPError

        try:
            if self._client.configuration.access_token is None:
                self._log_in()
            try:
                return call(_request_timeout=self._timeout)
            except ApiException as error:
                if not _token_is_void(error):
                    raise
                self._log_in()
                return call(_request_timeout=self._timeout)
        except ConflictException:
            raise
        except ApiException as error:
            raise self._said(error) from error
        except HTTPError as error:
            raise AirflowUnreachable(f"Airflow at {self.url} does not answer: {error}") from error

    def _log_in(self) -> None:
        """Fetch a token; the client has no call for it."""
        answer = self._client.call_api(
            "POST", f"{self.url}/auth/token", {"Content-Type": "application/json"}, self._login,
            _request_timeout=self._timeout,
        )  # fmt: skip
        text = answer.read().decode(errors="replace")
        if answer.status != 201:
            who = self._login["username"]
            raise AirflowUnreachable(
                f"Airflow at {self.url} refused the login of {who!r}: {answer.status} {_detail(text)}"
            )
        self._client.configuration.access_token = json.loads(text)["access_token"]

    def _said(self, error: Any) -> DaybreakError:
        detail = _detail(error.body)
        if error.status in (400, 404, 422):
            return UsageError(f"Airflow refused it: {detail}")
        if error.status == 403:
            who = self._login["username"]
            return UsageError(f"Airflow at {self.url} does not allow it to {who!r}: {detail}; give it a role")
        return AirflowUnreachable(f"Airflow at {self.url} answered {error.status}: {detail}")


def _token_is_void(error: Any) -> bool:
    """A token lives for a day, a bot longer; one of before a change of Airflow's secret is a 403."""
    return error.status == 401 or (error.status == 403 and _detail(error.body) == "Invalid JWT token")


def _detail(body: str | None) -> str:
    """Airflow's own words in an error's body."""
    try:
        said = json.loads(body or "")["detail"]
    except (ValueError, KeyError, TypeError):
        return (body or "").strip()[:300]
    if isinstance(said, list):  # one for each wrong field of the request
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in said)
    return str(said)


def _run(answer: Any) -> Run:
    return Run(
        answer.dag_id, answer.dag_run_id, str(answer.state.value), answer.triggering_user_name or "",
        answer.conf or {}, answer.note or "",
    )  # fmt: skip


def _instance(answer: Any) -> TaskInstance:
    return TaskInstance(
        answer.task_id,
        answer.map_index,
        answer.rendered_map_index or "",
        str(answer.state.value) if answer.state else "",
        answer.try_number,
        answer.start_date,
        answer.end_date,
    )
