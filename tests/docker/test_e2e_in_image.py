"""e2e suites of a service in its image: what they reach and see, and one verdict with those that run here."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import ValidationError

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.driver import Package
from daybreak.environment.e2e import E2EResult, Verdict, run_e2e
from daybreak.environment.e2e_image import Housed, groups
from daybreak.settings import BuildSettings, EngineSettings, ImageSettings
from tests.docker.conftest import Yard
from tests.monorepo import Monorepo

LOCK = files("daybreak.build").joinpath("pytest-lock.txt").read_text()
COVERS = '[tool.daybreak.e2e]\ncovers = ["hello"]\n'
HELLO = CatalogResource("hello", ResourceType.SERVICE, options={"memory": "256m"})
INSIDE = """
import os, sys, urllib.request
import hello, helpers
def test_it_is_the_image_and_reaches_what_this_machine_reaches():
    assert sys.version_info[:2] == (3, 13) and hello.CODE == "a1" and helpers.SAID == "from the suites"
    assert urllib.request.urlopen(os.environ["HELLO_URL"], timeout=5).status == 200
def test_nothing_of_the_orchestrator_is_there():
    assert not {"AWS_PROFILE", "DAYBREAK_REGISTRY", "AIRFLOW_HOME"} & set(os.environ)
    assert not os.path.exists("/work") and os.environ["DAYBREAK_ENVIRONMENT"] == "dev-01"
    print(os.environ["DATABASE_URL"])
"""
HERE = "import sys\ndef test_here():\n    assert sys.version_info[:2] == (3, 11)\n"


@pytest.fixture
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def ran(yard: Yard, tmp_path: Path, suites: dict[str, str], **variables: str) -> E2EResult:
    monorepo = Monorepo(tmp_path / "repo")
    commit = monorepo.commit({"e2e/requirements.txt": LOCK, **{f"e2e/{k}": v for k, v in suites.items()}})
    images = ImageSettings(engine=EngineSettings(url=yard.engine.url), network="host", tests={"e2e"})
    folder = yard.home / "artifacts/hello/a1"
    if not folder.exists():
        yard.artifact("hello", "a1")
    return run_e2e(
        monorepo.repo, commit, "e2e", {"DAYBREAK_ENVIRONMENT": "dev-01", **variables}, yard.home,
        BuildSettings(images=images, timeout_seconds=90), tmp_path / "logs", reach=lambda: None,
        houses={"hello": Housed(HELLO, Package("hello", "a1", commit, folder))},
    )  # fmt: skip


def test_suites_of_a_service_run_in_its_image_and_the_others_here(
    yard: Yard, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "DAYBREAK_REGISTRY", "AIRFLOW_HOME"):
        monkeypatch.setenv(name, "secret")
    suites = {
        "hello/pyproject.toml": COVERS, "hello/test_inside.py": INSIDE, "test_here.py": HERE,
        "helpers.py": "SAID = 'from the suites'\n", "conftest.py": "import pytest\n",
    }  # fmt: skip
    secret = "postgresql://u:topsecret@db.example/d"
    result = ran(yard, tmp_path, suites, HELLO_URL=url, DATABASE_URL=secret)
    log = (tmp_path / "logs/e2e-hello.log").read_text()
    assert (result.verdict, result.tests, result.failures) == (Verdict.PASSED, 3, ()), log
    assert "2 passed" in log
    assert "in a container of daybreak/hello:" in log
    assert "test_nothing_of" in (tmp_path / "logs/junit-hello.xml").read_text()
    assert yard.client.containers.list(all=True) == []

    # One that fails always, one that fails once, one secret that a failure shows.
    flaky = (
        "import os, pathlib\nSEEN = pathlib.Path('/daybreak/notes/seen')\n"
        "def test_once():\n    first = not SEEN.exists()\n    SEEN.touch()\n    assert not first\n"
        "def test_never():\n    assert os.environ['DATABASE_URL'] == 'x'\n"
    )
    result = ran(yard, tmp_path, {"hello/test_inside.py": flaky}, DATABASE_URL=secret)
    assert (result.verdict, result.tests) == (Verdict.FAILED, 3)
    assert [name for name, _ in result.failures] == ["hello.test_inside::test_never"]
    assert result.flaky == ("hello.test_inside::test_once",)
    said = "".join(path.read_text() for path in (tmp_path / "logs").rglob("*") if path.is_file())
    assert "topsecret" not in said + str(result.failures)


def test_an_engine_of_another_machine_is_refused() -> None:
    far = EngineSettings(url="ssh://far.example")
    assert ImageSettings(engine=far, tests={"unit"}).tests == {"unit"}
    with pytest.raises(
        ValidationError, match=r"`tests` has e2e, and the engine ssh://far\.example is on another"
    ):
        ImageSettings(engine=far, tests={"unit", "e2e"})


def test_only_what_covers_one_service_alone_goes_to_its_image() -> None:
    covered = {
        "a/test_a.py": frozenset({"a"}), "a/conftest.py": frozenset({"a"}),
        "ab/test_ab.py": frozenset({"a", "b"}), "b/test_b.py": frozenset({"b"}),
        "c/test_c.py": frozenset({"c"}), "test_any.py": None,
        "a/test_left.py": frozenset({"a"}),
    }  # fmt: skip
    assert groups(covered, {"a", "b"}, {"a/test_left.py"}) == {
        "a": frozenset({"a/test_a.py"}), "b": frozenset({"b/test_b.py"}),
    }  # fmt: skip
