"""One table of pools: it is what the tasks name and what Airflow imports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daybreak.orchestration.pools import POOLS, main

ROOT = Path(__file__).resolve().parents[2]


def test_every_pool_that_a_task_names_is_in_the_table_and_the_other_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    resource = {"name": "geo", "type": "package", "dependencies": [], "actions": ["build"]}
    (home / "graph.json").write_text(json.dumps({"resources": [{**resource, "has_tests": False}]}))
    monkeypatch.setenv("DAYBREAK_HOME", str(home))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"))
    assert bag.import_errors == {}
    named = {task.pool for dag in bag.dags.values() for task in dag.tasks}
    assert named - {"default_pool"} == {pool.name for pool in POOLS}


def test_a_pool_that_an_admin_resized_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = tmp_path / "export.json"
    export.write_text(json.dumps({"builds": {"slots": 12, "description": "ours"}, "default_pool": {}}))
    main(["--beside", str(export)])
    assert set(json.loads(capsys.readouterr().out)) == {pool.name for pool in POOLS} - {"builds"}
    main([])
    assert set(json.loads(capsys.readouterr().out)) == {pool.name for pool in POOLS}
