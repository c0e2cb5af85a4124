"""How a night ended for one environment: READY, DEGRADED, torn down, kept, or FAULTED, and why."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from daybreak.build.artifact import Artifacts
from daybreak.build.checks import passed
from daybreak.catalog.resource import Action
from daybreak.deploy.host import Health, HostDown
from daybreak.environment import failures
from daybreak.environment.machine import Environment, State
from daybreak.environment.night.morning import RESUME
from daybreak.environment.night.work import Work, run
from daybreak.environment.nights import LeftAlone, NightStatus
from daybreak.environment.steps import Step, StepStatus
from daybreak.errors import DaybreakError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why an environment is not as its decision says.

    :param faults: it stands still in the middle; otherwise nothing was begun and its state is still true.
    """

    code: str
    message: str
    faults: bool = True


def verdict(work: Work) -> Mapping[str, Any]:
    """Write how the environment ended, from the steps that this run wrote.

    ``degraded`` is set when it is usable but not READY, with the reasons in ``message``.

    :raises DaybreakError: when it did not end as decided, so that the run's colour tells the truth.
    """
    nights = work.installation.nights
    try:
        nights.take(work.night, work.environment, work.run_id)
    except LeftAlone as left:
        log.info("%s: left alone: %s", work.environment, left)
        return {"verdict": "left alone", "reason": str(left)}
    if work.decision.pauses:
        return _stayed_up(work)
    steps = nights.steps(work.run_id, environment=work.environment)
    present = work.installation.environments.get(work.environment)
    failure = _failure(work, steps, present)
    if failure is not None:
        raise _failed(work, present, failure)
    if not work.decision.rebuild:
        return _done(work, {"verdict": "torn down", "torn_down": True})
    return _judged(work, steps, present)


def _failure(work: Work, steps: list[Step], present: Environment) -> Failure | None:
    failed = next((step for step in steps if step.status is not StepStatus.DONE), None)
    if failed is not None:
        message = f"{failed.step}: {failed.detail.get('message', failed.status)}"
        return Failure(str(failed.detail.get("code", "failed")), message)
    if not work.decision.rebuild:
        if present.state is not State.ABSENT:
            return Failure("incomplete", f"the run ended in {present.state} before it was torn down")
        return None
    if any(step.step == "e2e" for step in steps):
        return None
    stopped = work.installation.nights.get(work.run_id).stopped
    begun = any(step.step == "scorch" for step in steps)
    if stopped is not None and not begun:
        return Failure(*stopped, faults=False)
    return Failure("incomplete", f"the run ended in {present.state} before e2e")


def _failed(work: Work, present: Environment, failure: Failure) -> DaybreakError:
    installation = work.installation
    detail = {"code": failure.code, "message": failure.message}

    def mark(tx: Connection | None = None, *_: Environment) -> None:
        installation.nights.mark(
            work.night, work.environment, work.run_id, NightStatus.FAULTED, detail, connection=tx
        )

    if failure.faults and present.state is not State.FAULTED:
        installation.environments.fault(present, failure.code, failure.message, actor=work.actor, also=[mark])
    else:
        mark()
    ended = "is FAULTED" if failure.faults else f"is {present.state}"
    return DaybreakError(f"{work.environment} {ended}: {failure.message}", code=failure.code)


def _judged(work: Work, steps: list[Step], present: Environment) -> Mapping[str, Any]:
    environments = work.installation.environments
    done = {step.step: step.detail for step in steps}
    said = str(done["e2e"]["verdict"])
    wrong = _wrong(work, done)
    detail: dict[str, Any] = {"verdict": said, "tests": done["e2e"].get("tests", 0)}
    if wrong:
        detail["degraded"] = True
    # Somebody meant it to stay, so it degrades nothing; but nobody shall take old data for fresh.
    told = [f"not scorched: {each}" for each in done.get("scorch", {}).get("spared", [])]
    if flaky := done["e2e"].get("flaky"):
        told.append(failures.flaky(flaky))
    if wrong or told:
        detail["message"] = "; ".join([*wrong, *told])
    if present.state is not State.VERIFYING:
        return _done(work, detail)
    op = environments.begin(
        work.environment, step="verdict", holder=work.run_id, actor=work.actor,
        expect={State.VERIFYING}, deadline=timedelta(minutes=5), takeover=True,
    )  # fmt: skip
    environments.finish(
        op,
        State.DEGRADED if wrong else State.READY,
        commit=work.plan.commit,
        verdict=said,
        also=[lambda tx, *_: _done(work, detail, tx)],
    )
    return detail


def _wrong(work: Work, done: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What keeps a usable environment from being READY."""
    wrong = [f"{name} was not deployed: {why}" for name, why in sorted(_lost(done).items())]
    installation = work.installation
    keys = {step.name: step.key for step in work.plan.steps if Action.TEST in step.actions}
    if keys:
        artifacts = Artifacts(installation.store)
        every = {step.name: step.key for step in work.plan.steps}
        green = passed(installation.mirror(), work.catalog, every, artifacts)
        built = {name for name, key in keys.items() if artifacts.exists(name, key)}
        # What was not built is said by those who need it.
        red = sorted(built - green)
        wrong += [f"unit tests are not green: {', '.join(red)}"] if red else []
    e2e = done["e2e"]
    if e2e["verdict"] == "not_run":
        wrong.append("no e2e test ran")
    elif e2e["verdict"] != "passed":
        failed = failures.named([name for name, _ in e2e.get("failures", [])])
        wrong.append(f"e2e failed: {failed or 'see its log'}")
    return wrong


def _lost(done: Mapping[str, Mapping[str, Any]]) -> Mapping[str, str]:
    lost: Mapping[str, str] = done.get("deploy", {}).get("lost", {})
    return lost


def _stayed_up(work: Work) -> Mapping[str, Any]:
    """Its schedules are on again; otherwise it is only looked at."""
    try:
        run(work, RESUME)
    except Exception as error:
        present = work.installation.environments.get(work.environment)
        code = error.code if isinstance(error, DaybreakError) else type(error).__name__
        failure = Failure(code, f"its schedules are still off: {error}", faults=False)
        raise _failed(work, present, failure) from error
    return _done(work, {"verdict": work.decision.action.value, **_health(work)})


def _health(work: Work) -> dict[str, Any]:
    try:
        services = work.installation.host.list(work.environment)
    except HostDown:
        return {}
    ill = [service.service for service in services if service.health is not Health.HEALTHY]
    return {"services": len(services), "unhealthy": ill}


def _done(work: Work, detail: Mapping[str, Any], tx: Connection | None = None) -> Mapping[str, Any]:
    work.installation.nights.mark(
        work.night, work.environment, work.run_id, NightStatus.DONE, detail, connection=tx
    )
    return detail
