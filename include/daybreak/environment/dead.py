"""Ops whose holder is dead: nobody came to take them over, so somebody has to say that it is over.

A killed task is tried again, and its next try takes the op over; that comes after Airflow's
``task_instance_heartbeat_timeout`` (five minutes unless it is set) and the retry's own wait. What nobody took
over long after that would keep the environment busy in everybody's eyes until the next evening.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from daybreak.environment.installation import Installation
from daybreak.environment.machine import (
    LANE_STEP,
    STEP_STATES,
    USABLE,
    Environment,
    OpBusy,
    StaleState,
    describe_op,
)
from daybreak.environment.nights import NightBusy, NightStatus
from daybreak.errors import LostOp

#: Silence after which nobody is expected to come back.
GIVEN_UP = timedelta(minutes=15)
#: Time that the row's own writes need.
_MOMENT = timedelta(minutes=1)


@dataclass(frozen=True)
class Dead:
    """An op that was ended.

    :param end: ``faulted`` when it died in the middle of a change; ``freed`` when the environment was, and
        is, of use.
    """

    environment: str
    holder: str
    step: str
    end: Literal["faulted", "freed"]


def settle(installation: Installation) -> list[Dead]:
    """End the ops of the dead. Whoever takes one over meanwhile keeps it."""
    now = installation.clock()
    found = []
    for env in installation.environments.all():
        if env.op_token is None or env.op_alive(now) or not _given_up(env, now):
            continue
        if env.op_step == LANE_STEP:
            continue  # `lane_care` ends it: it finds out what was landed
        try:
            end = _settle(installation, env, now)
        except (OpBusy, StaleState, LostOp):
            continue  # somebody came back after all
        found.append(Dead(env.name, str(env.op_holder), str(env.op_step), end))
    return found


def _given_up(env: Environment, now: datetime) -> bool:
    heard = env.op_heartbeat_at or env.op_since
    return heard is None or now - heard > GIVEN_UP


def _settle(installation: Installation, env: Environment, now: datetime) -> Literal["faulted", "freed"]:
    environments = installation.environments
    if env.state in STEP_STATES:
        said = f"nobody went on with it: {describe_op(env, now)}"
        environments.fault(env, "dead_op", said, actor="daybreak")
        _close_night(installation, env, said)
        return "faulted"
    op = environments.begin(
        env.name, step="free", holder="caretaker", actor="daybreak", expect={*USABLE, env.state},
        deadline=_MOMENT, takeover=True,
    )  # fmt: skip
    environments.finish(op, message=f"of {env.op_holder}, which is dead")
    return "freed"


def _close_night(installation: Installation, env: Environment, said: str) -> None:
    """The night's run that had it will write nothing any more: others of the same night may have it."""
    holder = str(env.op_holder)
    for row in installation.nights.environments(run_id=holder, environment=env.name):
        try:
            detail = {"code": "dead_op", "message": said}
            installation.nights.mark(row.night, env.name, holder, NightStatus.FAULTED, detail)
        except NightBusy:
            pass  # another run has it by now
