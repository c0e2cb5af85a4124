"""The nightly DAG as Airflow sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import json, logging, sys
logging.disable(logging.CRITICAL)
before = set(sys.modules)
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
heavy = [m for m in ("boto3", "docker", "github", "slack_sdk", "sqlalchemy.ext.automap") if m in sys.modules]
dag = bag.dags.get("nightly")
print("ANSWER" + json.dumps({
    "errors": bag.import_errors,
    "heavy": heavy,
    "tasks": {t.task_id: {
        "timeout": t.execution_timeout.total_seconds() if t.execution_timeout else None,
        "up": sorted(t.upstream_task_ids),
    } for t in dag.tasks},
    "caretaker": [
        {"id": t.task_id, "timeout": t.execution_timeout.total_seconds(), "retries": t.retries}
        for t in bag.dags["caretaker"].tasks
    ],
    "caretaker_doc": bag.dags["caretaker"].doc_md,
    "doc": dag.doc_md, "paused": dag.is_paused_upon_creation, "params": sorted(dag.params),
}))
"""


def parse(home: Path, resources: list[dict]) -> dict:
    home.mkdir(exist_ok=True)
    graph = {"schema": 1, "commit": "c", "digest": "d", "resources": resources}
    (home / "graph.json").write_text(json.dumps(graph))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT / "dags")],
        env={**os.environ, "DAYBREAK_HOME": str(home), "AIRFLOW_HOME": str(home / "airflow")},
        capture_output=True, text=True,
    )  # fmt: skip
    assert "ANSWER" in done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout.split("ANSWER", 1)[1])


def resource(name: str, *needs: str) -> dict:
    return {
        "name": name, "type": "package", "dependencies": list(needs), "actions": ["build", "test"],
        "has_tests": True,
    }  # fmt: skip


@pytest.fixture(scope="module")
def dag(tmp_path_factory: pytest.TempPathFactory) -> dict:
    graph = [resource("common"), resource("geo", "common"), resource("billing", "common")]
    return parse(tmp_path_factory.mktemp("home"), graph)


def test_it_imports_without_errors_and_without_heavy_modules(dag: dict) -> None:
    assert dag["errors"] == {}
    assert dag["heavy"] == []


def test_every_task_has_a_timeout_and_the_dag_says_what_to_do_when_it_fails(dag: dict) -> None:
    assert [name for name, task in dag["tasks"].items() if not task["timeout"]] == []
    assert "**When it fails**" in dag["doc"]


def test_the_caretaker_is_one_task_that_ends_before_its_run_and_says_what_to_do(dag: dict) -> None:
    assert dag["caretaker"] == [{"id": "take_care", "timeout": 240.0, "retries": 2}]
    assert "**When it fails**" in dag["caretaker_doc"]


def test_a_new_installation_starts_paused(dag: dict) -> None:
    assert dag["paused"] is True


def test_the_graph_of_the_catalog_is_the_graph_of_the_groups(dag: dict) -> None:
    assert dag["tasks"]["geo.build"]["up"] == ["common.test", "newcomers.build", "pin_main"]
    assert dag["tasks"]["billing.test"]["up"] == ["billing.build"]


def test_a_group_that_is_skipped_lets_nothing_start_or_end_too_soon(dag: dict) -> None:
    """Every group waits for the plan and the newcomers itself, and is itself waited for."""
    names = ("common", "geo", "billing")
    for name in names:
        assert {"pin_main", "newcomers.build"} <= set(dag["tasks"][f"{name}.build"]["up"])
    assert set(dag["tasks"]["artifacts"]["up"]) == {"newcomers.build", *(f"{name}.test" for name in names)}


def test_what_the_graph_does_not_show_yet_is_built_before_what_needs_it(dag: dict) -> None:
    assert dag["tasks"]["newcomers.build"]["up"] == ["pin_main"]
    assert "newcomers.build" in dag["tasks"]["common.build"]["up"]
    assert "newcomers.build" in dag["tasks"]["artifacts"]["up"]


def test_the_stages_of_an_environment_come_in_the_mission_s_order(dag: dict) -> None:
    stages = ["scorch", "infra", "data", "deploy", "seed", "schedules", "e2e", "verdict"]
    for before, after in pairwise(stages):
        assert f"environment.{before}" in dag["tasks"][f"environment.{after}"]["up"]


def test_two_hundred_resources_are_two_hundred_groups(tmp_path: Path) -> None:
    many = [resource(f"r{n}", *([f"r{n - 1}"] if n else [])) for n in range(200)]
    tasks = parse(tmp_path / "home", many)["tasks"]
    assert {f"r{n}.build" for n in range(200)} <= set(tasks)
