"""`base_images` as Airflow runs it, on a real engine: all bases of main, and what its own prune leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from examples.acme_history import create_repository
from tests.dags.test_nightly import ROOT
from tests.docker.conftest import Yard

pytestmark = pytest.mark.deep

RUN = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
dag = DagBag(sys.argv[1]).dags["base_images"]
for _ in range(2):
    run = dag.test(logical_date=None)
    ended = {f"{ti.task_id} {ti.rendered_map_index or ''}".strip(): str(ti.state)
             for ti in run.get_task_instances()}
    print("ANSWER" + json.dumps({"state": str(run.state), "tasks": ended}), flush=True)
"""


def test_every_base_of_main_is_built_and_stays(yard: Yard, tmp_path: Path) -> None:
    create_repository(tmp_path / "acme")
    at = tmp_path / "daybreak.yaml"
    # Nothing is kept for its age: what was built a moment ago is kept because main needs it.
    images = {"engine": {"url": yard.engine.url}, "network": "host", "keep": 1, "keep_days": 0}
    at.write_text(yaml.safe_dump({
        "home": str(tmp_path / "home"), "registry": f"sqlite:///{tmp_path}/registry.db",
        "store": (tmp_path / "store").as_uri(), "monorepo": {"url": str(tmp_path / "acme")},
        "build": {"images": images},
    }))  # fmt: skip
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environ |= {
        "AIRFLOW_HOME": str(tmp_path / "airflow"), "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "DAYBREAK_CONFIG": str(at),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
    }  # fmt: skip
    tools = Path(sys.executable).parent

    def run(*command: str) -> str:
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    run(str(tools / "airflow"), "db", "migrate")
    run(str(tools / "airflow"), "pools", "set", "builds", "2", "builds")
    run(str(tools / "daybreak"), "registry", "migrate")
    said = run(sys.executable, "-c", RUN, str(ROOT / "dags"))
    answers = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("ANSWER")]
    tasks = ("find", "prune", *(f"base {name}" for name in ("fleet", "telemetry", "trips")))
    assert answers == [{"state": "success", "tasks": dict.fromkeys(tasks, "success")}] * 2
    assert said.count("building its base") == 3, "the second time all is there"
    labelled = yard.client.images.list(filters={"label": "dev.daybreak.base.key"})
    assert len(labelled) == 3
