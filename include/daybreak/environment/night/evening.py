"""The evening: quiet an environment, then delete the stack that costs money; of one that stays up, only the
schedules are switched off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daybreak.catalog import snapshot
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.driver import Target
from daybreak.deploy.host import HostDown
from daybreak.environment import schedules
from daybreak.environment.calendar import Phase
from daybreak.environment.interlocks import Code
from daybreak.environment.machine import STEP_STATES, USABLE, Op, State
from daybreak.environment.night.work import Stage, Work, run
from daybreak.environment.nights import NightStatus
from daybreak.environment.scorch.execute import check_scorch
from daybreak.environment.scorch.outlook import make_plan
from daybreak.environment.stacks.stack import Kind, Stacks
from daybreak.store import NotInStore


def stop_schedules(work: Work, op: Op) -> int:
    """Memorise and disable the schedules; returns how many were on."""
    target = work.target(op)
    return len(schedules.disable(target, work.stacks(target), work.memos(op)).changed)


def stop_services(work: Work, op: Op) -> int:
    """End the environment's services on their host; without a host there are none."""
    host = work.installation.host
    try:
        seen = host.generations(work.environment)
        work.installation.environments.check(op)
        return host.remove(work.environment, seen=seen)
    except HostDown:
        return 0


def quiesce(work: Work) -> None:
    """Quiet what will be torn down; pause what stays up."""
    run(work, QUIESCE if work.decision.teardown else PAUSE)


def tear_down(work: Work) -> None:
    """Delete the stack that costs money. Until the morning a rebuild by hand may have the environment."""
    run(work, TEAR_DOWN)
    if work.decision.rebuild:
        work.installation.nights.mark(work.night, work.environment, work.run_id, NightStatus.WAITING)


def _pause(work: Work, op: Op) -> Mapping[str, Any]:
    return {"schedules": stop_schedules(work, op)}


def _quiesce(work: Work, op: Op) -> Mapping[str, Any]:
    # Said before anything was switched off for it: what keeps the stack from being deleted, and what would
    # keep the morning from building it again.
    target = work.target(op)
    stacks = work.stacks(target)
    stacks.check_deletable(Kind.EPHEMERAL)
    _check_morning(work, target, stacks)
    return {"schedules": stop_schedules(work, op), "services": stop_services(work, op)}


def _check_morning(work: Work, target: Target, stacks: Stacks) -> None:
    """Ask in the evening what the morning's scorch and its stacks will be asked, as far as it can be known.

    A SQL server that does not answer may do so in the morning, so it forbids nothing yet.

    :raises Refused: by the interlock that would leave the environment torn down and not rebuilt.
    """
    stacks.check_ours(Kind.BASE)
    if not work.nonces:
        return
    plan = make_plan(
        work.installation, target, stacks, _databases(work), nonces=work.nonces, night=work.night,
        leaving={stacks.name(Kind.EPHEMERAL)},
    )  # fmt: skip
    check_scorch(plan.despite(Code.MARKER_UNREADABLE), target, stacks, nonces=work.nonces)


def _databases(work: Work) -> list[str]:
    """Those of the commit that runs there; today's is pinned in the morning."""
    commit = work.installation.environments.get(work.environment).commit
    try:
        catalog = snapshot.stored(work.installation.store, commit) if commit else None
    except NotInStore:
        catalog = None
    found = catalog.resources.values() if catalog else ()
    return [each.name for each in found if each.enabled and each.type is ResourceType.DATABASE]


def _tear_down(work: Work, op: Op) -> Mapping[str, Any]:
    environments = work.installation.environments
    stacks = work.stacks(work.target(op))
    if environments.get(work.environment).state is State.SCORCHING:
        environments.update(op, to=State.TEARING_DOWN)
    gone = stacks.delete(Kind.EPHEMERAL)
    # Whoever took over meanwhile may have built it anew: then it is not gone, and nothing is written.
    work.deployments(op).removed(work.environment, work.run_id)
    return {"existed": gone.existed, "retained": list(gone.retained)}


PAUSE = Stage("pause", Phase.TEARDOWN, expect=USABLE, works_in=None, minutes=20, body=_pause)
QUIESCE = Stage(
    "quiesce",
    Phase.TEARDOWN,
    expect=USABLE | STEP_STATES | {State.FAULTED},
    works_in=State.QUIESCING,
    ends_in=State.SCORCHING,
    minutes=20,
    body=_quiesce,
    first=True,
)
TEAR_DOWN = Stage(
    "tear_down",
    Phase.TEARDOWN,
    expect={State.SCORCHING, State.TEARING_DOWN},
    works_in=None,
    ends_in=State.ABSENT,
    minutes=90,
    body=_tear_down,
)
