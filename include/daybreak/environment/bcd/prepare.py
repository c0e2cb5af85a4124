"""Before anything is done: may they, what is meant, what is there; then commit and plan are pinned."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from daybreak.build.artifact import Artifacts
from daybreak.catalog import snapshot
from daybreak.catalog.loader import load
from daybreak.change.plan import Plan, plan
from daybreak.environment.bcd.request import Request
from daybreak.environment.bcd.revision import resolve
from daybreak.environment.bcd.selection import select
from daybreak.environment.bcd.settle import refused
from daybreak.environment.bcd.work import Work, require_usable
from daybreak.environment.installation import Installation
from daybreak.errors import UsageError

log = logging.getLogger(__name__)

KIND = "bcd"


@dataclass(frozen=True)
class Prepared:
    """What a run will do.

    :param lines: for people.
    """

    plan: Plan
    lines: tuple[str, ...]


def prepare(
    installation: Installation, run_id: str, request: Request, actor: str, url: str = ""
) -> Prepared:  # fmt: skip
    """Refuse, or lock the environment and pin the plan. A repeated call finds what the first one pinned.

    :param url: where people look at the run.

    :raises EnvironmentLocked: somebody else has it; who and until when.
    :raises OpBusy: somebody, the night perhaps, is at work on it.
    :raises UsageError: an unknown environment, revision or resource; an environment that is not there.
    :raises DaybreakError: what else keeps it from being planned. The environment is let go of in any case.
    """
    request.check(installation.settings)
    installation.register()
    work = Work(installation, run_id, request, actor)
    work.records.open(run_id, request, actor, url)
    try:
        require_usable(work)
        if request.changes:
            work.records.note(run_id, fence=work.hold())
        return _pinned(work)
    except Exception as error:
        refused(work, error)
        raise


def _pinned(work: Work) -> Prepared:
    installation, request = work.installation, work.request
    try:
        kind = installation.runs.get(work.run_id).kind
    except UsageError:
        kind = _pin(work)
    if kind != KIND:
        raise UsageError(f"{work.run_id} is the id of a run of {kind}; choose another one")
    detail = work.row.detail
    lines = [f"{work.environment}: {request.ref or 'main'} is {work.plan.commit[:12]}, for {work.actor}"]
    for step in work.plan.steps:
        actions = ", ".join(step.actions)
        lines.append(f"  {step.name:<24} {step.key[:12]}  {actions}: {', '.join(step.because)}")
    if detail["same"]:
        lines.append(f"  runs there already: {', '.join(detail['same'])}")
    if detail["gone"]:
        what = "is taken away" if request.remove else "is left; `remove` takes it away"
        lines.append(f"  not at this commit: {', '.join(detail['gone'])}; {what}")
    return Prepared(work.plan, tuple(lines))


def _pin(work: Work) -> str:
    installation, request = work.installation, work.request
    settings = installation.settings
    repo = installation.mirror()
    commit = resolve(repo, request.ref or settings.monorepo.branch)
    artifacts, path = Artifacts(installation.store), settings.monorepo.catalog
    full = plan(repo, None, commit, artifacts.exists, path, python=settings.build.python)
    catalog = load(repo, commit, path)
    running = work.running(catalog)
    chosen = select(full, catalog, running, request)
    snapshot.keep(catalog, installation.store)
    deployed = installation.deployments.current(work.environment)
    before = {
        name: {"key": key, "commit": deployed[name].commit if name in deployed else None}
        for name, key in running.items()
    }
    work.records.note(work.run_id, before=before, same=chosen.same, gone=chosen.gone)
    pinned = installation.runs.pin(
        work.run_id, kind=KIND, commit=commit, catalog_digest=catalog.digest, plan=chosen.plan.to_json()
    )
    log.info("pinned %s for %s: %d steps", commit[:12], work.environment, len(chosen.plan.steps))
    return pinned.kind
