"""A step of the night: take the op, do the work, write down how it ended.

Keyed (night, environment, phase, step) in the registry. A step that this run already did is not done again; a
step that failed leaves the environment in the state it was in, and `night.morning.verdict` judges it.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from daybreak.catalog.graph import Catalog
from daybreak.catalog.snapshot import stored
from daybreak.change.plan import Plan
from daybreak.deploy.driver import Target
from daybreak.environment.calendar import Phase
from daybreak.environment.decision import Decision
from daybreak.environment.installation import Installation
from daybreak.environment.interlocks import Interlocks
from daybreak.environment.machine import Op, OpBusy, Preserved, State
from daybreak.environment.nights import LeftAlone, StepStatus
from daybreak.errors import DaybreakError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What one run does to one environment.

    :param run_id: the run; also the holder of its ops, so that a retry takes over from the try before.
    :param actor: who is named in the event log.
    :param last_try: no retry follows: what can be had without the rest is better than nothing.
    """

    installation: Installation
    run_id: str
    night: date
    decision: Decision
    actor: str = "nightly"
    last_try: bool = True

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.decision.environment

    @functools.cached_property
    def plan(self) -> Plan:
        """The plan that this run pinned."""
        return Plan.from_json(self.installation.runs.get(self.run_id).plan)

    @functools.cached_property
    def catalog(self) -> Catalog:
        """The catalog of the commit that this run pinned."""
        return stored(self.installation.store, self.plan.commit)

    @property
    def nonces(self) -> list[str]:
        """The nonces that may stand on what is there: the present one and, mid-rotation, the one before."""
        row = self.installation.environments.get(self.environment)
        return [nonce for nonce in (row.nonce, row.nonce_previous) if nonce]

    def interlocks(self) -> Interlocks:
        """What is asked before each mutation of the account."""
        switches = self.installation.switches
        row = self.installation.environments.get(self.environment)
        return Interlocks(
            allowed=set(self.installation.settings.aws.accounts),
            armed=switches.is_armed,
            frozen=switches.is_frozen,
            recorded_account=row.account,
        )

    def target(self, op: Op, **more: Any) -> Target:
        """The environment as drivers reach it, while ``op`` is at work."""
        settings = self.installation.settings
        environment = settings.environment(self.environment)
        row = self.installation.environments.get(self.environment)
        return Target(
            environment=environment,
            nonce=row.nonce or "",
            session=self.installation.session_for(environment),
            endpoint_url=settings.aws.endpoint_url,
            stack=more.pop("stack", {}),
            home=self.installation.home,
            guard=functools.partial(self.installation.environments.check, op),
            log=functools.partial(log.info, "%s: %s", self.environment),
            **more,
        )


@dataclass(frozen=True)
class Stage:
    """One step of every environment's night.

    :param expect: the states in which it may begin, beside the one that it ends in: a kill between the change
        of state and the step's record makes the next try do it once more, where it finds everything done.
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


def run(work: Work, stage: Stage) -> Mapping[str, Any]:
    """Do one stage for one environment, or find that this run did it before.

    :raises LeftAlone: when somebody preserved the environment, or another run has it by now.
    :raises DaybreakError: what made it fail, also kept in the step's row.
    """
    installation = work.installation
    nights, environments = installation.nights, installation.environments
    if nights.is_done(work.night, work.environment, stage.phase, stage.name, work.run_id):
        log.info("%s: %s was done by this run before", work.environment, stage.name)
        return {"again": True}
    nights.take(work.night, work.environment, work.run_id)
    op = _begin(work, stage)
    row = nights.step_started(
        work.night, work.environment, stage.phase, stage.name, work.run_id, token=op.token
    )
    log.info("%s: %s begins (try %d)", work.environment, stage.name, row.tries)
    try:
        with environments.beating(op):
            # In every step: whose credentials these were an hour ago proves nothing.
            work.interlocks().check(work.target(op), destroys=False)
            detail = stage.body(work, op)
    except Exception as error:
        code = error.code if isinstance(error, DaybreakError) else type(error).__name__
        nights.step_finished(row, StepStatus.FAILED, detail={"code": code, "message": str(error)[:4000]})
        environments.finish(op, message=f"{stage.name} failed: {code}")
        raise
    environments.finish(op, stage.ends_in)
    done = nights.step_finished(row, StepStatus.DONE, detail=detail)
    log.info("%s: %s done in %.1f s %s", work.environment, stage.name, done.seconds or 0, dict(detail))
    return detail


def _begin(work: Work, stage: Stage) -> Op:
    installation = work.installation
    try:
        return installation.environments.begin(
            work.environment,
            step=stage.name,
            holder=work.run_id,
            actor=work.actor,
            expect={*stage.expect, *({stage.ends_in} if stage.ends_in else ())},
            to=stage.works_in,
            deadline=timedelta(minutes=stage.minutes),
            takeover=True,
            night=work.night if stage.first else None,
        )
    except (Preserved, OpBusy) as taken:
        if not stage.first:
            raise
        installation.nights.leave(work.night, work.environment, work.run_id, str(taken))
        raise LeftAlone(str(taken)) from None
