"""Creating and deploying what a BCD planned, and e2e where it was asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from daybreak.disk import needs_room
from daybreak.environment.bcd.selection import deploys
from daybreak.environment.bcd.work import Work
from daybreak.environment.machine import State
from daybreak.environment.removal import take_away
from daybreak.environment.rollout import Rollout
from daybreak.errors import DaybreakError, LostOp
from daybreak.settings import Limits

log = logging.getLogger(__name__)

#: Codes of a deploy that lost something: another try may bring it, or it cannot.
LOST, UNBUILT = "deploy_failed", "not_built"


def deploy(work: Work) -> Mapping[str, str]:
    """Bring the planned resources to run, and take away what is gone when that was asked for.

    While this goes on, and when it is killed, the environment is DEGRADED; `settle` says how it ended.

    :returns: content keys by name, of what was deployed.
    :raises LostOp: the environment changed hands; nothing more was changed.
    :raises EnvironmentLocked: somebody else has it by now.
    :raises DaybreakError: :data:`LOST` or :data:`UNBUILT` when something was not deployed; what was stays.
    """
    try:
        return _deploy(work)
    except Exception as error:
        code = error.code if isinstance(error, DaybreakError) else type(error).__name__
        if code not in (LOST, UNBUILT):
            work.records.note(work.run_id, stopped=f"{code}: {error}"[:4000])
        raise


def _deploy(work: Work) -> Mapping[str, str]:
    environments = work.installation.environments
    names = [step.name for step in work.plan.steps if deploys(step)]
    gone = work.row.detail["gone"] if work.request.remove else []
    env = environments.get(work.environment)
    if not env.leased(work.installation.clock()):
        # Its first lease ended, or another run of the same person gave it back.
        work.records.note(work.run_id, fence=work.hold())
    work.records.note(work.run_id, once=True, was={"state": env.state.value, "verdict": env.verdict})
    work.records.note(work.run_id, stopped=None)
    op = work.begin("bcd deploy", timedelta(minutes=90), to=State.DEGRADED if names or gone else None)
    work = work.keeping(op)
    done = Rollout(work, op, work.request.actions)
    try:
        with environments.beating(op), needs_room(work.installation.home):
            work.interlocks().check(work.target(op), destroys=bool(gone))
            done.in_waves(names)
            lost = {**done.lost, **take_away(work, op, gone)}
            work.records.note(work.run_id, created=list(done.deployed), urls=done.urls, lost=lost)
            if lost:
                said = "; ".join(f"{name}: {why}" for name, why in sorted(lost.items()))
                raise DaybreakError(said, code=LOST if done.worth_a_retry else UNBUILT)
    except LostOp:
        raise  # whoever has the op now ends it
    except Exception as error:
        code = error.code if isinstance(error, DaybreakError) else type(error).__name__
        environments.finish(op, message=f"bcd deploy failed: {code}")
        raise
    environments.finish(op, message=f"bcd deploy of {', '.join(names) or 'nothing'}"[:2000])
    return done.deployed


def e2e(work: Work) -> Mapping[str, Any]:
    """Run the e2e suites of the pinned commit against the environment, and remember the verdict."""
    environments = work.installation.environments
    op = work.begin("bcd e2e", Limits(work.installation.settings.build).e2e)
    try:
        with environments.beating(op):
            result = work.e2e(op, work.urls(op))
    finally:
        environments.finish(op, message="bcd e2e")
    said = {
        "verdict": str(result.verdict),
        "tests": result.tests,
        "failures": [name for name, _ in result.failures][:50],
        "flaky": list(result.flaky[:50]),
    }
    work.records.note(work.run_id, e2e=said)
    return said
