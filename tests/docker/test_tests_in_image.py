"""Unit tests of a service in a container of its image: what they meet there, and what they do not."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from daybreak.build.artifact import Artifacts
from daybreak.build.checks import TestsFailed, TestStatus
from daybreak.build.images import in_image
from daybreak.build.process import CommandFailed, stopping
from daybreak.errors import DaybreakError
from daybreak.settings import BuildSettings, EngineSettings, ImageSettings
from daybreak.store import Store
from tests.build.conftest import Works
from tests.docker.conftest import Yard, pinned
from tests.monorepo import Monorepo, package, pyproject

HELLO = (
    'HELLO = Resource(name="hello", type=rt.SERVICE, packages_dependency=[COMMON], '
    'dependent_paths=["services/hello"], '
    'options={"command": ["python", "-m", "acme_hello"], "memory": "256m", "processes": 64})\n'
)
FILES = {
    "services/hello/pyproject.toml": pyproject("hello", '"acme-common"'),
    "services/hello/src/acme_hello/__init__.py": "import acme_common, markupsafe\nNAME = 'hello'\n",
    "services/hello/requirements.txt": pinned("markupsafe"),
}

SEEN = """
import os, socket, subprocess, sys
import acme_common, acme_hello, markupsafe, pytest
def test_it_is_the_image_s_own_python_with_what_is_installed_in_it():
    assert sys.version_info[:2] == (3, 13)
    assert os.getuid() == 10001
    for module in (acme_common, acme_hello, markupsafe):
        assert "-packages" in module.__file__
    assert pytest.__file__.startswith("/daybreak/tools/")
def test_nothing_of_the_orchestrator_is_there(tmp_path):
    assert not {"AIRFLOW_HOME", "AWS_SECRET_ACCESS_KEY", "DAYBREAK_REGISTRY", "PYTHONPATH"} & set(os.environ)
    assert os.environ["TOLD"] == "yes"
    assert os.environ["HOME"] == "/daybreak/home"
    (tmp_path / "x").write_text("it may write")
    open("beside.txt", "w").close()
def test_it_is_alone_and_bounded():
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", %d), 2)
    with pytest.raises(OSError):
        socket.create_connection(("192.0.2.1", 80), 2)
    limits = {name: open(f"/proc/self/{name}").read() for name in ("status",)}
    assert "CapEff:\\t0000000000000000" in limits["status"]
    assert "NoNewPrivs:\\t1" in limits["status"]
@pytest.mark.skip
def test_left_out(): 1 / 0
"""


@pytest.fixture
def works(yard: Yard, tmp_path: Path) -> Works:
    monorepo = Monorepo(tmp_path / "repo")
    monorepo.write({**package("common"), **package("geo", dependencies=("common",))})
    images = ImageSettings(engine=EngineSettings(url=yard.engine.url), network="host", tests={"unit"})
    settings = BuildSettings(images=images, pass_environment=("TOLD",), timeout_seconds=120)
    return Works(monorepo, yard.home, Artifacts(Store((tmp_path / "store").as_uri())), settings)


def ready(works: Works, suite: str) -> Works:
    """Commit ``suite`` as the service's tests, and build what they need."""
    works.declare(HELLO, {**FILES, "services/hello/tests/test_hello.py": suite})
    for name in ("common", "hello"):
        works.build(name)
    return works


def test_unit_tests_meet_the_image_and_nothing_else(
    works: Works, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    for name in ("AIRFLOW_HOME", "AWS_SECRET_ACCESS_KEY", "DAYBREAK_REGISTRY", "PYTHONPATH"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("TOLD", "yes")
    assert ImageSettings().tests == frozenset(), "by default none runs in a container"
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = ready(works, SEEN % server.getsockname()[1]).test("hello")
    assert (result.status, result.tests) == (TestStatus.PASSED, 3)
    [log] = works.artifacts.store.list("logs/test/hello")
    said = works.artifacts.store.get(log).decode()
    assert "3 passed, 1 skipped" in said
    assert "in a container of daybreak/hello:" in said
    assert works.test("hello").status is TestStatus.REUSED
    assert yard.client.containers.list(all=True) == []

    # A failure is named as ever; what comes out of the container is the suite's own.
    ready(works, "def test_bad():\n    assert 1 == 2, 'no vehicles'\n")
    with pytest.raises(TestsFailed, match=r"(?s)1 of 1 tests failed: .*test_bad\..*no vehicles"):
        works.test("hello")
    assert yard.client.containers.list(all=True) == []


def test_what_hangs_or_eats_all_memory_is_ended_and_what_comes_back_is_bounded(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ran(code: str, seconds: float = 60, **more: Any) -> in_image.Ran:
        job = in_image.Job((code,), "/", {}, {}, seconds, **more)
        return in_image.run(yard.client, yard.engine.url, "python:3.13-slim", job, tmp_path)

    hanging = ran("import time; print('on my way', flush=True); time.sleep(600)", 2)
    assert (hanging.timed_out, hanging.output) == (True, b"on my way\n")
    hungry = ran("x = b'x' * 2**30", limits={"mem_limit": "64m"})
    assert (hungry.code, hungry.timed_out, hungry.out_of_memory) == (137, False, True)

    here, other = tmp_path / "r", tmp_path / "notes"
    write = "import os; os.mkdir('/r'); open('/r/a', 'w').write('x' * 2_000_000); open('/b', 'w').write('b')"
    ran(write, results={here: "/r", other: "/b", tmp_path / "never": "/never"})
    assert (len((here / "a").read_text()), other.read_text()) == (2_000_000, "b")
    assert not (tmp_path / "never").exists()
    monkeypatch.setattr(in_image, "_MAX_RESULT", 1_000_000)
    ran(write, results={tmp_path / "large": "/r"})
    assert not (tmp_path / "large").exists()
    outside = "import os; os.mkdir('/r'); os.symlink('/etc/passwd', '/r/a')"
    with pytest.raises(DaybreakError, match="cannot be read"):
        ran(outside, results={tmp_path / "linked": "/r"})

    stop = threading.Event()
    stop.set()
    token = stopping.set(stop)
    try:
        with pytest.raises(CommandFailed, match="stopped"):
            ran("import time; time.sleep(600)")
    finally:
        stopping.reset(token)
    assert yard.client.containers.list(all=True) == []


def test_what_a_killed_run_left_goes_when_its_time_is_over(yard: Yard, tmp_path: Path) -> None:
    for until in (time.time() - 1, time.time() + 600):
        label = {"dev.daybreak.until": str(int(until))}
        yard.client.containers.run("python:3.13-slim", ["sleep", "600"], detach=True, labels=label, init=True,
                                   network_mode="none")  # fmt: skip
    job = in_image.Job(("pass",), "/", {}, {}, 60)
    assert in_image.run(yard.client, yard.engine.url, "python:3.13-slim", job, tmp_path).code == 0
    [left] = yard.client.containers.list(all=True)
    assert float(left.labels["dev.daybreak.until"]) > time.time()
