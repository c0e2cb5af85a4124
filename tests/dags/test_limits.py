"""Whatever runs suites has the time that the settings give to them, and whoever waits for it waits longer."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.settings import BuildSettings, Limits
from tests.dags.test_bcd import airflow

PARSE = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
print("ANSWER" + json.dumps({
    "errors": bag.import_errors,
    "runs": {name: bag.dags[name].dagrun_timeout.total_seconds() for name in ("bcd", "pr_e2e")},
    "e2e": {f"{dag.dag_id}/{t.task_id}": t.execution_timeout.total_seconds()
            for dag in bag.dags.values() for t in dag.tasks if t.task_id.rpartition(".")[2] == "e2e"},
}))
"""


@pytest.mark.parametrize(
    ("seconds", "night", "lane", "bcd", "pull"), [(900, 1.5, 2, 3, 20), (3600, 3, 5, 4.5, 23)]
)
def test_all_that_run_suites_have_the_time_that_the_settings_give(
    tmp_path: Path, seconds: int, night: float, lane: float, bcd: float, pull: float
) -> None:
    config = tmp_path / "daybreak.yaml"
    config.write_text(json.dumps({"build": {"timeout_seconds": seconds}}))
    [found] = airflow(tmp_path, PARSE, DAYBREAK_CONFIG=str(config))
    assert found["errors"] == {}
    hours = {task: each / 3600 for task, each in found["e2e"].items()}
    assert hours == {"nightly/environment.e2e": night, "bcd/e2e": night, "pr_e2e/e2e": lane}
    assert {name: each / 3600 for name, each in found["runs"].items()} == {"bcd": bcd, "pr_e2e": pull}


@given(st.integers(1, 24 * 3600))
def test_two_tries_fit_into_a_step_a_step_into_its_task_and_a_task_into_its_run(seconds: int) -> None:
    limits = Limits(BuildSettings(timeout_seconds=seconds))
    assert timedelta(seconds=2 * seconds) < limits.e2e < limits.e2e_task < limits.bcd
    assert limits.e2e_task < limits.lane_task < limits.lane < limits.pull_request
    assert limits.lane > timedelta(hours=2), "a deploy has two hours"
