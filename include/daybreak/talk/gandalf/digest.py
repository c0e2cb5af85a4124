"""The week's digest for the merges channel: what landed, what was rejected and why, which tests are flaky."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from daybreak.environment.installation import Installation
from daybreak.merge.announce import MERGES
from daybreak.merge.queue import Queue
from daybreak.merge.rules import EntryState as E
from daybreak.registry.outbox import Notice
from daybreak.talk.gandalf.record import record
from daybreak.talk.reply import Reply, quoted

#: On which hour of the day after the week it is due, local time: when people are there to read it.
HOUR = 9
#: Rejections that are named one by one, and characters of a reason.
_NAMED, _REASON = 20, 200


def due(installation: Installation) -> Notice | None:
    """The digest of the week that ended last, to be told once; ``None`` before its hour, and for a week in
    which nothing ended.
    """
    zone = installation.settings.night.tzinfo
    now = installation.clock().astimezone(zone)
    monday = (now - timedelta(days=now.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    if now < monday + timedelta(hours=HOUR):
        return None
    return week(installation, monday - timedelta(days=7), monday)


def week(installation: Installation, since: datetime, until: datetime) -> Notice | None:
    """The digest of the days from ``since`` to ``until``."""
    ended = Queue(installation.engine, installation.clock).ended(since, until)
    if not ended:
        return None
    states = Counter(each.state.value for each in ended)
    rejected, flaky = [], Counter[str]()
    for entry in ended:
        known = record(installation, entry)
        found = known.findings if known is not None else None
        flaky.update(found.flaky if found is not None else ())
        if entry.state is E.REJECTED:
            failures = [name for name, _ in found.failures] if found is not None else []
            rejected.append(
                {
                    "pr": entry.pr, "title": entry.title, "author": entry.author,
                    "code": entry.reason_code or "", "reason": (entry.reason or "")[:_REASON],
                    "failures": failures[:5],
                }
            )  # fmt: skip
    payload = {
        "kind": "merge_digest", "from": since.date().isoformat(),
        "to": (until - timedelta(days=1)).date().isoformat(), "states": dict(states),
        "rejected": rejected[:_NAMED], "more": max(0, len(rejected) - _NAMED),
        "flaky": flaky.most_common(5),
    }  # fmt: skip
    return Notice(f"merge/digest/{since.date().isoformat()}", MERGES, payload, until + timedelta(days=3))


def render(payload: Mapping[str, Any]) -> Reply:
    """In words."""
    states = payload["states"]
    landed, rejected = states.get(E.LANDED, 0), states.get(E.REJECTED, 0)
    lines = [f"Merges, {payload['from']} to {payload['to']}: {landed} landed, {rejected} rejected."]
    for each in payload["rejected"]:
        why = ", ".join(each["failures"]) or each["reason"] or each["code"]
        whose = f"#{each['pr']} {quoted(each['title'])} ({quoted(each['author'])})"
        lines.append(f"• {whose} was rejected: {quoted(why)}")
    if payload["more"]:
        lines.append(f"• and {payload['more']} more")
    if payload["flaky"]:
        named = ", ".join(f"{name} ({count}×)" for name, count in payload["flaky"])  # noqa: RUF001
        lines.append(f"Flaky, passed when tried again: {quoted(named, 1000)}.")
    return Reply("\n".join(lines), public=True)
