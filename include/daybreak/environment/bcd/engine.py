"""A BCD without Airflow: the same steps, in this process. For the CLI, and for tests of whole stories."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from daybreak.build.artifact import Artifacts
from daybreak.build.runner import build_all
from daybreak.catalog.resource import Action
from daybreak.environment.bcd.deploy import LOST, deploy, e2e
from daybreak.environment.bcd.prepare import prepare
from daybreak.environment.bcd.report import Report
from daybreak.environment.bcd.request import Request
from daybreak.environment.bcd.settle import abandoned, settle
from daybreak.environment.bcd.work import Work
from daybreak.environment.failures import flaky
from daybreak.environment.installation import Installation
from daybreak.errors import DaybreakError

log = logging.getLogger(__name__)

#: Somebody waits: as many tries as `dags/bcd.py` has.
_ATTEMPTS = 2

Say = Callable[[str], None]


def run_bcd(
    installation: Installation, run_id: str, request: Request, *, actor: str, say: Say = print
) -> Report:
    """Prepare, build, deploy, e2e where asked, settle. A repeated call goes on where the last one ended.

    :param say: one line for people, for each step.
    :raises DaybreakError: as :func:`prepare` does; what fails later is in the report.
    """
    for line in prepare(installation, run_id, request, actor).lines:
        say(line)
    work = Work(installation, run_id, request, actor)
    try:
        build(work, say)
        if request.changes and _deployed(work, say) and request.e2e:
            said = e2e(work)
            more = f"; {flaky(said['flaky'])}" if said["flaky"] else ""
            say(f"e2e {said['verdict']}, {said['tests']} tests{more}")
    except KeyboardInterrupt:
        abandoned(installation, run_id, "interrupted")
        raise
    except DaybreakError as error:
        say(str(error))
    return settle(installation, run_id)


def build(work: Work, say: Say) -> None:
    """Build and test what is planned; failures are written down, and cost what needs them."""
    installation, plan = work.installation, work.plan
    names = [step.name for step in plan.steps if Action.BUILD in step.actions]
    keys = {step.name: step.key for step in plan.steps}
    for progress in build_all(
        installation.mirror(), work.catalog, names, keys, Artifacts(installation.store), installation.home,
        installation.settings.build, log.info, tests=Action.TEST in work.request.actions,
    ):  # fmt: skip
        say(f"{progress.resource}: {progress.outcome.value} in {progress.seconds:.1f} s {progress.detail}")
        installation.builds.record(
            progress.resource, progress.key, commit=plan.commit, status=progress.outcome.value,
            seconds=progress.seconds, run_id=work.run_id, detail={"message": progress.detail[:4000]},
        )  # fmt: skip


def _deployed(work: Work, say: Say) -> bool:
    """Whether all was deployed within its attempts."""
    for attempt in range(1, _ATTEMPTS + 1):
        last = attempt == _ATTEMPTS
        try:
            for name, key in deploy(work).items():
                say(f"{name}: {key[:12]} deployed")
        except DaybreakError as error:
            say(f"deploy failed, try {attempt} of {_ATTEMPTS}: {error}")
            if error.code != LOST or last:
                return False
            time.sleep(work.installation.settings.night.retry_seconds)
        else:
            return True
    return False
