"""Many builds at once: in order, each once, and a failure stops its dependents only."""

import threading
from pathlib import Path

from daybreak.build.process import stopping
from daybreak.build.runner import Outcome
from tests.build.test_builder import COMMAND, SERVICE, SERVICE_FILES


def outcomes(works, *names):
    return {progress.resource: progress.outcome for progress in works.all(*names)}


def test_everything_is_built_cold_and_nothing_the_second_time(works):
    works.declare(SERVICE, SERVICE_FILES)
    cold = list(works.all())
    assert {progress.outcome for progress in cold} == {Outcome.BUILT}
    order = [progress.resource for progress in cold]
    assert order.index("common") < order.index("geo") < order.index("trips")
    assert outcomes(works) == dict.fromkeys(("common", "geo", "trips"), Outcome.REUSED)


def test_only_what_changed_and_its_dependents_are_built_again(works):
    works.declare(COMMAND, {"x/build.sh": "true"})
    outcomes(works)
    works.commit({"packages/geo/src/acme_geo/more.py": ""})
    assert outcomes(works) == {"common": Outcome.REUSED, "geo": Outcome.BUILT, "x": Outcome.REUSED}


def test_a_name_brings_what_it_needs_and_no_more(works):
    works.declare(COMMAND, {"x/build.sh": "true"})
    assert set(outcomes(works, "geo")) == {"common", "geo"}


def test_a_failure_skips_its_dependents_only(works):
    broken = (
        '[build-system]\nrequires = []\nbuild-backend = "nowhere"\n[project]\nname = "geo"\nversion = "1"\n'
    )
    works.declare(
        SERVICE + COMMAND, {**SERVICE_FILES, "x/build.sh": "true", "packages/geo/pyproject.toml": broken}
    )
    found = {progress.resource: progress for progress in works.all()}
    assert {name: progress.outcome for name, progress in found.items()} == {
        "common": Outcome.BUILT, "geo": Outcome.FAILED, "trips": Outcome.SKIPPED, "x": Outcome.BUILT,
    }  # fmt: skip
    assert found["trips"].detail == "geo failed"
    assert "geo cannot be built" in found["geo"].detail


def test_failed_tests_stop_what_depends_on_them(works):
    works.commit({"packages/common/tests/test_common.py": "def test_x():\n    assert False\n"})
    found = {progress.resource: progress for progress in works.all()}
    assert found["common"].outcome is Outcome.FAILED
    assert "test_x" in found["common"].detail
    assert found["geo"].outcome is Outcome.SKIPPED


def test_a_caller_that_leaves_early_stops_what_is_running(works, tmp_path):
    mark = tmp_path / "child"
    works.declare(COMMAND, {"x/build.sh": f"echo $$ > {mark}; sleep 600"})
    events = works.all()
    assert {next(events).resource, next(events).resource} == {"common", "geo"}
    events.close()
    status = Path(f"/proc/{int(mark.read_text())}/stat")
    assert not status.exists() or status.read_text().split(") ")[1][0] == "Z"
    assert not works.artifacts.exists("x", works.keys["x"])


def test_a_caller_that_is_to_stop_stops_what_is_running_and_hears_no_more_of_it(works, tmp_path):
    mark, stop = tmp_path / "child", threading.Event()
    works.declare(COMMAND, {"x/build.sh": f"echo $$ > {mark}; sleep 600"})
    before = stopping.set(stop)
    try:
        events = works.all()
        assert {next(events).resource, next(events).resource} == {"common", "geo"}
        stop.set()
        assert list(events) == []
    finally:
        stopping.reset(before)
    status = Path(f"/proc/{int(mark.read_text())}/stat")
    assert not status.exists() or status.read_text().split(") ")[1][0] == "Z"
    assert not works.artifacts.exists("x", works.keys["x"])


def test_what_is_not_built_lets_its_dependents_pass(works):
    works.declare(
        'EMR = Resource(name="cluster", type=rt.EMR, dependent_paths=["x"])\n'
        'Y = Resource(name="y", type=rt.COMMAND, depends_on=[EMR], dependent_paths=["x"])\n',
        {"x/file": ""},
    )
    assert outcomes(works, "y") == {"y": Outcome.BUILT}
