"""A night without Airflow: the same steps, in this process. For the CLI, and for tests of whole stories."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from daybreak.build.artifact import Artifacts
from daybreak.build.runner import Progress, build_all
from daybreak.catalog.snapshot import stored
from daybreak.environment.installation import Installation
from daybreak.environment.night import evening, morning
from daybreak.environment.night.prepare import Request, check_main, decide_night, pin
from daybreak.environment.night.report import Summary, summarise
from daybreak.environment.night.verdict import verdict
from daybreak.environment.night.work import Work, run
from daybreak.environment.nights import LeftAlone
from daybreak.errors import DaybreakError, LostOp

log = logging.getLogger(__name__)

Say = Callable[[str], None]


def run_night(
    installation: Installation, run_id: str, request: Request, *, actor: str, say: Say = print
) -> Summary:
    """Decide, tear down, build, rebuild and judge; environments side by side.

    A repeated call with the same ``run_id`` goes on where the last one ended.

    :param say: one line for people, for each step.
    :raises LostOp: when another process goes on with this very run. Then this one is an orphan (its terminal
        or its machine was given up, and somebody ran it again), and judges and finishes nothing any more.
    """
    check_main(installation, request)
    night, decisions = decide_night(installation, run_id, request)
    works = [Work(installation, run_id, night, decision, actor) for decision in decisions]
    for decision in decisions:
        say(f"{decision.environment}: {decision.action.value}, {decision.reason}")
    if request.dry_run:
        return Summary("dry run: nothing was touched", (), ())
    touched = [work for work in works if work.decision.touches]
    with ThreadPoolExecutor(max(1, len(works))) as pool:
        list(pool.map(lambda work: _evening(work, say), touched))
        wanted = [work for work in works if work.decision.rebuild]
        if wanted and _built(installation, run_id, request, say):
            list(pool.map(lambda work: _morning(work, say), wanted))
        list(pool.map(lambda work: _verdict(work, say), touched))
    summary = summarise(installation, run_id)
    installation.runs.finish(run_id)
    return summary


def _built(installation: Installation, run_id: str, request: Request, say: Say) -> bool:
    """Pin main and build it; whether there is anything to go on with."""
    try:
        plan = pin(installation, request, run_id)
    except DaybreakError as error:
        say(f"nothing can be built: {error}")
        return False
    keys = {step.name: step.key for step in plan.steps}

    def shown(progress: Progress) -> None:
        took = f"{progress.outcome.value} in {progress.seconds:.1f} s"
        say(f"{progress.resource}: {took} {progress.detail}".rstrip())

    for progress in build_all(
        installation.mirror(), stored(installation.store, plan.commit), list(keys), keys,
        Artifacts(installation.store), installation.home, installation.settings.build, log.info,
    ):  # fmt: skip
        shown(progress)
    return True


def _evening(work: Work, say: Say) -> None:
    if not (work.decision.teardown or work.decision.pauses):
        return
    done = _tried(work, "quiesce" if work.decision.teardown else "pause", evening.quiesce, say)
    if done and work.decision.teardown:
        _tried(work, "tear_down", evening.tear_down, say)


def _morning(work: Work, say: Say) -> None:
    for stage in morning.STAGES:
        chosen = morning.stage_for(work, stage)
        if not _tried(work, stage.name, functools.partial(run, stage=chosen), say):
            return


def _verdict(work: Work, say: Say) -> None:
    try:
        said = verdict(work)
    except Exception as error:
        if _is_orphan(work, error):
            raise
        # It is in the registry; the others go on.
        say(f"{work.environment}: {error}")
    else:
        say(f"{work.environment}: {said['verdict']} {said.get('message', '')}".rstrip())


def _tried(work: Work, name: str, step: Callable[[Work], object], say: Say) -> bool:
    """Whether the step was done within its attempts."""
    policy = work.installation.settings.night
    attempts = policy.step_attempts
    for attempt in range(1, attempts + 1):
        try:
            step(replace(work, last_try=attempt == attempts))
        except LeftAlone as left:
            say(f"{work.environment}: left alone: {left}")
            return False
        except Exception as error:
            if _is_orphan(work, error):
                raise
            say(f"{work.environment}: {name} failed, try {attempt} of {attempts}: {error}")
            if attempt < attempts:
                time.sleep(policy.retry_seconds * 2 ** (attempt - 1))
        else:
            say(f"{work.environment}: {name}")
            return True
    return False


def _is_orphan(work: Work, error: Exception) -> bool:
    """Whether a step was lost to another process of this run, not to another run nor to its deadline."""
    if not isinstance(error, LostOp) or error.code != LostOp.code:
        return False
    return work.installation.environments.get(work.environment).fence_holder == work.run_id
