"""Before anything is touched: which night, what happens to each environment, and which commit it gets."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from daybreak.build.artifact import Artifacts
from daybreak.catalog import snapshot
from daybreak.catalog.loader import load
from daybreak.change.plan import Plan, plan
from daybreak.environment import calendar
from daybreak.environment.calendar import Phase
from daybreak.environment.decision import Decision, Frozen, NightAction, decide
from daybreak.environment.installation import Installation
from daybreak.environment.nights import NightBusy
from daybreak.errors import UsageError

log = logging.getLogger(__name__)

#: The keys that a run's conf may have; Airflow itself lets unknown ones through.
CONF = frozenset({"environments", "phases", "wait", "dry_run", "ref", "reason"})


@dataclass(frozen=True)
class Request:
    """What a run was asked for.

    :param environments: only these, whatever day it is; ``None`` is all of them, by the calendar.
    :param dry_run: decide and say so; touch nothing.
    :param ref: revision of the monorepo; by default its main branch.
    """

    environments: tuple[str, ...] | None = None
    phases: frozenset[Phase] = frozenset(Phase)
    wait: bool = True
    dry_run: bool = False
    ref: str | None = None
    reason: str = ""

    @classmethod
    def of(cls, conf: dict[str, Any]) -> Request:
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
        )  # fmt: skip


def decide_night(installation: Installation, run_id: str, request: Request) -> tuple[date, list[Decision]]:
    """Decide, and claim for this run the environments that it will touch.

    A repeated call (a retry) finds its claims and decides the same for them.

    :raises UsageError: when a requested environment is unknown.
    """
    installation.register()
    settings, now = installation.settings, installation.clock()
    night = calendar.tonight(settings.night, now)
    brake = installation.switches.frozen()
    decisions = decide(
        settings.night,
        night.key,
        installation.environments.all(),
        settings.environments,
        {},
        now,
        request.phases,
        request.environments,
        Frozen(brake.by, brake.reason) if brake else None,
    )
    decisions = [_only_if_armed(installation, decision) for decision in decisions]
    installation.nights.open(night.key, run_id)
    if request.dry_run:
        return night.key, decisions
    return night.key, [_claimed(installation, night.key, run_id, decision) for decision in decisions]


def _only_if_armed(installation: Installation, decision: Decision) -> Decision:
    """In an account that nobody armed, what would delete is only said: no surprise on day one."""
    if not (decision.teardown or decision.in_place):
        return decision
    account = installation.settings.environment(decision.environment).account
    if installation.switches.is_armed(account):
        return decision
    return Decision(
        decision.environment,
        NightAction.SKIP,
        f"dry run, account {account} is not armed (`daybreak arm {account}`); would be: {decision.reason}",
    )


def _claimed(installation: Installation, night: date, run_id: str, decision: Decision) -> Decision:
    try:
        row = installation.nights.claim(night, decision.environment, run_id, decision.to_json())
    except NightBusy as busy:
        log.warning("%s", busy)
        return Decision(decision.environment, NightAction.SKIP, str(busy))
    return Decision.from_json(dict(row.decision))


def pin(installation: Installation, run_id: str, ref: str | None = None) -> Plan:
    """Pin the commit, the catalog and the plan that this run builds and deploys, and publish the graph.

    A repeated call gives the first one's plan, even when main moved on meanwhile.
    """
    found = [run for run in installation.runs.unfinished() if run.run_id == run_id]
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
    snapshot.publish(catalog, installation.store, installation.home)
    pinned = installation.runs.pin(
        run_id, kind="nightly", commit=commit, catalog_digest=catalog.digest, plan=planned.to_json()
    )
    log.info("pinned %s: %d resources", commit[:12], len(planned.steps))
    return Plan.from_json(pinned.plan)


def missing(installation: Installation, planned: Plan, names: Collection[str] | None = None) -> Sequence[str]:
    """The planned resources that have no artifact in the store, in the plan's order."""
    artifacts = Artifacts(installation.store)
    return [
        step.name
        for step in planned.steps
        if (names is None or step.name in names) and "build" in step.actions
        and not artifacts.exists(step.name, step.key)
    ]  # fmt: skip
