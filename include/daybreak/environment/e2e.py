"""Run the monorepo's e2e suites against one environment, and say passed, failed or not run."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree as ET

from daybreak.build import process
from daybreak.build.venv import fill
from daybreak.git.repository import Repository
from daybreak.locking import exclusive
from daybreak.settings import BuildSettings

#: A report larger than this is not one of pytest's.
_MAX_REPORT = 50 * 1024 * 1024


class Verdict(StrEnum):
    """How the suites ended. No test at all is ``not_run``, never green."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not_run"


@dataclass(frozen=True)
class E2EResult:
    """The verdict, with the failed tests as (id, message)."""

    verdict: Verdict
    tests: int
    failures: tuple[tuple[str, str], ...]
    junit: Path


def run_e2e(
    repo: Repository,
    commit: str,
    folder: str,
    variables: Mapping[str, str],
    home: Path,
    settings: BuildSettings,
    log_dir: Path,
) -> E2EResult:
    """Run every suite under ``folder`` of ``commit`` in a clean checkout.

    The suites see the contract's variables and an allow-list, never the orchestrator's environment.

    :param log_dir: gets ``junit.xml`` and ``e2e.log``.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    junit = log_dir / "junit.xml"
    junit.unlink(missing_ok=True)
    scratch = process.scratch(home)
    try:
        repo.export(commit, [folder], scratch / "checkout")
        suites = scratch / "checkout" / folder
        if not suites.is_dir():
            return E2EResult(Verdict.NOT_RUN, 0, (), junit)
        venv = _venv(suites, home, settings)
        environment = process.environment(scratch, settings.pass_environment) | dict(variables)
        # Named, or pytest would take the first settings that it finds in the folders above.
        own = suites / "pytest.ini"
        settings_file = own if own.is_file() else scratch / "pytest.ini"
        if settings_file is not own:
            settings_file.write_text("[pytest]\n", encoding="utf-8")
        command = [
            str(venv / "bin" / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider",
            "--import-mode=importlib", "-c", str(settings_file), f"--confcutdir={suites}", f"--rootdir={suites}", f"--junitxml={junit}", str(suites),
        ]  # fmt: skip
        code = _call(command, suites, environment, settings.timeout_seconds, log_dir / "e2e.log")
        return _read(junit, code, log_dir / "e2e.log")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _venv(suites: Path, home: Path, settings: BuildSettings) -> Path:
    lock = suites / "requirements.txt"
    content = lock.read_bytes() + settings.python.encode()
    key = f"e2e-{hashlib.sha256(content).hexdigest()[:32]}"
    folder = home.absolute() / "runtimes" / key
    ready = folder / ".ready"
    with exclusive(home.absolute() / "locks" / f"runtime-{key}.lock"):
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            log = home.absolute() / "logs" / "venv" / f"{key}.log"
            with process.shell(
                home, log, timeout=settings.timeout_seconds, passed=settings.pass_environment
            ) as sh:
                fill(sh, folder, settings.python, [lock], [])
            ready.touch()
    return folder


def _call(command: list[str], at: Path, environment: Mapping[str, str], seconds: float, log: Path) -> int:
    with log.open("wb") as output:
        running = subprocess.Popen(
            command, cwd=at, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        try:
            return running.wait(seconds)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def _read(junit: Path, code: int, log: Path) -> E2EResult:
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    if code == 5:
        return E2EResult(Verdict.NOT_RUN, 0, (), junit)
    if not junit.exists() or junit.stat().st_size > _MAX_REPORT:
        return E2EResult(Verdict.FAILED, 0, (("pytest", f"ended with {code} and no report\n{tail}"),), junit)
    # Written by the pytest that we started, from our own checkout.
    cases = list(ET.parse(junit).getroot().iter("testcase"))  # noqa: S314
    failures = tuple(
        (f"{case.get('classname')}::{case.get('name')}", str(bad.get("message") or "")[:500])
        for case in cases
        for bad in (*case.findall("failure"), *case.findall("error"))
    )
    ran = sum(case.find("skipped") is None for case in cases)
    if failures or code not in (0, 5):
        return E2EResult(Verdict.FAILED, ran, failures or (("pytest", f"ended with {code}\n{tail}"),), junit)
    return E2EResult(Verdict.PASSED if ran else Verdict.NOT_RUN, ran, (), junit)
