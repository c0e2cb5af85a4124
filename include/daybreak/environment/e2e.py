"""Run the monorepo's e2e suites against one environment, and say passed, failed or not run."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import textwrap
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

from daybreak.build import process
from daybreak.build.venv import materialize
from daybreak.deploy import running
from daybreak.deploy.masking import masked
from daybreak.disk import needs_room
from daybreak.environment.e2e_image import Housed, Room, groups
from daybreak.environment.failures import plain
from daybreak.environment.suites import declared
from daybreak.errors import UsageError
from daybreak.git.repository import Repository
from daybreak.settings import BuildSettings

#: A report larger than this is not one of pytest's.
_MAX_REPORT = 50 * 1024 * 1024
#: How pytest ends a message of which it shows but the beginning, and what it marks all of it with.
_CUT = re.compile(r"\[\+\d+ more lines?; full report in element text\]\s*$")
_ERROR = re.compile(r"E(?: |$)")
#: pytest: all passed, some failed, no test collected. The others mean that pytest itself did not get through.
_PASSED, _FAILED, _NO_TESTS = 0, 1, 5
#: `python -m pytest` would put the suites' folder before the standard library, and a file `http.py` in it
#: would hide Python's own. Behind all else their helpers are found as well.
_PYTEST = (
    "import sys; sys.path[:] = [*sys.path[1:], sys.argv.pop(1)]; "
    "import pytest; sys.exit(pytest.console_main())"
)
#: Of a second try, in the names of its log and report.
_AGAIN = "-2"
#: Where pytest's settings may stand in the suites' folder, in pytest's own order.
_SETTINGS = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


#: Runs pytest once: its report, its log, further arguments, for how many seconds at most.
_Run = Callable[[Path, Path, Sequence[str], float], running.Ended]


class Verdict(StrEnum):
    """How the suites ended. No test at all is ``not_run``, never green."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not_run"


@dataclass(frozen=True)
class E2EResult:
    """The verdict.

    :param tests: how many really ran; skipped ones did not.
    :param failures: (id, why in one plain line) of each failed test, or pytest's own last words; without
        secrets.
    :param junit: the report, which may be missing when pytest was killed.
    :param cut_off: pytest was killed, or its time was over: what it failed is nobody's fault for sure.
    :param flaky: ids of tests that failed first and passed when they were tried again.
    """

    verdict: Verdict
    tests: int
    failures: tuple[tuple[str, str], ...]
    junit: Path
    cut_off: bool = False
    flaky: tuple[str, ...] = ()


@needs_room()
def run_e2e(
    repo: Repository,
    commit: str,
    folder: str,
    variables: Mapping[str, str],
    home: Path,
    settings: BuildSettings,
    log_dir: Path,
    *,
    without: Collection[str] = (),
    reach: Callable[[], object] | None = None,
    houses: Mapping[str, Housed] | None = None,
) -> E2EResult:
    """Run the suites under ``folder`` of ``commit`` in a clean checkout.

    The suites see the contract's ``variables`` and the allow-list of builds, never the orchestrator's
    environment. Their virtual environment is made once for each ``requirements.txt`` and kept.

    :param log_dir: gets ``junit.xml`` and ``e2e.log``, of a second try ``junit-2.xml`` and ``e2e-2.log``.
    :param without: files of ``folder``, by their paths in it, that are left out.
    :param reach: asks whether what the suites talk to can be reached, after each try that failed. With it,
        what failed is tried once more, or all of it when pytest was cut off. What it raises ends the run: a
        failed test says nothing of the commit then.
    :param houses: services in whose images the files run that cover them alone; logs and reports of those
        have the service's name.
    :raises UsageError: when the suites have no ``requirements.txt``.
    :raises VenvFailed: when their virtual environment cannot be made.
    :raises DiskFull: this machine's disk is; the suites are not to blame.
    :raises CommandFailed: ``stopped``, where this thread is to stop (`process.stopping`).
    """
    log_dir = log_dir.absolute()
    for old in log_dir.glob("junit*.xml"):
        old.unlink()
    scratch = process.scratch(home)
    try:
        repo.export(commit, [folder], scratch / "checkout")
        suites = scratch / "checkout" / folder
        if not suites.is_dir():
            return E2EResult(Verdict.NOT_RUN, 0, (), log_dir / "junit.xml")
        covered = declared(repo, commit, folder) if houses else {}
        own = groups(covered, houses or {}, without)
        files = frozenset(name for name in covered if not name.endswith("conftest.py"))
        housed = frozenset[str]().union(*own.values())
        # Modules are named by their path below the root. Named below the suites' folder, a folder `platform/`
        # would take the place of Python's own module.
        prefix = ".".join(suites.relative_to(scratch).parts) + "."
        shown = f"{folder}/requirements.txt at {commit[:12]}"
        seen = {**process.environment(scratch, settings.pass_environment), **variables}
        again = reach is not None
        here = _here(suites, shown, scratch, seen, home, settings, {*without, *housed}, again=again)

        # All first tries share the time of one, and so do all second ones: who waits for them knows no more.
        left = {"": float(settings.timeout_seconds), _AGAIN: float(settings.timeout_seconds)}

        def go(run: _Run, where: str, number: str, *more: str) -> E2EResult:
            mark, started = where + number, time.monotonic()
            report, junit = scratch / f"junit{mark}.xml", log_dir / f"junit{mark}.xml"
            ended = run(report, log_dir / f"e2e{mark}.log", more, max(left[number], 1.0))
            left[number] -= time.monotonic() - started
            if process.stopped():
                raise process.CommandFailed("the suites were stopped", code="stopped")
            _keep(report, junit, seen)
            return judge(junit, ended, prefix)

        def tried(run: _Run, where: str = "") -> E2EResult:
            ended = go(run, where, "")
            if reach is None or ended.verdict is not Verdict.FAILED:
                return ended
            reach()
            ended = _both(ended, go(run, where, _AGAIN, *_rest(ended)))
            if ended.verdict is Verdict.FAILED:
                reach()
            return ended

        results = [tried(here)]
        for service, names in own.items():
            room = Room(
                (houses or {})[service], settings, home, scratch / "checkout", suites, _own_settings(suites),
                files - names, scratch,
            )  # fmt: skip
            results.append(tried(partial(_there, room, variables, again), f"-{service}"))
        return _joined(results, log_dir / "junit.xml")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _here(
    suites: Path,
    shown: str,
    scratch: Path,
    seen: Mapping[str, str],
    home: Path,
    settings: BuildSettings,
    without: Collection[str],
    *,
    again: bool,
) -> _Run:
    """Runs the suites as a process of this machine, which sees ``seen``."""
    venv = _venv(suites, shown, home, settings)
    path = running.plain_path(seen.get("PATH", os.defpath))
    environment = {**seen, "PATH": f"{venv / 'bin'}{os.pathsep}{path}"}
    command = [
        str(venv / "bin" / "python"), "-c", _PYTEST, str(suites), "-q", "--import-mode=importlib",
        "-c", str(_settings(suites, scratch)), f"--confcutdir={suites}", f"--rootdir={scratch}",
        *(["-o", f"cache_dir={scratch / 'cache'}"] if again else ["-p", "no:cacheprovider"]),
        *(f"--ignore={suites / name}" for name in sorted(without)),
    ]  # fmt: skip

    def run(report: Path, log: Path, more: Sequence[str], seconds: float) -> running.Ended:
        return running.run(
            [*command, f"--junitxml={report}", *more, str(suites)], at=suites, environment=environment,
            seconds=seconds, log=log,
        )  # fmt: skip

    return run


def _there(
    room: Room,
    variables: Mapping[str, str],
    again: bool,
    report: Path,
    log: Path,
    more: Sequence[str],
    seconds: float,
) -> running.Ended:
    return room.go(variables, report, log, again=again, more=more, seconds=seconds)


def _joined(results: Sequence[E2EResult], junit: Path) -> E2EResult:
    """One verdict of the suites here and those in images: green when something ran and nothing failed."""
    if len(results) == 1:
        return results[0]
    verdicts = {each.verdict for each in results}
    verdict = next((each for each in (Verdict.FAILED, Verdict.PASSED) if each in verdicts), Verdict.NOT_RUN)
    return E2EResult(
        verdict, sum(each.tests for each in results), tuple(one for each in results for one in each.failures),
        junit, any(each.cut_off for each in results), tuple(one for each in results for one in each.flaky),
    )  # fmt: skip


def _rest(first: E2EResult) -> tuple[str, ...]:
    """What is tried again: all of it when nobody knows what failed."""
    return () if first.cut_off else ("--last-failed", "--last-failed-no-failures=none")


def _both(first: E2EResult, second: E2EResult) -> E2EResult:
    """One verdict of two tries: what failed twice failed; what failed once is flaky."""
    if first.cut_off:
        return second
    still = {name for name, _ in second.failures}
    flaky = tuple(name for name, _ in first.failures if name not in still)
    if second.verdict is Verdict.PASSED:
        return replace(first, verdict=Verdict.PASSED, failures=(), flaky=flaky)
    return replace(second, tests=first.tests, flaky=() if second.cut_off else flaky)


def judge(junit: Path, ended: running.Ended, prefix: str = "") -> E2EResult:
    """The verdict from pytest's report and exit code; on doubt it is failed.

    :param prefix: of every module's name in the report, which says nothing to people.
    """
    cut_off = ended.timed_out or ended.code < 0
    try:
        cases = _cases(junit)
    except (ET.ParseError, OSError, ValueError) as error:
        if ended.code == _NO_TESTS:
            return E2EResult(Verdict.NOT_RUN, 0, (), junit)
        problem = f"pytest {ended.describe()}; its report cannot be read ({error})\n{ended.tail()}"
        return E2EResult(Verdict.FAILED, 0, (("pytest", problem),), junit, cut_off)
    failures = [
        (
            f"{str(case.get('classname')).removeprefix(prefix)}::{case.get('name')}",
            plain(_message(bad)),
        )
        for case in cases
        for bad in (*case.findall("failure"), *case.findall("error"))
    ]
    ran = sum(case.find("skipped") is None for case in cases)
    # Also beside failed tests: whoever reads them should know that they are not the whole story.
    if ended.code not in {_PASSED, _FAILED, _NO_TESTS} or (ended.code == _FAILED and not failures):
        failures.append(("pytest", f"pytest {ended.describe()}\n{ended.tail()}"))
    if failures:
        return E2EResult(Verdict.FAILED, ran, tuple(failures), junit, cut_off)
    return E2EResult(Verdict.PASSED if ran else Verdict.NOT_RUN, ran, (), junit)


def _message(bad: ET.Element) -> str:
    """What went wrong; pytest's report may have but its first lines as the message, and all in its text."""
    message = str(bad.get("message") or "")
    if not _CUT.search(message):
        return message
    found: list[str] = []
    for line in (bad.text or "").splitlines():
        if _ERROR.match(line):
            found.append(line[1:] or " ")
        elif found and found[-1]:
            found.append("")  # what follows is another exception's
    said = "\n".join(found).strip("\n").rpartition("\n\n")[2]
    return textwrap.dedent(said) or message


def _venv(suites: Path, shown: str, home: Path, settings: BuildSettings) -> Path:
    lock = suites / "requirements.txt"
    if not lock.is_file():
        raise UsageError(f"{shown} does not exist; the e2e suites need a lock with hashes, pytest in it")
    digest = hashlib.sha256(lock.read_bytes() + settings.python.encode()).hexdigest()
    return materialize(suites, f"e2e-{digest[:32]}", home, settings.python, passed=settings.pass_environment)


def _own_settings(suites: Path) -> Path | None:
    return next((suites / name for name in _SETTINGS if (suites / name).is_file()), None)


def _settings(suites: Path, scratch: Path) -> Path:
    """The suites' own settings; without any, empty ones, or pytest would take those of a folder above."""
    if (own := _own_settings(suites)) is not None:
        return own
    empty = scratch / "pytest.ini"
    empty.write_text("[pytest]\n", encoding="utf-8")
    return empty


def _keep(report: Path, junit: Path, variables: Mapping[str, str]) -> None:
    """Keep the report without secrets: a failed assertion may show a connection's URL."""
    if report.is_file() and report.stat().st_size <= _MAX_REPORT:
        text = masked(report.read_text(encoding="utf-8", errors="replace"), variables)
        with needs_room(junit):
            junit.write_text(text, encoding="utf-8")


def _cases(junit: Path) -> list[ET.Element]:
    if not junit.is_file():
        raise ValueError("there is none")
    # Written by the pytest that we started, from our own checkout, and bounded in size.
    return list(ET.parse(junit).getroot().iter("testcase"))  # noqa: S314
