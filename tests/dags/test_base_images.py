"""Base images as Airflow sees them: a DAG of their own, and a task before the build of each service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.dags.test_nightly import ROOT, resource

SCRIPT = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
print("ANSWER" + json.dumps({
    "errors": bag.import_errors,
    "docker": "docker" in sys.modules,
    "nightly": {t.task_id: sorted(t.upstream_task_ids) for t in bag.dags["nightly"].tasks},
    "bases": {t.task_id: sorted(t.upstream_task_ids) for t in bag.dags["base_images"].tasks},
    "follows": str(bag.dags["base_images"].timetable.asset_condition),
    "lands": [each.name for each in bag.dags["pr_e2e"].get_task("land").outlets],
    "doc": bag.dags["base_images"].doc_md,
}))
"""


def test_the_base_of_a_service_is_built_first_and_all_of_them_after_a_landing(tmp_path: Path) -> None:
    graph = [resource("common"), {**resource("trips", "common"), "type": "service"}]
    graph_file = {"schema": 1, "commit": "c", "digest": "d", "resources": graph}
    (tmp_path / "graph.json").write_text(json.dumps(graph_file))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT / "dags")],
        env={**os.environ, "DAYBREAK_HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path / "airflow"),
             "DAYBREAK_BUILD__IMAGES__PYTHON": "python:3.13-slim"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert "ANSWER" in done.stdout, done.stderr[-3000:]
    seen = json.loads(done.stdout.split("ANSWER", 1)[1])
    assert seen["errors"] == {}
    assert not seen["docker"], "parsing imports no client of an engine"
    assert seen["nightly"]["trips.build"] == ["trips.base"]
    assert "common.test" in seen["nightly"]["trips.base"]
    assert "common.base" not in seen["nightly"]
    assert seen["bases"] == {"find": [], "base": ["find"], "prune": ["base"]}
    assert "daybreak-main" in seen["follows"]
    assert seen["lands"] == ["daybreak-main"]
    assert "When it fails" in seen["doc"]
