"""Telling people about a night: in Slack, in the DAG run's note, and when it is late.

Light: it is imported by the DAG's file, and by the triggerer, which runs :func:`night_is_late`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from airflow.sdk import (  # type: ignore[attr-defined]  # they are there, but not in the stub of 3.3.2
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
)

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation
    from daybreak.environment.night.report import Summary
    from daybreak.registry.outbox import Notice
    from daybreak.settings import NightPolicy, Settings
    from daybreak.talk.slack.message import Message

log = logging.getLogger(__name__)

#: Airflow takes no longer note (`DAGRunPatchBody`).
NOTE = 1000
#: So long after ready-time nobody needs to be told any more that the night is late.
_OLD = timedelta(hours=4)
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


def told_of_night(settings: Settings, run_id: str, url: str) -> Callable[[Summary], Notice] | None:
    """What the channel is told of a night's end; ``None`` where the settings have no Slack.

    Told once for each run: a later report of it, whose task was tried again, takes the place of the first.

    :param url: of the DAG run.
    """
    from daybreak.talk.slack.night import ended

    if settings.slack is None:
        log.info("nobody is told in Slack: daybreak.yaml has no `slack`")
        return None
    return lambda summary: _written(f"night/{run_id}", ended(summary, url))


def _written(key: str, said: Message, expires_at: datetime | None = None) -> Notice:
    from daybreak.registry.outbox import CHANNEL, Notice
    from daybreak.talk.slack.delivery import WRITTEN

    payload = {"kind": WRITTEN, "text": said.text, "blocks": list(said.blocks)}
    return Notice(key[:255], CHANNEL, payload, expires_at)


def tell(found: Installation, key: str) -> bool:
    """Send now what stands in the outbox for the channel; says whether the message of that key arrived.

    What Slack does not take now the caretaker sends later. Never raises: nobody's work depends on it.
    """
    try:
        from daybreak.orchestration import connections
        from daybreak.registry.outbox import CHANNEL
        from daybreak.registry.work import DONE
        from daybreak.talk.whole import Talk

        Talk.open(found, connections.slack(found.settings)).sender.flush(only=[CHANNEL])
        return any(each.status == DONE for each in found.outbox.standing(key=key[:255]))
    except Exception:
        # No connection of that name, a provider that is not installed: no reason for a red night.
        log.exception("Slack is told later, by the caretaker")
        return False


def note_night(runs: RunNotes | None, dag_id: str, run_id: str, summary: Summary, link: str = "") -> bool:
    """Write the headline, the faulted environments and a link into the run's note. Never raises.

    :param runs: ``None`` where the settings do not say how to reach Airflow: no note then.
    :param link: of more: a report's page, or the log of the task that reported.
    """
    return write_note(runs, dag_id, run_id, note(summary, link))


def write_note(runs: RunNotes | None, dag_id: str, run_id: str, text: str) -> bool:
    """Write the run's note, cut to what Airflow takes. Never raises; says whether it was written."""
    if runs is None:
        return False
    try:
        runs.set_note(dag_id, run_id, text if len(text) <= NOTE else f"{text[: NOTE - 1]}…")
    except Exception as error:
        log.warning("the run has no note: %s: %s", type(error).__name__, error)
        return False
    return True


def note(summary: Summary, link: str = "") -> str:
    """The note's Markdown, cut to what Airflow takes."""
    from daybreak.talk.markdown import code, words

    more = f"\n\n[report]({link})" if link else ""
    faults = summary.report.faulted if summary.report else ()
    # Airflow shows it as Markdown; why something failed is other people's words.
    said = (
        f"- **{each.name}** {code(each.code or '')}: {words(each.message or '', 1000)}" for each in faults
    )
    text = "\n".join([summary.headline, *said])
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
    from daybreak.talk.slack.night import late

    installation = Installation.open(settings)
    found = lateness(installation, night)
    names = ", ".join(f"{each.name} ({each.state})" for each in found.missing)
    if not found.missing:
        return f"night {night} is ready: all {found.expected} environments"
    if found.reported:
        return f"night {night} is over and was reported; not ready: {names}"
    said = f"night {night} is late; not ready: {names}"
    if settings.slack is None:
        return f"{said}; daybreak.yaml has no `slack`"
    key = f"late/{night}"
    # Once, whoever of several triggerers calls; and by noon people know it.
    warning = late(found, settings.night.tzinfo, url)
    installation.outbox.put(_written(key, warning, expires_at=found.ready + _OLD))
    return said if tell(installation, key) else f"{said}; Slack was not told yet"


def _minutes(at: Any) -> int:
    return int(at.hour * 60 + at.minute)
