"""The evening: quiet an environment, then delete the stack that costs money; of one that stays up, only the
schedules are switched off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daybreak.deploy.host import HostClient, HostDown
from daybreak.environment import schedules
from daybreak.environment.calendar import Phase
from daybreak.environment.machine import STEP_STATES, USABLE, Op, State
from daybreak.environment.night.work import Stage, Work, run
from daybreak.environment.nights import NightStatus
from daybreak.environment.records import ScheduleMemos
from daybreak.environment.stack import Kind, Stacks


def stop_schedules(work: Work, op: Op) -> int:
    """Memorise and disable the schedules; returns how many were on."""
    target = work.target(op)
    stacks = Stacks(target, work.interlocks(), nonces=work.nonces)
    memos = ScheduleMemos(work.installation.engine, work.environment, work.installation.clock)
    return len(schedules.disable(target, stacks, memos).changed)


def stop_services(work: Work, op: Op) -> int:
    """End the environment's services on this machine's host; without a host there are none."""
    work.installation.environments.check(op)
    try:
        return HostClient(work.installation.home).remove(work.environment)
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
    return {"schedules": stop_schedules(work, op), "services": stop_services(work, op)}


def _tear_down(work: Work, op: Op) -> Mapping[str, Any]:
    environments = work.installation.environments
    target = work.target(op)
    stacks = Stacks(target, work.interlocks(), nonces=work.nonces)
    if environments.get(work.environment).state is State.SCORCHING:
        environments.update(op, to=State.TEARING_DOWN)
    gone = stacks.delete(Kind.EPHEMERAL)
    # Whoever took over meanwhile may have built it anew: then it is not gone.
    environments.check(op)
    work.installation.deployments.removed(work.environment, work.run_id)
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
