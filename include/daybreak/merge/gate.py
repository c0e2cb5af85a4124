"""Whether a run may enter the lane now: its entry is next and the lane is free, or its entry is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from daybreak.environment.installation import Installation
from daybreak.environment.machine import USABLE, Environment, describe_op
from daybreak.environment.nights import NightStatus
from daybreak.merge.attempts import Attempts
from daybreak.merge.queue import Queue
from daybreak.merge.rules import IN_LANE, AttemptState, EntryState

#: A night of which nobody heard for so long holds nobody up.
_SILENT = timedelta(hours=3)


class May(StrEnum):
    """What the run does next."""

    ENTER = "enter"
    #: Landed, rejected, cancelled … without this run, or by it.
    OVER = "over"
    WAIT = "wait"


@dataclass(frozen=True)
class Look:
    """The answer, and in words why."""

    may: May
    why: str


def look(installation: Installation, queue: Queue, environment: str, run_id: str, entry_id: int) -> Look:
    """Look once; nothing is changed.

    :param entry_id: the entry that the run is for.
    """
    entry = queue.get(entry_id)
    if entry.ended_at is not None:
        return Look(May.OVER, f"{entry.name} is {entry.state}")
    attempt = Attempts(installation.engine, installation.clock).find(run_id)
    if attempt is not None and attempt.state is not AttemptState.PLANNED:
        return Look(May.ENTER, f"this run's attempt is {attempt.state}")
    if attempt is None:
        if entry.state is not EntryState.QUEUED:
            return Look(May.WAIT, f"{entry.name} is in the attempt {entry.run_id}")
        batch = queue.choose()
        if batch is None:
            return Look(May.WAIT, "nothing enters the lane now: the queue is paused")
        first = batch.members[0]
        if first.id != entry.id:
            return Look(May.WAIT, f"{first.name} is before {entry.name}")
    why = busy(installation, environment)
    return Look(May.WAIT, why) if why else Look(May.ENTER, f"{entry.name} is next, and the lane is free")


def busy(installation: Installation, environment: str) -> str:
    """Why nobody can enter the lane; empty when somebody can."""
    env, now = installation.environments.get(environment), installation.clock()
    if env.op_token is not None:
        return describe_op(env, now)
    if env.state not in USABLE:
        why = f": {env.fault_message}" if env.fault_code else ""
        return f"{env.name} is {env.state}{why}"
    attempts = Attempts(installation.engine, installation.clock)
    # Whoever had the lane and died is not passed by: what it landed is found out first.
    left = [each.run_id for each in attempts.unfinished() if each.state in IN_LANE]
    if left:
        return f"{left[0]} has the lane, and was left behind"
    if doubted := attempts.quarantined():
        return f"{env.name} is to be proven to run main first, after {doubted[0]}"
    return _night(installation, env, now)


def _night(installation: Installation, env: Environment, now: datetime) -> str:
    """The night waits for its turn too, and has it before the next attempt."""
    for row in installation.nights.environments(environment=env.name):
        if row.status is NightStatus.RUNNING and now - row.updated_at <= _SILENT:
            return f"{env.name} is rebuilt by the night {row.night} ({row.run_id})"
    return ""
