"""The e2e suites of a commit: what they see, and the three verdicts."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib.resources import files
from pathlib import Path

import pytest

from daybreak.deploy.running import Ended
from daybreak.disk import DiskFull
from daybreak.environment.e2e import E2EResult, Verdict, judge, run_e2e
from daybreak.errors import UsageError
from daybreak.settings import BuildSettings
from tests.environment.test_failures import FLASK
from tests.fixtures.disk import FULL, Disk
from tests.monorepo import Monorepo

LOCK = files("daybreak.build").joinpath("pytest-lock.txt").read_text()
PASSES = "def test_it(): pass\n"
Run = Callable[..., E2EResult]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all tests here: the suites' virtual environment is made once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def run(tmp_path: Path, home: Path) -> Run:
    def run(
        suites: dict[str, str],
        *,
        timeout: int = 60,
        lock: str | None = LOCK,
        without: Collection[str] = (),
        reach: Callable[[], object] | None = None,
        at: Path = home,
        **variables: str,
    ) -> E2EResult:
        written = {f"e2e/{name}": content for name, content in suites.items()}
        if lock is not None and suites:
            written["e2e/requirements.txt"] = lock
        monorepo = Monorepo(tmp_path / "repo")
        # Not the suites' business: pytest must not pick this up.
        commit = monorepo.commit(
            {"pytest.ini": "[pytest]\naddopts = --broken\n", "conftest.py": "1/0", **written}
        )
        monorepo.write({"e2e/test_uncommitted.py": "def test_never(): assert False"})
        settings = BuildSettings(python="3.11", timeout_seconds=timeout)
        return run_e2e(
            monorepo.repo, commit, "e2e", variables, at, settings, tmp_path / "logs",
            without=without, reach=reach,
        )  # fmt: skip

    return run


def test_suites_that_pass_are_passed_with_their_number(run: Run) -> None:
    result = run({"fleet/test_fleet.py": PASSES, "trips/test_trips.py": PASSES + "def test_more(): pass\n"})
    assert (result.verdict, result.tests, result.failures) == (Verdict.PASSED, 3, ())
    assert result.junit.read_text().startswith("<?xml")


def test_a_failed_test_is_named_with_its_message(run: Run) -> None:
    result = run({"fleet/test_fleet.py": PASSES + "def test_bad(): assert 1 == 2, 'no vehicles'\n"})
    assert (result.verdict, result.tests) == (Verdict.FAILED, 2)
    [(name, message)] = result.failures
    assert name.endswith("test_fleet::test_bad")
    assert "no vehicles" in message


@pytest.mark.parametrize(
    "suites",
    [
        {},
        {"README.md": "no tests yet"},
        {"test_skipped.py": "import pytest\n@pytest.mark.skip\ndef test_it(): pass\n"},
    ],
    ids=["no folder", "no test", "only skipped"],
)
def test_no_test_at_all_is_not_run(run: Run, suites: dict[str, str]) -> None:
    result = run(suites)
    assert (result.verdict, result.tests, result.failures) == (Verdict.NOT_RUN, 0, ())


def test_suites_see_the_contract_and_nothing_of_the_orchestrator(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AWS_PROFILE",
        "DAYBREAK_REGISTRY",
        "PYTHONPATH",
        "GITHUB_TOKEN",
    ):
        monkeypatch.setenv(name, "secret")
    suite = """
import os, shutil, sys
def test_environment():
    assert os.environ["DAYBREAK_ENVIRONMENT"] == "dev-01"
    orchestrators = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AWS_PROFILE", "DAYBREAK_REGISTRY"}
    hidden = orchestrators | {"PYTHONPATH", "GITHUB_TOKEN"}
    assert not hidden & set(os.environ)
    assert shutil.which("python") == sys.executable
def test_no_packages_of_ours():
    import importlib.util
    assert not importlib.util.find_spec("airflow") and not importlib.util.find_spec("daybreak")
"""
    result = run({"test_environment.py": suite}, DAYBREAK_ENVIRONMENT="dev-01")
    assert (result.verdict, result.failures) == (Verdict.PASSED, ())


def test_secrets_of_a_failure_are_masked_everywhere(run: Run, tmp_path: Path) -> None:
    suite = (
        "import html, os\n"
        "def test_db(): print('x'); assert os.environ['DATABASE_URL'] == ''\n"
        "def test_page(): assert 0, html.escape(os.environ['A_TOKEN'])\n"
        "def test_token(): assert 0, os.environ['A_TOKEN']\n"
    )
    result = run({"test_db.py": suite}, DATABASE_URL="postgresql://u:topsecret@h/d", A_TOKEN="a<b&'c'")
    assert result.verdict is Verdict.FAILED
    kept = [path.read_text() for path in (tmp_path / "logs").iterdir()] + [str(result.failures)]
    assert len(kept) == 3
    assert all("h/d" in text for text in kept)
    assert not any("topsecret" in text for text in kept)
    assert not any(form in text for text in kept for form in ("a<b", "a&lt;b", "a&amp;lt;b"))


def test_a_page_that_a_service_answered_is_its_title_beside_what_the_test_asked(run: Run) -> None:
    suite = f"def test_bad(): assert 500 == 200, {FLASK!r} + 'x' * 2000\n"
    [(_, message)] = run({"test_bad.py": suite}).failures
    assert message == 'AssertionError: web page "500 Internal Server Error" (assert 500 == 200)'


def test_a_suite_that_cannot_be_imported_is_failed(run: Run) -> None:
    result = run({"test_ok.py": PASSES, "test_broken.py": "import no_such_module\n"})
    assert result.verdict is Verdict.FAILED
    assert "no_such_module" in str(result.failures)
    assert result.failures[-1][0] == "pytest"


def test_a_pytest_that_does_not_start_is_failed_with_its_last_words(run: Run) -> None:
    result = run({"test_ok.py": PASSES, "pytest.ini": "[pytest]\naddopts = --no-such-option\n"})
    assert result.verdict is Verdict.FAILED
    assert "no-such-option" in result.failures[0][1]


def test_a_suite_that_hangs_is_killed_and_failed(run: Run) -> None:
    result = run({"test_slow.py": "import time\ndef test_slow(): time.sleep(300)\n"}, timeout=3)
    assert (result.verdict, result.cut_off) == (Verdict.FAILED, True)
    assert "its time was over" in result.failures[0][1]


def test_folders_and_files_named_like_modules_of_python_hide_none_of_them(run: Run) -> None:
    uses = "import json, platform, queue\n"
    works = "def test_it():\n    assert platform.system() and queue.Queue and json.dumps({}) == '{}'\n"
    result = run(
        {
            "platform/test_it.py": uses + works,
            "queue/test_it.py": uses + works,
            "json/conftest.py": uses,
            "json/test_json.py": uses + works,
            "http.py": "raise RuntimeError('not meant')\n",
            "helper.py": "answer = 42\n",
            "test_root.py": "import http.client\nfrom helper import answer\n" + uses + works,
        }
    )
    assert (result.verdict, result.tests, result.failures) == (Verdict.PASSED, 4, ())


def test_a_full_disk_is_said_and_blames_no_test(run: Run, home: Path, disk: Disk) -> None:
    run({"test_it.py": PASSES})  # its virtual environment is there
    at = disk.folder / "home"
    at.mkdir()
    (at / "runtimes").symlink_to(home / "runtimes", target_is_directory=True)
    disk.fill()
    with pytest.raises(DiskFull, match=rf"({FULL}): {at}/.*\w; make room"):
        run({"test_it.py": PASSES}, at=at)
    disk.clear()
    again = run({"test_it.py": PASSES}, at=at, without=["test_uncommitted.py"])  # committed by now
    assert again.verdict is Verdict.PASSED
    assert not list((at / "tmp").iterdir())


@pytest.mark.parametrize("failures", [(), ("test_b::test_bad",)])
def test_what_failed_is_tried_again_and_what_passes_then_is_flaky(
    run: Run, tmp_path: Path, failures: tuple[str, ...]
) -> None:
    once = f"import pathlib\nmark = pathlib.Path({str(tmp_path / 'mark')!r})\n"
    flaky = f"{once}def test_flaky():\n    seen = mark.exists()\n    mark.touch()\n    assert seen\n"
    bad = f"def test_bad(): assert {not failures}, 'always'\n"
    asked: list[int] = []
    suites = {"test_a.py": flaky + "def test_fine(): pass\n", "test_b.py": bad}
    result = run(suites, reach=lambda: asked.append(1))
    # After each try that failed.
    assert len(asked) == 1 + len(failures)
    verdict = Verdict.FAILED if failures else Verdict.PASSED
    assert (result.verdict, result.tests, result.flaky) == (verdict, 3, ("test_a::test_flaky",))
    assert tuple(name for name, _ in result.failures) == failures


@pytest.mark.parametrize("away", [1, 2])
def test_without_an_answer_from_what_they_talk_to_suites_have_no_verdict(
    run: Run, tmp_path: Path, away: int
) -> None:
    """``away``: after which of the tries nobody answers."""
    mark = tmp_path / "tries"
    suite = f"def test_bad():\n    open({str(mark)!r}, 'a').write('x')\n    assert 0, 'AWS is not there'\n"
    asked: list[int] = []

    def reach() -> None:
        asked.append(1)
        if len(asked) == away:
            raise ConnectionError("still away")

    with pytest.raises(ConnectionError, match="still away"):
        run({"test_a.py": suite}, reach=reach)
    assert mark.read_text() == "x" * away


def test_suites_that_pass_ask_nobody_whether_aws_is_there(run: Run) -> None:
    def reach() -> None:
        raise AssertionError("asked")

    assert run({"test_a.py": PASSES}, reach=reach).verdict is Verdict.PASSED


def test_what_is_left_out_does_not_run(run: Run) -> None:
    suites = {"a/test_a.py": PASSES, "b/test_b.py": "def test_bad(): assert 0\n", "c_test.py": PASSES}
    result = run(suites, without=["b/test_b.py", "c_test.py"])
    assert (result.verdict, result.tests) == (Verdict.PASSED, 1)


def test_suites_without_a_lock_are_an_error_that_names_it(run: Run) -> None:
    with pytest.raises(UsageError, match=r"e2e/requirements\.txt at [0-9a-f]{12} does not exist"):
        run({"test_ok.py": PASSES}, lock=None)


@pytest.mark.parametrize("code", [0, 1, 2, -9])
def test_a_report_that_cannot_be_read_is_never_green(tmp_path: Path, code: int) -> None:
    junit, log = tmp_path / "junit.xml", tmp_path / "log"
    junit.write_text("<testsuites><testcase name='a'>")
    log.write_text("last words")
    result = judge(junit, Ended(code, False, log))
    assert result.verdict is Verdict.FAILED
    assert "last words" in result.failures[0][1]
