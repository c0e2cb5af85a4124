"""A night without Airflow: the same steps, in this process. For the CLI, and for tests of whole stories."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from daybreak.build.artifact import Artifacts
from daybreak.build.runner import Progress, build_all
from daybreak.catalog.snapshot import stored
from daybreak.environment.installation import Installation
from daybreak.environment.night import evening, morning
from daybreak.environment.night.prepare import Request, decide_night, pin
from daybreak.environment.night.report import Summary, summarise
from daybreak.environment.night.work import Stage, Work, run

log = logging.getLogger(__name__)

Say = Callable[[str], None]


def run_night(
    installation: Installation, run_id: str, request: Request, *, actor: str, say: Say = print
) -> Summary:
    """Decide, tear down, build, rebuild and judge; environments side by side.

    A repeated call with the same ``run_id`` goes on where the last one ended.

    :param say: one line for people, for each step.
    """
    night, decisions = decide_night(installation, run_id, request)
    works = [Work(installation, run_id, night, decision, actor) for decision in decisions]
    for decision in decisions:
        say(f"{decision.environment}: {decision.action.value}, {decision.reason}")
    if request.dry_run:
        return Summary("dry run: nothing was touched", (), ())
    with ThreadPoolExecutor(max(1, len(works))) as pool:
        gone = [work for work in works if work.decision.teardown]
        list(pool.map(lambda work: _stages(work, (evening.QUIESCE, evening.TEAR_DOWN), say), gone))
        wanted = [work for work in works if work.decision.rebuild]
        if wanted:
            _build(installation, run_id, request, say)
        list(pool.map(lambda work: _stages(work, _stages_of(work), say), wanted))
        touched = [work for work in works if work.decision.teardown or work.decision.rebuild]
        list(pool.map(lambda work: _verdict(work, say), touched))
    summary = summarise(installation, run_id)
    installation.runs.finish(run_id)
    return summary


def _build(installation: Installation, run_id: str, request: Request, say: Say) -> None:
    plan = pin(installation, run_id, request.ref)
    keys = {step.name: step.key for step in plan.steps}

    def shown(progress: Progress) -> None:
        took = f"{progress.outcome.value} in {progress.seconds:.1f} s"
        say(f"{progress.resource}: {took} {progress.detail}".rstrip())

    for progress in build_all(
        installation.mirror(), stored(installation.store, plan.commit), list(keys), keys,
        Artifacts(installation.store), installation.home, installation.settings.build, log.info,
    ):  # fmt: skip
        shown(progress)


def _stages_of(work: Work) -> list[Stage]:
    return [morning.stage_for(work, stage) for stage in morning.STAGES]


def _verdict(work: Work, say: Say) -> None:
    try:
        said = morning.verdict(work)
    except Exception as error:
        # It is in the registry; the others go on.
        say(f"{work.environment}: {error}")
    else:
        say(f"{work.environment}: {said['verdict']}, {said['tests']} e2e tests")


def _stages(work: Work, stages: Sequence[Stage], say: Say) -> bool:
    attempts = work.installation.settings.night.step_attempts
    for stage in stages:
        for attempt in range(1, attempts + 1):
            try:
                run(work, stage)
            except Exception as error:
                say(f"{work.environment}: {stage.name} failed, try {attempt} of {attempts}: {error}")
                if attempt == attempts:
                    return False
            else:
                say(f"{work.environment}: {stage.name}")
                break
    return True
