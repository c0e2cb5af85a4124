"""The end of a BCD, whatever happened to it: every planned step is accounted for, the environment's state is
true, what was locked is free again, and people are told.

Called by the run's last task, and by the caretaker for runs that are over without it (killed, marked by
hand): :func:`abandoned`. Both may come, in any order and more than once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from daybreak.build.artifact import Artifacts
from daybreak.build.checks import passed
from daybreak.catalog.resource import Action, ResourceType
from daybreak.change.key import content_keys
from daybreak.environment import failures
from daybreak.environment.bcd.accounts import NO_RESULT, account
from daybreak.environment.bcd.records import BcdRun
from daybreak.environment.bcd.report import Ended, Line, Outcome, Report
from daybreak.environment.bcd.selection import deploys
from daybreak.environment.bcd.work import Work
from daybreak.environment.installation import Installation
from daybreak.environment.machine import USABLE, OpBusy, StaleState, State
from daybreak.environment.rollout import deployable
from daybreak.errors import DaybreakError, EnvironmentLocked, LostOp, UsageError
from daybreak.registry import outbox

log = logging.getLogger(__name__)

#: How many changed resources a notice names.
_TOLD = 20


def settle(installation: Installation, run_id: str) -> Report:
    """End the run; a run that was ended gives its report.

    :raises UsageError: when the run is unknown.
    """
    return _settle(Work.of(installation, run_id), cut_off="")


def abandoned(installation: Installation, run_id: str, why: str) -> Report:
    """End a run of which nobody works any more. Afterwards its op is void (what is left of a killed task
    changes nothing any more), its lock is gone, and the environment is READY only if all of it is there.

    :param why: what became of it, for people: ``marked failed by dana``.
    :raises UsageError: when the run is unknown.
    """
    return _settle(Work.of(installation, run_id), cut_off=why)


def refused(work: Work, error: Exception) -> Report:
    """End a run that did not come to have a plan: nothing was done."""
    locked = None
    if isinstance(error, EnvironmentLocked):
        locked = {"owner": error.owner, "until": error.until, "reason": error.reason}
    return _end(work, Outcome.REFUSED, (), (), str(error), locked)


def _settle(work: Work, cut_off: str) -> Report:
    row = work.row
    if row.ended_at is not None and row.report is not None:
        return Report.from_json(row.report)
    try:
        work.installation.runs.get(work.run_id)
    except UsageError:
        return refused(work, DaybreakError(f"it ended before anything was planned: {cut_off or 'no plan'}"))
    lines = account(work, cut_off)
    wrong = _judge(work, row, lines)
    outcome = _outcome(work, lines, cut_off)
    message = ""
    if outcome in (Outcome.FAILED, Outcome.INVALID, Outcome.CUT_OFF):
        failed = [f"{line.resource}: {line.why or line.red}" for line in lines if line.why or line.red]
        stopped = row.detail.get("stopped")
        message = "; ".join([*([cut_off] if cut_off else []), *([stopped] if stopped else failed or wrong)])
    return _end(work, outcome, lines, wrong, message)


def _end(
    work: Work, outcome: Outcome, lines: tuple[Line, ...], wrong: tuple[str, ...], message: str,
    locked: Mapping[str, str] | None = None,
) -> Report:  # fmt: skip
    installation, row = work.installation, work.row
    work.let_go()
    try:
        commit = work.plan.commit
    except UsageError:
        commit = ""
    state = installation.environments.get(work.environment).state.value
    report = Report(
        work.run_id, work.environment, work.actor, work.request.ref or installation.settings.monorepo.branch,
        commit, outcome, state, (installation.clock() - row.began_at).total_seconds(), lines, wrong,
        message[:8000], locked, _notes(row),
    )  # fmt: skip
    people = {each.name for each in installation.settings.people}
    recipient = outbox.person(work.actor) if work.actor in people else outbox.CHANNEL
    notice = outbox.Notice(f"bcd/{work.run_id}"[:255], recipient, _told(report, row))
    work.records.end(work.run_id, outcome.value, report.to_json(), notice)
    installation.runs.finish(work.run_id)
    return report


def _notes(row: BcdRun) -> tuple[str, ...]:
    flaky = (row.detail.get("e2e") or {}).get("flaky")
    return (failures.flaky(flaky),) if flaky else ()


def _told(report: Report, row: BcdRun) -> dict[str, Any]:
    """What people are told, without what did not change: a notice is no archive."""
    changed = [line for line in report.lines if line.ended is not Ended.UNCHANGED]
    told = replace(report, lines=tuple(changed[:_TOLD]), message=report.message[:2000])
    return {
        "kind": "bcd", **told.to_json(), "headline": report.headline, "url": row.detail.get("url", ""),
        "more": len(changed[_TOLD:]),
    }  # fmt: skip


def _outcome(work: Work, lines: tuple[Line, ...], cut_off: str) -> Outcome:
    ends = {line.ended for line in lines}
    e2e = work.row.detail.get("e2e")
    if cut_off and (ends & {Ended.FAILED, Ended.MISSING} or (work.request.e2e and e2e is None)):
        return Outcome.CUT_OFF
    if Ended.MISSING in ends or any(line.red == NO_RESULT for line in lines):
        return Outcome.INVALID
    red = any(line.red for line in lines)
    if Ended.FAILED in ends or red or (work.request.e2e and (e2e is None or e2e["verdict"] != "passed")):
        return Outcome.FAILED
    return Outcome.DONE if ends - {Ended.UNCHANGED} else Outcome.NOTHING


def _judge(work: Work, row: BcdRun, lines: tuple[Line, ...]) -> tuple[str, ...]:
    """Write the environment's state as it is now; returns what keeps it from being READY.

    Whoever took the environment over meanwhile says how it is; then nothing is written.
    """
    environments = work.installation.environments
    env = environments.get(work.environment)
    if not work.request.changes or env.fence_holder != work.holder or env.state not in USABLE:
        return ()
    try:
        op = work.begin("bcd verdict", timedelta(minutes=15))
    except (LostOp, OpBusy, StaleState, EnvironmentLocked) as error:
        log.warning("%s: its state is left to others: %s", work.environment, error)
        return ()
    try:
        with environments.beating(op):
            running = work.running(work.catalog)
            wrong = tuple(_wrong(work, row, lines, running))
    except Exception as error:
        # Nobody waits for a lock because AWS cannot be asked now; DEGRADED is true until somebody looks.
        log.exception("%s: what runs there cannot be looked at", work.environment)
        environments.finish(op, message=f"bcd: cannot be looked at: {error}"[:2000])
        return (f"what runs there cannot be looked at: {error}",)
    columns: dict[str, Any] = {}
    e2e = row.detail.get("e2e")
    changed = _changed(lines)
    if e2e is not None or changed:
        # What e2e said of what ran before is not true of what runs now.
        columns["verdict"] = e2e["verdict"] if e2e is not None else "not_run"
    if work.request.whole and not _missing(work, lines, running):
        columns["commit"] = work.plan.commit
    state = State.DEGRADED if wrong else State.READY
    said = "; ".join([*(wrong or ["complete"]), *_notes(row)])
    environments.finish(op, state, message=f"bcd: {said}"[:2000], **columns)
    return wrong


def _wrong(
    work: Work, row: BcdRun, lines: tuple[Line, ...], running: Mapping[str, str]
) -> Iterator[str]:  # fmt: skip
    missing = _missing(work, lines, running)
    yield from missing
    red = _red(work)
    if red:
        yield f"unit tests are not green: {', '.join(red)}"
    e2e, was = row.detail.get("e2e"), row.detail.get("was", {})
    if e2e is not None and e2e["verdict"] != "passed":
        failed = failures.named(e2e["failures"]) or "see its log"
        yield f"e2e failed: {failed}" if e2e["verdict"] == "failed" else "no e2e test ran"
    if was.get("state") != State.DEGRADED or missing or red or e2e is not None:
        return
    if not work.request.whole:
        yield "it was DEGRADED before; a BCD over the whole environment, or e2e, heals it"
    elif was.get("verdict") == "failed" and not _changed(lines):
        yield "e2e was red before, and nothing was changed since"


def _changed(lines: tuple[Line, ...]) -> bool:
    return any(line.ended in (Ended.DEPLOYED, Ended.REMOVED) for line in lines)


def _missing(work: Work, lines: tuple[Line, ...], running: Mapping[str, str]) -> list[str]:
    """What was planned and is not there, and what the commit has and does not run."""
    planned = {step.name for step in work.plan.steps if deploys(step)}
    lost = {
        line.resource: line.why
        for line in lines
        if line.resource in planned and line.ended not in (Ended.DEPLOYED, Ended.CREATED)
    }
    found = [f"{name} was not deployed: {why}" for name, why in lost.items()]
    for name, resource in work.catalog.resources.items():
        asked = deployable(resource) and resource.type is not ResourceType.INFRA
        if asked and name not in lost and name not in running:
            found.append(f"{name} does not run")
    return found


def _red(work: Work) -> list[str]:
    """Whose unit tests are not green: of what was planned or, when all of the environment was meant, of all
    that runs there.
    """
    installation, catalog = work.installation, work.catalog
    artifacts = Artifacts(installation.store)
    if work.request.whole:
        repo = installation.mirror()
        every = content_keys(repo, catalog, python=installation.settings.build.python)
        deployed = catalog.closure(name for name in catalog.resources if deployable(catalog[name]))
        keys = {name: every[name] for name in deployed if Action.TEST in catalog[name].actions}
    else:
        keys = {step.name: step.key for step in work.plan.steps if Action.TEST in step.actions}
    if not keys:
        return []
    green = passed(installation.mirror(), catalog, keys, artifacts)
    # What was not built is said by those who need it.
    return sorted(name for name, key in keys.items() if name not in green and artifacts.exists(name, key))
