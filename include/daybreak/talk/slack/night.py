"""What people are told of a night: how it ended, and that it is late. Pure: reports in, messages out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from daybreak.environment.night.advice import next_step
from daybreak.talk.slack.message import (
    Block,
    Message,
    code,
    context,
    duration,
    escaped,
    header,
    link,
    message,
    section,
)

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from daybreak.environment.night.late import Late, NotReady
    from daybreak.environment.night.report import EnvironmentReport, NightReport, Summary

#: Faulted environments that get a section of their own; the others are named together.
_FAULTS = 6
#: Characters of one fault's message, of one line about another environment, of a list of names.
_FAULT, _LINE, _NAMES = 250, 250, 1500
#: Characters of the sections that hold many lines.
_DEGRADED, _REST = 1800, 2200


def ended(summary: Summary, run_url: str) -> Message:
    """How the night ended: the faulted first, with what to do next, then the others.

    :param run_url: of the DAG run.
    """
    report = summary.report
    if report is None:
        return message(
            summary.headline, [section([escaped(summary.headline)]), context(link(run_url, "the run"))]
        )
    names = ", ".join(f"{each.name} ({each.code})" for each in report.faulted)
    text = f"{report.headline}. Faulted: {names}" if names else report.headline
    return message(text, list(_blocks(report, run_url)))


def late(found: Late, zone: ZoneInfo, run_url: str) -> Message:
    """The night is late: which environments are not ready, and what holds each.

    :param zone: the policy's, in which people read the time.
    """
    missing = found.missing
    title = f"Night {found.night} is late: {len(missing)} of {found.expected} environments are not ready"
    lines = [f"*{each.name}* {_state(each)}" for each in missing]
    names = ", ".join(each.name for each in missing)
    due = f"They were due at {found.ready.astimezone(zone):%H:%M} {zone}"
    more = " The run has not even decided: is the scheduler at work?" if not found.decided else ""
    return message(
        f"{title}: {names}. {due}.{more}",
        [
            header(f"⏰ {title}"),
            section([f"{escaped(due)}.{more}"]),
            section(lines),
            context(f"{link(run_url, 'the run')} · `daybreak night report`"),
        ],
    )


def _blocks(report: NightReport, run_url: str) -> Iterator[Block]:
    faulted = report.faulted
    ready = [each for each in report.environments if each.ended == "rebuilt"]
    degraded = report.degraded
    yield header(_title(report, faulted, degraded))
    for each in faulted[:_FAULTS]:
        yield section(
            [
                f"*{each.name}* is FAULTED: {code(each.code or 'failed', 80)} "
                f"{escaped(each.message or '', _FAULT)}",
                f"Next: {escaped(next_step(each.name, each.code or ''), _FAULT)}",
            ]
        )
    if rest := faulted[_FAULTS:]:
        names = escaped(", ".join(each.name for each in rest), _NAMES)
        yield section([f"*{len(rest)} more are FAULTED:* {names}"])
    if degraded:
        yield section([_degraded(each) for each in degraded], _DEGRADED)
    lines = []
    if ready:
        lines.append(f"*ready*: {escaped(', '.join(each.name for each in ready), _NAMES)}")
    for word in ("preserved", "kept", "left alone", "torn down", "skipped", "running", "waiting", "planned"):
        lines += [
            f"*{word}*: {each.name}, {escaped(each.reason, _LINE)}"
            for each in report.environments
            if each.ended == word
        ]
    if lines:
        yield section(lines, _REST)
    yield context(" · ".join(_small_print(report, run_url)))


def _title(
    report: NightReport, faulted: Sequence[EnvironmentReport], degraded: Sequence[EnvironmentReport]
) -> str:
    count = len(report.environments)
    if faulted:
        return f"🔴 Night {report.night}: {len(faulted)} of {count} environments faulted"
    if degraded:
        return f"🟠 Night {report.night}: no fault, but {len(degraded)} of {count} are degraded"
    return f"🟢 Night {report.night}: {report.headline.split(': ', 1)[1].rsplit(';', 1)[0]}"


def _degraded(each: EnvironmentReport) -> str:
    return f"*{each.name}* is DEGRADED: {escaped(each.message or '', _FAULT)}".rstrip()


def _small_print(report: NightReport, run_url: str) -> Iterator[str]:
    yield link(run_url, "the run")
    yield f"took {duration(report.timing.makespan)}"
    if report.commit:
        built = len({each.resource for each in report.builds})
        yield f"commit {code(report.commit[:12])}, {built} of {report.planned} resources built"
    yield "`daybreak night report`"


def _state(each: NotReady) -> str:
    doing = f", at work: {each.step}" if each.step else ""
    why = f"; {code(each.code, 80)} {escaped(each.message or '', _FAULT)}" if each.code else ""
    return f"is {escaped(each.state, 40)}{escaped(doing, 80)}{why}"
