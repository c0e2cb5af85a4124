"""Unit tests of resources: against what was built, once for the same inputs."""

import pytest

from daybreak.build.checks import TestsFailed, TestStatus
from daybreak.errors import UsageError
from tests.build.test_builder import LAMBDA, LAMBDA_FILES, SERVICE, SERVICE_FILES

TEST = "packages/common/tests/test_common.py"


def test_tests_pass_once_for_the_same_inputs(works):
    works.build("common")
    first, again = works.test("common"), works.test("common")
    assert (first.status, first.tests) == (TestStatus.PASSED, 1)
    assert (again.status, again.tests) == (TestStatus.REUSED, 1)
    assert list((works.home / "tmp").iterdir()) == []
    logs = works.artifacts.store.list("logs/test/common")
    assert b"1 passed" in works.artifacts.store.get(logs[0])


def test_changed_tests_run_again_against_the_same_artifact(works):
    works.build("common")
    works.test("common")
    key = works.keys["common"]
    works.commit({"packages/common/tests/test_more.py": "def test_more():\n    pass\n"})
    assert works.keys["common"] == key
    result = works.test("common")
    assert (result.status, result.tests) == (TestStatus.PASSED, 2)


def test_tests_need_the_artifact(works):
    with pytest.raises(UsageError, match=r"common .* is not built yet"):
        works.test("common")


def test_tests_see_what_was_built_and_not_the_sources(works):
    works.commit(
        {
            "packages/common/pyproject.toml": (
                works.monorepo.path / "packages/common/pyproject.toml"
            ).read_text(),
            TEST: "import acme_common as c\ndef test_where():\n    assert 'site-packages' in c.__file__\n",
        }
    )
    works.build("common")
    assert works.test("common").tests == 1


def test_a_failing_test_is_named_with_the_last_lines(works):
    works.commit({TEST: "def test_good():\n    pass\ndef test_bad():\n    assert 1 == 2, 'one is not two'\n"})
    works.build("common")
    with pytest.raises(TestsFailed, match=r"common: 1 of 2 tests failed: .*test_common::test_bad") as caught:
        works.test("common")
    assert "one is not two" in str(caught.value)
    with pytest.raises(TestsFailed):
        works.test("common")


def test_a_test_folder_without_tests_is_a_failure(works):
    works.commit({TEST: "x = 1\n"})
    works.build("common")
    with pytest.raises(TestsFailed, match="it has a test folder, but no test ran"):
        works.test("common")


def test_tests_that_are_all_skipped_are_a_failure(works):
    works.commit({TEST: "import pytest\n@pytest.mark.skip\ndef test_x():\n    pass\n"})
    works.build("common")
    with pytest.raises(TestsFailed, match="no test ran"):
        works.test("common")


def test_a_file_that_cannot_be_imported_is_a_failure_that_names_it(works):
    works.commit({TEST: "import nowhere\n"})
    works.build("common")
    with pytest.raises(TestsFailed, match=r"test_common(.|\n)*No module named 'nowhere'"):
        works.test("common")


def test_tests_that_kill_their_process_are_a_failure(works):
    works.commit({TEST: "import os\ndef test_x():\n    os._exit(0)\n"})
    works.build("common")
    with pytest.raises(TestsFailed):
        works.test("common")


def test_tests_that_do_not_end_are_stopped(works):
    works.commit({TEST: "import time\ndef test_x():\n    time.sleep(600)\n"})
    works.build("common")
    works.settings = works.settings.model_copy(update={"timeout_seconds": 4})
    with pytest.raises(TestsFailed, match=r"build\.timeout_seconds"):
        works.test("common")


def test_a_test_sees_none_of_the_orchestrators_secrets(works, monkeypatch):
    for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AWS_SECRET_ACCESS_KEY", "DAYBREAK_REGISTRY"):
        monkeypatch.setenv(name, "s3cret")
    works.commit(
        {
            TEST: "import os\ndef test_x():\n    assert 's3cret' not in os.environ.values()\n"
            "    assert not [name for name in os.environ if name.startswith("
            "('AIRFLOW', 'AWS', 'DAYBREAK'))]\n"
        }
    )
    works.build("common")
    assert works.test("common").tests == 1


def test_settings_of_pytest_around_the_home_do_not_count(works, tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('of somebody else')\n")
    works.declare(LAMBDA, LAMBDA_FILES)
    for name in ("common", "geo", "scorer"):
        works.build(name)
    assert works.test("common").tests == 1
    assert works.test("scorer").tests == 1


def test_a_service_is_tested_with_its_lock_and_all_wheels(works):
    works.declare(
        SERVICE,
        {
            **SERVICE_FILES,
            "services/trips/tests/test_trips.py": "import trips\ndef test_x():\n    trips.iniconfig\n",
        },
    )
    for name in ("common", "geo", "trips"):
        works.build(name)
    assert works.test("trips").tests == 1


def test_a_requirement_that_no_lock_brings_is_found(works):
    files = {**SERVICE_FILES, "services/trips/requirements.txt": "",
             "services/trips/tests/test_trips.py": "def test_x():\n    pass\n"}  # fmt: skip
    files["services/trips/pyproject.toml"] = files["services/trips/pyproject.toml"].replace(
        "iniconfig", "tabulate"
    )
    works.declare(SERVICE, files)
    for name in ("common", "geo", "trips"):
        works.build(name)
    with pytest.raises(TestsFailed, match="tabulate"):
        works.test("trips")


def test_a_resource_without_tests_has_nothing_to_test(works):
    works.declare(
        'X = Resource(name="x", type=rt.SERVICE, dependent_paths=["x"], options={"command": ["true"]})\n',
        {"x/pyproject.toml": ""},
    )
    assert works.test("x").status is TestStatus.NONE


def test_a_lock_of_the_team_decides_which_pytest_runs(works):
    lock = (works.monorepo.path / "packages/common/requirements-test.txt").relative_to(works.monorepo.path)
    works.commit({str(lock): "nothing-of-that-name==1 --hash=sha256:" + "0" * 64 + "\n"})
    works.build("common")
    with pytest.raises(TestsFailed, match="nothing-of-that-name"):
        works.test("common")
