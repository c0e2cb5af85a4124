"""A step of the night: take the op, do the work, write down how it ended.

Keyed (night, environment, phase, step) in the registry. A step that this run already did is not done again; a
step that failed leaves the environment in the state it was in, and `night.morning.verdict` judges it.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from daybreak.aws.tokens import Tokens
from daybreak.disk import needs_room
from daybreak.environment.calendar import Phase
from daybreak.environment.decision import Decision
from daybreak.environment.installation import Installation
from daybreak.environment.machine import LANE_STEP, Op, OpBusy, Preserved, State
from daybreak.environment.nights import LeftAlone
from daybreak.environment.steps import Step, StepStatus
from daybreak.environment.working import Working
from daybreak.errors import DaybreakError

log = logging.getLogger(__name__)

#: How long a night waits for its turn in the lane, at most; then it leaves the environment alone.
TURN = timedelta(hours=1)
#: Seconds between two looks.
_POLL = 1.0


@dataclass(frozen=True)
class Turn:
    """How a run waits until the attempt that is in the lane is over.

    :param until: from then on it waits no longer and leaves the environment alone.
    :param wait: returns when it is time to look again. This one sleeps; Airflow's task is put off instead.
    """

    until: datetime
    wait: Callable[[], object] = lambda: time.sleep(_POLL)


@dataclass(frozen=True)
class Work(Working):
    """What one run does to one environment.

    :param run_id: the run; also the holder of its ops, so that a retry takes over from the try before.
    :param actor: who is named in the event log.
    :param last_try: no retry follows: what can be had without the rest is better than nothing.
    :param tokens: those of the step at work.
    """

    installation: Installation
    run_id: str
    night: date
    decision: Decision
    actor: str = "nightly"
    last_try: bool = True
    tokens: Tokens = field(default_factory=Tokens)

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.decision.environment


@dataclass(frozen=True)
class Stage:
    """One step of every environment's night.

    :param expect: the states in which it may begin. Its end is one transaction, the change of state and the
        step's record, so no try finds the one without the other.
    :param works_in: the state while it works; ``None`` leaves it.
    :param first: the first change of the night: whoever preserved the environment, or is at work on it,
        meanwhile still wins.
    """

    name: str
    phase: Phase
    expect: Collection[State]
    works_in: State | None
    minutes: int
    body: Callable[[Work, Op], Mapping[str, Any]]
    ends_in: State | None = None
    first: bool = False


def run(work: Work, stage: Stage, turn: Turn | None = None) -> Mapping[str, Any]:
    """Do one stage for one environment, or find that this run did it before.

    :param turn: how the first change of the night waits for its turn in the lane; by default asleep.
    :raises LeftAlone: when somebody preserved the environment, or another run has it by now.
    :raises DaybreakError: what made it fail, also kept in the step's row.
    """
    installation = work.installation
    nights, environments = installation.nights, installation.environments
    if nights.is_done(work.night, work.environment, stage.phase, stage.name, work.run_id):
        log.info("%s: %s was done by this run before", work.environment, stage.name)
        return {"again": True}
    nights.take(work.night, work.environment, work.run_id)
    op, row = _begin(work, stage, turn or Turn(installation.clock() + TURN))
    work = replace(work, tokens=Tokens(row.tokens, functools.partial(nights.keep_tokens, row)))
    log.info("%s: %s begins (try %d)", work.environment, stage.name, row.tries)
    try:
        with environments.beating(op), needs_room(installation.home):
            # In every step: whose credentials these were an hour ago proves nothing.
            work.interlocks().check(work.target(op), destroys=False)
            detail = stage.body(work, op)
    except Exception as error:
        code = error.code if isinstance(error, DaybreakError) else type(error).__name__
        said = {"code": code, "message": str(error)[:4000]}
        environments.finish(
            op,
            message=f"{stage.name} failed: {code}",
            also=[lambda tx, *_: nights.step_finished(row, StepStatus.FAILED, detail=said, connection=tx)],
        )
        raise
    environments.finish(
        op,
        stage.ends_in,
        also=[lambda tx, *_: nights.step_finished(row, StepStatus.DONE, detail=detail, connection=tx)],
    )
    seconds = (installation.clock() - row.started_at).total_seconds()
    log.info("%s: %s done in %.1f s %s", work.environment, stage.name, seconds, dict(detail))
    return detail


def _begin(work: Work, stage: Stage, turn: Turn) -> tuple[Op, Step]:
    """Take the op; of the first change of the night, when it is its turn.

    An attempt to land something is not disturbed: the night enters the lane when it is over. The run has the
    environment meanwhile, so no other attempt enters before it.
    """
    installation = work.installation
    said: str | None = None
    while True:
        try:
            return _take(work, stage)
        except (Preserved, OpBusy) as taken:
            if not stage.first:
                raise
            # As `begin` met it: a look of our own might come after the end of what was in the way.
            lands = isinstance(taken, OpBusy) and taken.step == LANE_STEP
            if not lands or installation.clock() >= turn.until:
                installation.nights.leave(work.night, work.environment, work.run_id, str(taken))
                raise LeftAlone(str(taken)) from None
            holder = in_lane(installation, work.environment)
        if holder and holder != said:
            said = holder
            log.info("%s: waiting until %s is over", work.environment, holder)
        turn.wait()


def _take(work: Work, stage: Stage) -> tuple[Op, Step]:
    """Take the op and write that the try began, both or neither."""
    installation = work.installation
    began: list[Step] = []

    def also(tx: Connection, op: Op) -> None:
        key = (work.night, work.environment, stage.phase, stage.name, work.run_id)
        began.append(installation.nights.step_started(*key, token=op.token, connection=tx))

    op = installation.environments.begin(
        work.environment,
        step=stage.name,
        holder=work.run_id,
        actor=work.actor,
        expect=stage.expect,
        to=stage.works_in,
        deadline=timedelta(minutes=stage.minutes),
        takeover=True,
        night=work.night if stage.first else None,
        also=also,
    )
    return op, began[-1]


def in_lane(installation: Installation, environment: str) -> str:
    """Which attempt to land something is at work there; empty when none is, or it counts as dead."""
    env = installation.environments.get(environment)
    lands = env.op_step == LANE_STEP and env.op_alive(installation.clock())
    return str(env.op_holder) if lands else ""
