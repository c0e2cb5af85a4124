"""The words of what people are told unasked: a payload of the outbox in, a reply with its buttons out. Pure.

The payloads are made in `environment/leases/notice.py`; whoever sends them (Slack) asks :func:`render` at
that moment, so that "in 15 min" is true when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from daybreak.environment.night.advice import next_step
from daybreak.talk.reply import Button, Reply, Section
from daybreak.talk.when import show, show_both


def render(payload: Mapping[str, Any], now: datetime, zone: ZoneInfo) -> Reply:
    """Put a notice into words.

    :raises KeyError: when no such kind exists; `KINDS` has those that do.
    """
    text, buttons = KINDS[str(payload["kind"])](_Notice(payload, now, zone))
    public = payload["kind"] in ("faulted", "late_forecast")
    return Reply(text, (Section(text, buttons),), data=dict(payload), public=public)


class _Notice:
    """A payload with its values typed."""

    def __init__(self, payload: Mapping[str, Any], now: datetime, zone: ZoneInfo) -> None:
        self.payload, self.now, self.zone = payload, now, zone
        self.env = str(payload.get("environment") or "")
        self.lease: int | None = payload.get("lease")
        self.by = str(payload.get("by") or "")
        self.reason = f": {payload['reason']}" if payload.get("reason") else ""

    def at(self, field: str) -> datetime:
        return datetime.fromisoformat(self.payload[field])

    def both(self, field: str) -> str:
        return show_both(self.at(field), self.now, self.zone)

    def plain(self, field: str) -> str:
        return show(self.at(field), self.now, self.zone)

    @property
    def release(self) -> Button:
        return Button("Release", f"release {self.env}", "danger", lease=self.lease)

    def extend(self, hours: int = 2) -> Button:
        return Button(f"Extend {hours}h", f"extend {self.env} for {hours}h", lease=self.lease)


_Words = tuple[str, tuple[Button, ...]]


def _teardown(notice: _Notice) -> _Words:
    night = date.fromisoformat(notice.payload["night"])
    text = (
        f"{notice.env} is torn down at {notice.both('at')}, and your lease ends with it. "
        f"Say `preserve {notice.env} tonight` to keep it."
    )
    keep = Button("Preserve tonight", f"preserve {notice.env} tonight", "primary", night=night)
    return text, (keep, notice.release)


def _ending(notice: _Notice) -> _Words:
    return f"Your lease of {notice.env} ends at {notice.both('until')}.", (notice.extend(), notice.release)


def _ended(notice: _Notice) -> _Words:
    text = f"Your lease of {notice.env} ended at {notice.plain('until')}."
    return text, (Button("Take it again", f"lock {notice.env}"),)


def _torn_down(notice: _Notice) -> _Words:
    text = (
        f"{notice.env} is being torn down ({notice.by}); it was not preserved, so your lease ended with it. "
        f"It comes back clean; `lock {notice.env}` takes it then."
    )
    return text, ()


def _taken(notice: _Notice) -> _Words:
    return f"{notice.by} took {notice.env} from you{notice.reason}.", _wait(notice)


def _released(notice: _Notice) -> _Words:
    return f"{notice.by} released {notice.env}, which was yours{notice.reason}.", _wait(notice)


def _given(notice: _Notice) -> _Words:
    text = f"{notice.by} gave you {notice.env}{notice.reason}. It is yours until {notice.both('until')}."
    return text, (notice.extend(), notice.release)


def _turn(notice: _Notice) -> _Words:
    text = (
        f"It is your turn: {notice.env} is yours until {notice.both('until')}. "
        f"Say `extend {notice.env} for 4h` to keep it, or `release {notice.env}` for the next one."
    )
    return text, (notice.extend(4), notice.release)


def _poked(notice: _Notice) -> _Words:
    text = (
        f"{notice.by} asks whether you still need {notice.env}{notice.reason}. "
        f"It is yours until {notice.both('until')}."
    )
    give = Button(f"Give it to {notice.by}", f"give {notice.env} @{notice.by}", lease=notice.lease)
    return text, (notice.release, give)


def _faulted(notice: _Notice) -> _Words:
    code = str(notice.payload.get("code") or "failed")
    text = (
        f"{notice.env} is FAULTED: {code}: {notice.payload.get('message') or 'no message'}\n"
        f"Next: {next_step(notice.env, code)}"
    )
    return text, ()


def _late_forecast(notice: _Notice) -> _Words:
    late = notice.payload["late"]
    text = (
        f"The morning of night {notice.payload['night']} will be late: ready-time is "
        f"{notice.plain('ready')}, at the pace of the last {notice.payload['nights']} nights it takes until "
        f"{notice.both('expected')}.\n"
        f"Waiting for: {', '.join(late)}. `daybreak night report` says what takes its time."
    )
    return text, ()


def _bcd(notice: _Notice) -> _Words:
    payload = notice.payload
    if payload["locked"]:
        text = f"Nothing was deployed: {payload['message']}"
        buttons = (*_wait(notice), Button("Ask them", f"poke {notice.env}"))
        return text, buttons
    lines = [
        f"{each['resource']} {each['ended']}, {each['was'][:12] or 'new'} to {each['key'][:12] or 'gone'}: "
        f"{each['why'] or each['red'] or each['link']}".rstrip(": ")
        for each in payload["lines"]
    ]
    more = [f"and {payload['more']} more"] if payload["more"] else []
    wrong = [*payload["wrong"], *payload.get("notes", ())]
    text = "\n".join([payload["headline"], *wrong, *lines, *more, payload["url"]]).strip()
    return text, ()


def _wait(notice: _Notice) -> tuple[Button, ...]:
    return (Button("Wait for it", f"queue {notice.env}"),)


#: The words for each kind of notice.
KINDS: Mapping[str, Callable[[_Notice], _Words]] = {
    "teardown": _teardown, "ending": _ending, "lease_ended": _ended, "torn_down": _torn_down,
    "taken": _taken, "released": _released, "given": _given, "turn": _turn, "poked": _poked,
    "faulted": _faulted, "late_forecast": _late_forecast, "bcd": _bcd,
}  # fmt: skip
