"""Telling people about a night: in Slack, in the DAG run's note, and when it is late.

Light: it is imported by the DAG's file, and by the triggerer, which runs :func:`night_is_late`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from airflow.sdk import (  # type: ignore[attr-defined]  # they are there, but not in the stub of 3.3.2
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
)

if TYPE_CHECKING:
    from daybreak.environment.night.report import Summary
    from daybreak.settings import NightPolicy, Settings

log = logging.getLogger(__name__)

#: Airflow takes no longer note (`DAGRunPatchBody`).
NOTE = 1000
#: Change of the clocks between an evening and a morning.
_SHIFT = timedelta(hours=1)


class RunNotes(Protocol):
    """Airflow's REST API, as far as notes need it; a task has no other way to write one (apache/airflow issue
    64890).

    ``PATCH /api/v2/dags/{dag_id}/dagRuns/{run_id}`` with ``{"note": …}``.
    """

    def set_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Replace the note of a run; raises when Airflow refuses it."""


def run_url(dag_id: str, run_id: str) -> str:
    """The page of a DAG run, as people open it."""
    from airflow.sdk.configuration import conf

    base = str(conf.get("api", "base_url", fallback="http://localhost:8080/")).rstrip("/")
    return f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id)}"


def post_night(summary: Summary, url: str) -> bool:
    """Tell the Slack channel of the settings how the night ended; says whether it was told. Never raises.

    :param url: of the DAG run.
    """
    try:
        from daybreak.orchestration.slack import post
        from daybreak.settings import load
        from daybreak.talk.night import ended

        return post(load().slack, ended(summary, url))
    except Exception:
        # Settings that were changed meanwhile, a provider that is not installed: no reason for a red night.
        log.exception("nobody is told in Slack; the night's report is in the registry")
        return False


def note_night(runs: RunNotes, dag_id: str, run_id: str, summary: Summary, link: str = "") -> bool:
    """Write the headline, the faulted environments and a link into the run's note. Never raises.

    :param link: of more: a report's page, or the log of the task that reported.
    """
    try:
        runs.set_note(dag_id, run_id, note(summary, link))
    except Exception as error:
        log.warning("the run has no note: %s: %s", type(error).__name__, error)
        return False
    return True


def note(summary: Summary, link: str = "") -> str:
    """The note's Markdown, cut to what Airflow takes."""
    more = f"\n\n[report]({link})" if link else ""
    faults = summary.report.faulted if summary.report else ()
    lines = [summary.headline, *(f"- **{each.name}** `{each.code}`: {each.message}" for each in faults)]
    text = "\n".join(" ".join(line.split()) for line in lines)
    room = NOTE - len(more)
    return (text if len(text) <= room else f"{text[: room - 1]}…") + more


def deadline(policy: NightPolicy) -> DeadlineAlert:
    """The alert of `nightly`: at ready-time, :func:`night_is_late` is called in the triggerer.

    Counted from the logical date, which is the evening of a scheduled night whenever its run really began; a
    rebuild that the REST API triggers has none and so no deadline. The interval is fixed, but the morning is
    an hour nearer when the clocks change: so it ends an hour early, and the callback waits until the instant.
    """
    between = timedelta(minutes=_minutes(policy.ready) - _minutes(policy.evening)) % timedelta(days=1)
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
        interval=max(between - _SHIFT, timedelta()),
        callback=AsyncCallback(night_is_late),
        name="ready",
    )


async def night_is_late(context: Mapping[str, Any]) -> str:
    """Say in the log and in Slack which environments are not ready, once it is ready-time.

    :param context: what Airflow gives to a deadline's callback: ``dag_run`` as the REST API shows it.
    :returns: one line, which Airflow keeps as the callback's output.
    """
    from daybreak.settings import load

    settings, run = load(), context["dag_run"]
    night, wait = await asyncio.to_thread(_when, settings, run)
    if wait > 2 * _SHIFT:
        return f"not the deadline of night {night}: that is {wait} away"
    await asyncio.sleep(max(0.0, wait.total_seconds()))
    url = run_url(run["dag_id"], run["dag_run_id"])
    said = await asyncio.to_thread(_tell_late, settings, night, url)
    log.warning("%s", said)
    return said


def _when(settings: Settings, run: Mapping[str, Any]) -> tuple[date, timedelta]:
    """The night that the run belongs to, and how long it is until its ready-time."""
    from daybreak.environment import calendar
    from daybreak.environment.installation import Installation
    from daybreak.errors import UsageError

    installation = Installation.open(settings)
    try:
        night = installation.nights.get(run["dag_run_id"]).night
    except UsageError:
        # It never came to decide.
        begun = datetime.fromisoformat(run["logical_date"] or run["run_after"])
        night = calendar.night_of(settings.night, begun)
    return night, calendar.night(settings.night, night).ready - installation.clock()


def _tell_late(settings: Settings, night: date, url: str) -> str:
    from daybreak.environment.installation import Installation
    from daybreak.environment.night.late import lateness
    from daybreak.orchestration.slack import post
    from daybreak.talk.night import late

    found = lateness(Installation.open(settings), night)
    names = ", ".join(f"{each.name} ({each.state})" for each in found.missing)
    if not found.missing:
        return f"night {night} is ready: all {found.expected} environments"
    if found.reported:
        return f"night {night} is over and was reported; not ready: {names}"
    told = post(settings.slack, late(found, settings.night.tzinfo, url))
    return f"night {night} is late; not ready: {names}" + ("" if told else "; Slack was not told")


def _minutes(at: Any) -> int:
    return int(at.hour * 60 + at.minute)
