"""The tests of a candidate on the merge environment: unit tests of what it affects, then the e2e suites."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from daybreak.aws.retry import AWS_ERRORS
from daybreak.build.artifact import Artifacts
from daybreak.build.images.tags import ImageFailed
from daybreak.build.runner import BROKEN, Outcome, Progress, build_all
from daybreak.build.venv import VenvFailed
from daybreak.environment import e2e, suites
from daybreak.environment.failures import plain
from daybreak.environment.machine import Op
from daybreak.environment.rollout import deployable
from daybreak.errors import UsageError
from daybreak.merge.attempts import Attempts
from daybreak.merge.effects import Tested, Verdict
from daybreak.merge.findings import Findings
from daybreak.merge.impact import Impact, impact
from daybreak.merge.rules import ON_MAIN
from daybreak.merge.work import Work

log = logging.getLogger(__name__)

#: What unit tests of a change can be broken by: beside its code what it wants to have installed.
_ITS_OWN = BROKEN | {VenvFailed.code, ImageFailed.code}
#: How many failed tests a reason names.
_NAMED = 5
#: Beside those, what a verdict without a test is called.
NO_TEST = "no e2e test ran, so nothing says that it works"


@dataclass
class _Result:
    failures: list[tuple[str, str]] = field(default_factory=list)
    #: Why nobody knows: time was over, or something failed that nobody changed.
    unknown: str = ""
    flaky: list[str] = field(default_factory=list)
    suites: str = "none: nothing that runs is affected"
    tests: int = 0

    @property
    def verdict(self) -> Verdict:
        if self.unknown:
            return Verdict.TIMED_OUT
        return Verdict.FAILED if self.failures else Verdict.PASSED


def test(work: Work, base: str, op: Op) -> Tested:
    """Test the commit of ``work``, which was made on ``base`` and runs now.

    Failed tests are tried once more; those that pass then are flaky, and said to be. Whatever time or a
    killed process leaves open is ``TIMED_OUT``: nobody is to blame.

    :raises LostOp: when somebody else has the environment by now, or nobody wants it any more.
    :raises CommandFailed: ``stopped``, in the latter case.
    """
    began = time.monotonic()
    settings = work.installation.settings
    found = impact(work.repository, base, work.catalog, settings.monorepo.catalog)
    result = _Result()
    if not found.nothing:
        _unit_tests(work, found, result)
        work.check(op)
        # What is red already need not have the environment to itself any longer.
        if result.verdict is not Verdict.PASSED:
            result.suites = "none: unit tests failed before"
        elif found.deployed or found.whole:
            _e2e(work, base, found, op, result)
    work.check(op)
    _findings(work, found, result, time.monotonic() - began).keep(work.installation.store)
    return Tested(result.verdict, _said(result))


def _unit_tests(work: Work, found: Impact, result: _Result) -> None:
    wanted = sorted(name for name in found.tested if work.catalog[name].has_tests)
    first = _run_unit_tests(work, wanted)
    again = _run_unit_tests(work, sorted(first)) if first else {}
    result.flaky += [f"unit tests of {name}" for name in sorted(first.keys() - again.keys())]
    for name, ended in sorted(again.items()):
        if ended.outcome is Outcome.SKIPPED:
            continue  # what it was skipped for is here, too
        why = plain(ended.detail.splitlines()[0])
        if name not in found.because:
            result.unknown = result.unknown or f"{name}, which nobody changed: {why}"
        elif ended.code in _ITS_OWN:
            result.failures.append((f"unit tests of {name}", why))
        else:
            result.unknown = result.unknown or f"unit tests of {name}: {why}"


def _run_unit_tests(work: Work, names: list[str]) -> dict[str, Progress]:
    """Which failed, or were not begun since another one did."""
    installation = work.installation
    failed: dict[str, Progress] = {}
    for progress in build_all(
        work.repository, work.catalog, names, work.keys, Artifacts(installation.store), installation.home,
        installation.settings.build, log.info,
    ):  # fmt: skip
        if progress.outcome in (Outcome.FAILED, Outcome.SKIPPED):
            failed[progress.resource] = progress
    return failed


def _e2e(work: Work, base: str, found: Impact, op: Op, result: _Result) -> None:
    folder = work.installation.settings.monorepo.e2e
    chosen = suites.Chosen(frozenset(), f"all suites: {found.whole}")
    if found.whole is None:
        before, after = (suites.declared(work.repository, each, folder) for each in (base, work.commit))
        chosen = suites.choose(before, after, found.because, found.deployed)
    result.suites = chosen.why
    try:
        ended = work.e2e(op, work.urls(op), without=chosen.without)
    except AWS_ERRORS as away:
        result.unknown = f"e2e: {away}"[:500]
        return
    except (UsageError, VenvFailed) as error:
        changed = work.repository.ls_tree(base, [folder]) != work.repository.ls_tree(work.commit, [folder])
        if changed:
            result.failures.append(("e2e", plain(str(error))))
        else:
            result.unknown = f"e2e: {plain(str(error))}"
        return
    result.tests = ended.tests
    result.flaky += list(ended.flaky)
    if ended.cut_off:
        last = next((why for name, why in reversed(ended.failures) if name == "pytest"), "it was cut off")
        result.unknown = f"e2e: {plain(last.splitlines()[0])}"
    elif ended.verdict is e2e.Verdict.NOT_RUN:
        result.failures.append(("e2e", NO_TEST))
    else:
        result.failures += [(name, plain(why)) for name, why in ended.failures]


def _findings(work: Work, found: Impact, result: _Result, seconds: float) -> Findings:
    rows = work.installation.deployments.current(work.environment)
    green = _Green(work)
    skipped = {
        name: (work.keys[name], green.run_of(name, str(rows[name].run_id or "")))
        for name, resource in work.catalog.resources.items()
        if deployable(resource) and name in rows and rows[name].run_id != work.run_id
    }
    deployed = {name: str(row.key) for name, row in rows.items() if row.run_id == work.run_id}
    return Findings(
        work.run_id, work.commit, str(result.verdict), found.because, deployed, skipped, result.suites,
        result.tests, tuple(result.failures), tuple(result.flaky), round(seconds, 1),
    )  # fmt: skip


class _Green:
    """In which attempt a resource was last part of what changed, and green."""

    def __init__(self, work: Work) -> None:
        installation = work.installation
        self.work, self.attempts = work, Attempts(installation.engine, installation.clock)
        last = self.attempts.last_green()
        try:
            self.last = Findings.of(installation.store, last) if last is not None else None
        except UsageError:  # of another version
            self.last = None

    def run_of(self, name: str, brought_by: str) -> str:
        """The attempt; the run that brought it there, where that was the night; empty: nobody knows any."""
        key, last = self.work.keys[name], self.last
        if last is not None:
            if last.deployed.get(name) == key:
                return last.run_id
            known, run_id = last.skipped.get(name, ("", ""))
            if known == key and run_id:
                return run_id
        attempt = self.attempts.find(brought_by)
        return brought_by if attempt is None or attempt.state in ON_MAIN else ""


def _said(result: _Result) -> str:
    if result.unknown:
        return result.unknown
    named = [f"{name}: {why}".rstrip(": ") for name, why in result.failures[:_NAMED]]
    more = len(result.failures) - _NAMED
    return "; ".join([*named, *([f"and {more} more"] if more > 0 else [])])
