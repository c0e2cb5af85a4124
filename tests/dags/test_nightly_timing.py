"""What the report takes for the night's graph and pools is what `dags/nightly.py` says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.environment.night.tasks import BUILD_POOL, pool_of

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from airflow.dag_processing.dagbag import DagBag
dag = DagBag(sys.argv[1]).dags["nightly"]
print("ANSWER" + json.dumps({
    t.task_id: {"pool": t.pool, "after": sorted(t.get_flat_relative_ids(upstream=True))} for t in dag.tasks
}))
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    home = tmp_path_factory.mktemp("home")
    resource = {"type": "package", "dependencies": [], "actions": ["build", "test"], "has_tests": True}
    resources = [{**resource, "name": "common"}, {**resource, "name": "geo", "dependencies": ["common"]}]
    (home / "graph.json").write_text(
        json.dumps({"schema": 1, "commit": "c", "digest": "d", "resources": resources})
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT / "dags")],
        env={**os.environ, "DAYBREAK_HOME": str(home), "AIRFLOW_HOME": str(home / "airflow")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "ANSWER" in done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout.split("ANSWER", 1)[1])


def test_every_stage_and_every_build_holds_a_slot_of_the_pool_that_the_report_counts(tasks: dict) -> None:
    stages = {name for name in tasks if name.startswith(("evening.", "environment."))}
    assert {name: tasks[name]["pool"] for name in stages} == {
        name: pool_of(name.split(".")[1]) for name in stages
    }
    builds = [name for name in tasks if name.endswith((".build", ".test"))]
    assert len(builds) == 5  # two resources, and the newcomers
    assert {tasks[name]["pool"] for name in builds} == {BUILD_POOL}


def test_builds_come_after_every_evening_and_before_every_morning(tasks: dict) -> None:
    for name in ("common.build", "common.test", "geo.build", "geo.test"):
        assert "evening.tear_down" in tasks[name]["after"]
        assert name in tasks["environment.scorch"]["after"]
    assert "common.test" in tasks["geo.build"]["after"]
