"""The evening: quiet an environment, then delete the stack that costs money."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daybreak.deploy.host import HostClient, HostDown
from daybreak.environment import schedules
from daybreak.environment.calendar import Phase
from daybreak.environment.machine import STEP_STATES, USABLE, Op, State
from daybreak.environment.night.work import Stage, Work
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


def _quiesce(work: Work, op: Op) -> Mapping[str, Any]:
    return {"schedules": stop_schedules(work, op), "services": stop_services(work, op)}


def _tear_down(work: Work, op: Op) -> Mapping[str, Any]:
    environments = work.installation.environments
    target = work.target(op)
    stacks = Stacks(target, work.interlocks(), nonces=work.nonces)
    if environments.get(work.environment).state is State.SCORCHING:
        environments.update(op, to=State.TEARING_DOWN)
    gone = stacks.delete(Kind.EPHEMERAL)
    work.installation.deployments.removed(work.environment, work.run_id)
    return {"existed": gone.existed, "retained": list(gone.retained)}


QUIESCE = Stage(
    "quiesce",
    Phase.TEARDOWN,
    expect=USABLE | STEP_STATES | {State.FAULTED},
    works_in=State.QUIESCING,
    ends_in=State.SCORCHING,
    minutes=20,
    body=_quiesce,
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
