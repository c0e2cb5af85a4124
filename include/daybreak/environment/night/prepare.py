"""Before anything is touched: which night, what happens to each environment, and which commit it gets."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from daybreak.build.artifact import Artifacts
from daybreak.catalog import snapshot
from daybreak.catalog.loader import load
from daybreak.change.plan import Plan, plan
from daybreak.environment import calendar
from daybreak.environment.calendar import Night, Phase
from daybreak.environment.decision import Decision, Frozen, NightAction, decide
from daybreak.environment.installation import Installation
from daybreak.environment.nights import NightBusy
from daybreak.errors import DaybreakError, UsageError
from daybreak.settings import NightPolicy

log = logging.getLogger(__name__)

#: The keys that a run's conf may have; Airflow itself lets unknown ones through.
CONF = frozenset({"environments", "phases", "wait", "dry_run", "ref", "reason", "by"})

#: A run that has begun no step for so long, while none is at work, gives way to another.
SILENT = timedelta(minutes=15)


@dataclass(frozen=True)
class Request:
    """What a run was asked for.

    :param environments: only these, whatever day it is; ``None`` is all of them, by the calendar.
    :param dry_run: decide and say so; touch nothing.
    :param ref: revision of the monorepo; by default its main branch.
    :param by: the person whom a bot made the run for: named in the event log, and keeps their lease.
    :param scheduled: the instant that the schedule meant; what began too late after it is left out. ``None``
        is by hand: somebody wants it now.
    """

    environments: tuple[str, ...] | None = None
    phases: frozenset[Phase] = frozenset(Phase)
    wait: bool = True
    dry_run: bool = False
    ref: str | None = None
    reason: str = ""
    scheduled: datetime | None = None
    by: str = ""

    @classmethod
    def of(cls, conf: dict[str, Any], scheduled: datetime | None = None) -> Request:
        """From a run's conf; raises :class:`UsageError` naming the field."""
        unknown = sorted(set(conf) - CONF)
        if unknown:
            raise UsageError(
                f"conf: no such field: {', '.join(unknown)}; there are: {', '.join(sorted(CONF))}"
            )
        names = conf.get("environments")
        if names is not None and not (isinstance(names, list) and all(isinstance(n, str) for n in names)):
            raise UsageError("conf: environments: expected a list of names, or null for all")
        try:
            phases = frozenset(Phase(phase) for phase in conf.get("phases") or Phase)
        except ValueError as error:
            raise UsageError(f"conf: phases: {error}; there are: {', '.join(Phase)}") from None
        return cls(
            None if names is None else tuple(names), phases, bool(conf.get("wait", True)),
            bool(conf.get("dry_run", False)), conf.get("ref") or None, str(conf.get("reason") or ""),
            scheduled, str(conf.get("by") or ""),
        )  # fmt: skip


def check_main(installation: Installation, request: Request) -> None:
    """Ask in the evening whether the morning can build: nothing is torn down for a main that cannot be built.

    A monorepo that cannot be reached now may be in the morning; that is only logged.

    :raises UsageError: what is wrong with the catalog, or that there is no such revision.
    """
    if Phase.REBUILD not in request.phases:
        return
    settings = installation.settings
    try:
        repo = installation.mirror()
        commit = repo.rev_parse(request.ref or settings.monorepo.branch)
        load(repo, commit, settings.monorepo.catalog).order()
    except UsageError:
        raise
    except DaybreakError as error:
        log.warning("the monorepo cannot be looked at now: %s", error)


def decide_night(installation: Installation, run_id: str, request: Request) -> tuple[date, list[Decision]]:
    """Decide, and claim for this run the environments that it will touch.

    A repeated call (a retry) finds what the first one decided.

    :raises UsageError: when a requested environment is unknown.
    """
    found = installation.nights.find(run_id)
    if found is not None:
        return found.night, [Decision.from_json(each) for each in found.plan]
    installation.register()
    now = installation.clock()
    night, phases = _night(installation.settings.night, request, now)
    brake = installation.switches.frozen()
    decisions = decide(
        installation.settings.night,
        night.key,
        installation.environments.all(),
        installation.settings.environments,
        installation.votes.for_night(installation.settings.night, night.key),
        now,
        phases,
        request.environments,
        Frozen(brake.by, brake.reason) if brake else None,
    )
    decisions = [_only_if_armed(installation, decision) for decision in decisions]
    late = _late(installation.settings.night, request, night, phases, now)
    if late:
        decisions = [_said_late(decision, late, nothing=not phases) for decision in decisions]
    if not request.dry_run:
        decisions = [_claimed(installation, night.key, run_id, decision) for decision in decisions]
    pinned = installation.nights.open(night.key, run_id, plan=[each.to_json() for each in decisions])
    return pinned.night, [Decision.from_json(each) for each in pinned.plan]


def _night(policy: NightPolicy, request: Request, now: datetime) -> tuple[Night, frozenset[Phase]]:
    """Which night a run belongs to, and which of its phases may still begin."""
    if request.scheduled is None:
        return calendar.tonight(policy, now), request.phases
    night = calendar.night(policy, calendar.night_of(policy, request.scheduled))
    # On a day off nothing is rebuilt anyway; whether it is too late for that must not count.
    return night, request.phases & (night.open_phases(now) | (frozenset(Phase) - night.phases))


def _late(
    policy: NightPolicy, request: Request, night: Night, phases: frozenset[Phase], now: datetime
) -> str:
    cut_offs = {Phase.TEARDOWN: night.teardown_cutoff, Phase.REBUILD: night.build_cutoff}
    missed = [
        f"{phase.value} until {cut_offs[phase].astimezone(policy.tzinfo):%H:%M}"
        for phase in Phase
        if phase in request.phases - phases
    ]
    if not missed:
        return ""
    return f"began late, {now.astimezone(policy.tzinfo):%a %H:%M}; cut-off: {', '.join(missed)}"


def _said_late(decision: Decision, late: str, *, nothing: bool) -> Decision:
    if nothing and decision.action is NightAction.REBUILD:
        return Decision(decision.environment, NightAction.SKIP, f"too late: {late}")
    return replace(decision, reason=f"{decision.reason} ({late})")


def too_late(installation: Installation, request: Request, run_id: str) -> str:
    """In the morning of a scheduled run: why nothing is built any more, or nothing."""
    policy, now = installation.settings.night, installation.clock()
    night = calendar.night(policy, installation.nights.get(run_id).night)
    if request.scheduled is None or now <= night.build_cutoff:
        return ""
    local, cut_off = now.astimezone(policy.tzinfo), night.build_cutoff.astimezone(policy.tzinfo)
    return (
        f"the morning began at {local:%a %H:%M}, after the cut-off {cut_off:%H:%M}; "
        "`daybreak env rebuild ENV` builds one now"
    )


def _only_if_armed(installation: Installation, decision: Decision) -> Decision:
    """In an account that nobody armed, what would delete is only said: no surprise on day one."""
    if not (decision.teardown or decision.in_place or decision.pauses):
        return decision
    account = installation.settings.environment(decision.environment).account
    if installation.switches.is_armed(account):
        return decision
    if decision.pauses:
        return replace(decision, pauses=False)
    return Decision(
        decision.environment,
        NightAction.SKIP,
        f"dry run, account {account} is not armed (`daybreak arm {account}`); would be: {decision.reason}",
    )


def _claimed(installation: Installation, night: date, run_id: str, decision: Decision) -> Decision:
    nights, name = installation.nights, decision.environment
    if not decision.touches:
        nights.note(night, name, run_id, decision.to_json())
        return decision
    try:
        row = nights.claim(
            night, name, run_id, decision.to_json(), takeover=_silent(installation, night, name)
        )
    except NightBusy as busy:
        log.warning("%s", busy)
        return Decision(name, NightAction.SKIP, str(busy))
    return Decision.from_json(dict(row.decision))


def _silent(installation: Installation, night: date, name: str) -> bool:
    """Whether the run that has the environment is dead, as far as anybody can tell."""
    found = installation.nights.environments(night=night, environment=name)
    now = installation.clock()
    working = installation.environments.get(name).op_alive(now)
    return bool(found) and not working and now - found[0].updated_at > SILENT


def pin(installation: Installation, request: Request, run_id: str) -> Plan:
    """Pin the commit, the catalog and the plan that this run builds and deploys, and publish the graph.

    A repeated call gives the first one's plan, even when main moved on meanwhile.

    :raises DaybreakError: what keeps the run from building; verdicts and report give it as their reason.
    """
    try:
        late = too_late(installation, request, run_id)
        if late:
            raise UsageError(late, code="too_late")
        planned = _pin(installation, run_id, request.ref)
    except DaybreakError as error:
        installation.nights.stop(run_id, error.code, str(error))
        raise
    installation.nights.resume(run_id)
    return planned


def _pin(installation: Installation, run_id: str, ref: str | None) -> Plan:
    unfinished = installation.runs.unfinished()
    found = [run for run in unfinished if run.run_id == run_id]
    if found:
        return Plan.from_json(found[0].plan)
    settings = installation.settings
    repo = installation.mirror()
    commit = repo.rev_parse(ref or settings.monorepo.branch)
    artifacts = Artifacts(installation.store)
    planned = plan(
        repo, None, commit, artifacts.exists, settings.monorepo.catalog, python=settings.build.python
    )
    catalog = load(repo, commit, settings.monorepo.catalog)
    others = [snapshot.stored(installation.store, run.commit) for run in unfinished]
    snapshot.publish(catalog, installation.store, installation.home, others)
    pinned = installation.runs.pin(
        run_id, kind="nightly", commit=commit, catalog_digest=catalog.digest, plan=planned.to_json()
    )
    log.info("pinned %s: %d resources", commit[:12], len(planned.steps))
    return Plan.from_json(pinned.plan)
