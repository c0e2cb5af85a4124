"""Unit tests of one resource, in a fresh virtual environment, against what was built."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from daybreak.build.artifact import Artifacts
from daybreak.build.builder import Log, dependency_folders
from daybreak.build.locks import LOCK, TEST_TOOLS
from daybreak.build.process import CommandFailed, Shell, shell, visible
from daybreak.build.venv import fill
from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import Action, ResourceType
from daybreak.change.key import TEST_LOCK, inputs, key_of_tests
from daybreak.disk import needs_room
from daybreak.errors import DaybreakError, UsageError
from daybreak.git.repository import Repository
from daybreak.locking import exclusive

if TYPE_CHECKING:
    from daybreak.settings import BuildSettings

_NAMES_SHOWN = 10

#: Types whose tests import an installed wheel; those of the others import the files of the root.
_INSTALLED = {ResourceType.PACKAGE, ResourceType.SERVICE}


class TestsFailed(DaybreakError):
    """Unit tests failed, or none ran; the message names them and ends with the last lines of the log."""

    code = "tests_failed"
    __test__ = False


class TestStatus(StrEnum):
    """How unit tests ended well."""

    __test__ = False

    PASSED = "passed"
    REUSED = "reused"
    NONE = "none"


@dataclass(frozen=True)
class TestResult:
    """Unit tests of a resource passed, now or before with the same inputs; ``tests`` is how many ran."""

    __test__ = False

    resource: str
    key: str
    status: TestStatus
    tests: int
    seconds: float


def passed(repo: Repository, catalog: Catalog, keys: Mapping[str, str], artifacts: Artifacts) -> set[str]:
    """The resources of ``keys`` whose unit tests passed with these inputs, or that have none."""
    found = inputs(repo, catalog)

    def green(name: str) -> bool:
        digest = key_of_tests(repo, catalog.commit, keys[name], found[name])
        return artifacts.store.exists(_kept(name, keys[name], digest))

    return {name for name in keys if not _tested(catalog[name]) or green(name)}


def _tested(resource: CatalogResource) -> bool:
    return Action.TEST in resource.actions and resource.has_tests


def _kept(name: str, key: str, digest: str) -> str:
    return f"artifacts/{name}/{key}/tests/{digest}.json"


@dataclass(frozen=True)
class _Report:
    """What pytest's JUnit file says."""

    ran: int
    failed: tuple[str, ...]


@needs_room()
def test(
    repo: Repository,
    catalog: Catalog,
    name: str,
    keys: Mapping[str, str],
    artifacts: Artifacts,
    home: Path,
    settings: BuildSettings,
    log: Log = print,  # noqa: PT028 - not a test: the verb of this module
) -> TestResult:
    """Run the unit tests of ``name`` unless they passed before with the same inputs.

    The result is kept beside the artifact, the log under ``logs/test/<name>/`` of ``home`` and of the store.
    A resource without tests, or with its TEST action off, is :attr:`TestStatus.NONE`.

    :raises TestsFailed: when one failed, none ran, or time was up.
    :raises DiskFull: this machine's disk is.
    """
    started = time.monotonic()
    resource, key = catalog[name], keys[name]
    if not _tested(resource):
        return TestResult(name, key, TestStatus.NONE, 0, 0.0)
    found = inputs(repo, catalog)[name]
    digest = key_of_tests(repo, catalog.commit, key, found)
    kept = _kept(name, key, digest)
    with exclusive(home.absolute() / "locks" / f"test-{name}-{digest}.lock"):
        if artifacts.store.exists(kept):
            tests = json.loads(artifacts.store.get(kept))["tests"]
            return TestResult(name, key, TestStatus.REUSED, tests, time.monotonic() - started)
        log(f"{name}: testing {key[:12]} of {catalog.commit[:12]}")
        packages = dependency_folders(catalog, name, keys, artifacts, home)
        own = _own(artifacts, resource, key, home)
        where = f"logs/test/{name}/{digest}.log"
        with shell(
            home, home.absolute() / where, timeout=settings.timeout_seconds, passed=settings.pass_environment
        ) as sh:
            source = sh.folder / "source"
            source.mkdir()
            entries = [*found.files, *found.tests, *repo.ls_tree(catalog.commit, (TEST_LOCK,))]
            repo.export_entries({entry.path: entry for entry in entries}.values(), source)
            try:
                if _in_image(resource, settings):
                    assert own is not None
                    report = _run_in_image(
                        sh, resource, source, own, key, catalog.commit, home, settings, log
                    )
                else:
                    report = _run(sh, resource, source, own, packages, settings.python)
            except CommandFailed as error:
                raise TestsFailed(f"{name}: {error}. Log: {where}\n{sh.tail()}", code=error.code) from None
            finally:
                artifacts.store.put(where, sh.log)
            _judge(name, report, where, sh)
        artifacts.store.put(kept, json.dumps({"schema": 1, "tests": report.ran}).encode())
    return TestResult(name, key, TestStatus.PASSED, report.ran, time.monotonic() - started)


def _own(artifacts: Artifacts, resource: CatalogResource, key: str, home: Path) -> Path | None:
    if resource.type not in _INSTALLED:
        return None
    if not artifacts.exists(resource.name, key):
        raise UsageError(f"{resource.name} {key[:12]} is not built yet; its tests run against what was built")
    return artifacts.fetch(resource.name, key, home)


def _run(
    sh: Shell,
    resource: CatalogResource,
    source: Path,
    own: Path | None,
    packages: Mapping[str, Path],
    version: str,
) -> _Report:
    root = source / resource.root
    wheels = [wheel for folder in packages.values() for wheel in sorted(folder.glob("*.whl"))]
    if own is not None:
        # A service's artifact repeats the wheels of its packages.
        have = {wheel.name for wheel in wheels}
        wheels += sorted(wheel for wheel in own.rglob("*.whl") if wheel.name not in have)
    venv = sh.folder / "venv"
    fill(sh, venv, version, [_tools(source, root), *_locks(root, packages)], wheels)
    junit = sh.folder / "junit.xml"
    folders = [folder for path in resource.test_paths if (folder := root / path).is_dir()]
    command = [
        str(venv / "bin" / "pytest"), "-q", "-p", "no:cacheprovider",
        f"--rootdir={root}", f"--confcutdir={source}", "-c",
        str(_configuration(sh, root)), f"--junitxml={junit}", *map(str, folders),
    ]  # fmt: skip
    # What is installed is found in the virtual environment alone; the others have only their files.
    variables = {"VIRTUAL_ENV": str(venv), "PATH": f"{venv / 'bin'}:{sh.environment.get('PATH', '')}"}
    if own is None:
        variables["PYTHONPATH"] = str(root)
    code = sh.call(command, at=root, variables=variables)
    report = _read(junit)
    # 0: all passed, 1: some failed, 5: none collected; anything else is pytest's or the suite's own trouble.
    if code not in {0, 1, 5} or (code == 1 and not report.failed):
        raise CommandFailed(f"pytest ended with exit code {code}")
    return report


def _in_image(resource: CatalogResource, settings: BuildSettings) -> bool:
    images = settings.images
    return images is not None and "unit" in images.tests and resource.type is ResourceType.SERVICE


def _run_in_image(
    sh: Shell,
    resource: CatalogResource,
    source: Path,
    own: Path,
    key: str,
    commit: str,
    home: Path,
    settings: BuildSettings,
    log: Log,
) -> _Report:
    """As :func:`_run`, against what is installed in the image: no virtual environment, no network."""
    from daybreak.build.images.engine import connected
    from daybreak.build.images.image import Images
    from daybreak.build.images.in_image import HOME, PYTEST, Job, limits, tools
    from daybreak.build.images.in_image import run as run_inside
    from daybreak.build.images.recipe import Recipe

    assert settings.images is not None
    engine = settings.images.engine
    inner, root = f"{HOME}/source", f"{HOME}/source/{resource.root}"
    configuration, results = _configuration(sh, source / resource.root), sh.folder / "results"
    results.mkdir()
    if configuration.parent == sh.folder:
        configuration.rename(results / configuration.name)
        shown = f"{HOME}/results/{configuration.name}"
    else:
        shown = f"{inner}/{configuration.relative_to(source).as_posix()}"
    folders = [path for path in resource.test_paths if (source / resource.root / path).is_dir()]
    with connected(engine) as client:
        images = Images(client, engine, settings.images, home, settings.pass_environment, log)
        image = images.service(Recipe.read(resource.name, own), key, commit)
        lock = _tools(source, source / resource.root)
        more = tools(client, engine.url, image.id, [lock], home, sh)
        job = Job(
            (PYTEST, f"{HOME}/tools", "-q", "-p", "no:cacheprovider", f"--rootdir={root}",
             f"--confcutdir={inner}", "-c", shown, f"--junitxml={HOME}/results/junit.xml",
             *(f"{root}/{path}" for path in folders)),
            root, {inner: source, f"{HOME}/tools": more, f"{HOME}/results": results},
            visible(settings.pass_environment), sh.deadline - time.monotonic(),
            {sh.folder / "junit.xml": f"{HOME}/results/junit.xml"}, limits(resource),
        )  # fmt: skip
        with sh.log.open("ab") as output:
            output.write(f"in a container of {image.tag}: pytest {' '.join(folders)}\n".encode())
            ran = run_inside(client, engine.url, image.id, job, sh.folder)
            output.write(ran.output)
    report = _read(sh.folder / "junit.xml")
    if ran.timed_out:
        raise CommandFailed(
            "its tests were killed: the time limit (build.timeout_seconds) is over", code="timeout"
        )
    if ran.code not in {0, 1, 5} or (ran.code == 1 and not report.failed):
        killed = " (out of memory)" if ran.out_of_memory else ""
        raise CommandFailed(f"pytest ended with exit code {ran.code}{killed}")
    return report


def _tools(source: Path, root: Path) -> Path:
    for lock in (root / TEST_LOCK, source / TEST_LOCK):
        if lock.is_file():
            return lock
    return TEST_TOOLS


def _locks(root: Path, packages: Mapping[str, Path]) -> list[Path]:
    """Its own lock; a resource without one gets by with those of its packages."""
    own = root / LOCK
    if own.is_file():
        return [own]
    return [lock for folder in packages.values() if (lock := folder / LOCK).is_file()]


def _configuration(sh: Shell, root: Path) -> Path:
    for name in ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg"):
        if (root / name).is_file():
            return root / name
    # Named even when there is none: pytest would go on looking in the folders above.
    empty = sh.folder / "pytest.ini"
    empty.write_text("[pytest]\n", encoding="utf-8")
    return empty


def _read(junit: Path) -> _Report:
    if not junit.is_file():
        return _Report(0, ())
    ran, failed = 0, []
    for case in ElementTree.parse(junit).iter("testcase"):  # noqa: S314
        outcomes = {child.tag for child in case}
        if "skipped" not in outcomes:
            ran += 1
        if outcomes & {"failure", "error"}:
            failed.append(f"{case.get('classname', '')}::{case.get('name', '')}".lstrip(":"))
    return _Report(ran, tuple(failed))


def _judge(name: str, report: _Report, where: str, sh: Shell) -> None:
    if report.failed:
        shown = ", ".join(report.failed[:_NAMES_SHOWN])
        more = len(report.failed) - _NAMES_SHOWN
        tail = f" and {more} more" if more > 0 else ""
        count = f"{len(report.failed)} of {report.ran} tests failed"
        raise TestsFailed(f"{name}: {count}: {shown}{tail}. Log: {where}\n{sh.tail()}")
    if report.ran == 0:
        raise TestsFailed(
            f"{name}: it has a test folder, but no test ran. Add some, or switch TEST off. Log: {where}"
        )
