"""The BCD DAG as Airflow sees it, and its runs, executed by Airflow in one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from daybreak.environment.bcd.records import BcdRuns
from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.registry.outbox import Outbox
from daybreak.settings import load
from examples.standins.aws.emulator import AwsEmulator
from tests.environment.test_state import put
from tests.monorepo import HEADER, Monorepo, package

ROOT = Path(__file__).resolve().parents[2]
PARSE = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
dag = bag.dags["bcd"]
heavy = [m for m in ("boto3", "docker", "github", "slack_sdk", "sqlalchemy.ext.automap") if m in sys.modules]
print("ANSWER" + json.dumps({
    "errors": bag.import_errors, "heavy": heavy, "doc": dag.doc_md, "paused": dag.is_paused_upon_creation,
    "tasks": {t.task_id: {
        "timeout": t.execution_timeout.total_seconds() if t.execution_timeout else None, "pool": t.pool,
        "up": sorted(t.upstream_task_ids), "teardown": t.is_teardown,
    } for t in dag.tasks},
    "params": {name: {**dag.params.get_param(name).schema, "said": dag.params.get_param(name).description}
               for name in dag.params},
}))
"""
RUN = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
dag = DagBag(sys.argv[1]).dags["bcd"]
for conf in json.loads(sys.argv[2]):
    run = dag.test(logical_date=None, run_conf=conf)
    ended = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    print("ANSWER" + json.dumps({"run_id": run.run_id, "state": str(run.state), "tasks": ended}), flush=True)
"""
RESOURCES = (
    f"{HEADER}"
    'COMMON = Resource(name="common", type=rt.PACKAGE, dependent_paths=["packages/common"])\n'
    'GEO = Resource(name="geo", type=rt.PACKAGE, packages_dependency=[COMMON], '
    'dependent_paths=["packages/geo"])\n'
)


def airflow(home: Path, script: str, *words: str, **more: str) -> list[dict[str, Any]]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environ |= {
        "AIRFLOW_HOME": str(home / "airflow"), "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "DAYBREAK_HOME": str(home), **more,
    }  # fmt: skip
    command = [sys.executable, "-c", script, str(ROOT / "dags"), *words]
    done = subprocess.run(command, env=environ, cwd=home, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert lines, done.stdout[-3000:] + done.stderr[-3000:]
    return [json.loads(line.removeprefix("ANSWER")) for line in lines]


@pytest.fixture(scope="module")
def dag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("home")
    node = {"type": "package", "actions": ["build", "test"], "has_tests": True}
    resources = [
        {**node, "name": "common", "dependencies": []},
        {**node, "name": "geo", "dependencies": ["common"]},
    ]
    graph = {"schema": 1, "commit": "c", "digest": "d", "resources": resources}
    (home / "graph.json").write_text(json.dumps(graph))
    accounts = {"1" * 12: {}}
    names = [("dev-01", "dev"), ("dev-02", "dev"), ("merge-01", "merge")]
    environments = [{"name": name, "role": role, "account": "1" * 12} for name, role in names]
    config = home / "daybreak.yaml"
    config.write_text(yaml.safe_dump({"aws": {"accounts": accounts}, "environments": environments}))
    return airflow(home, PARSE, DAYBREAK_CONFIG=str(config))[0]


def test_it_imports_light_and_is_not_paused_and_says_what_to_do_when_it_fails(dag: dict[str, Any]) -> None:
    assert (dag["errors"], dag["heavy"], dag["paused"]) == ({}, [], False)
    assert "**When it fails**" in dag["doc"]
    assert [name for name, task in dag["tasks"].items() if not task["timeout"]] == []


def test_a_run_prepares_builds_deploys_and_ends_with_a_report_in_any_case(dag: dict[str, Any]) -> None:
    tasks = dag["tasks"]
    assert set(tasks["common.build"]["up"]) == {"prepare", "newcomers.build"}
    assert "common.test" in tasks["geo.build"]["up"]
    assert set(tasks["artifacts"]["up"]) >= {"geo.test", "newcomers.build"}
    assert (tasks["deploy"]["up"], tasks["e2e"]["up"]) == (["artifacts"], ["deploy"])
    assert tasks["report"]["up"] == ["artifacts", "deploy", "e2e"]
    assert {name for name, task in tasks.items() if task["teardown"]} == {"report"}


def test_the_form_offers_the_environments_of_people_and_the_resources_there_are(dag: dict[str, Any]) -> None:
    form = dag["params"]
    assert form["environment"]["enum"] == ["dev-01", "dev-02"]
    assert form["resources"]["examples"] == ["common", "geo"]
    assert [name for name, each in form.items() if not (each["title"] and each["said"])] == []


@pytest.mark.deep
def test_a_locked_environment_is_refused_and_a_build_asks_nobody(
    tmp_path: Path, aws: AwsEmulator, aws_account: str
) -> None:
    monorepo = Monorepo(tmp_path / "acme")
    monorepo.commit(
        {"resources.py": RESOURCES, **package("common"), **package("geo", dependencies=("common",))}
    )
    home = tmp_path / "home"
    home.mkdir()
    config = tmp_path / "daybreak.yaml"
    name = f"dev-{aws_account}"
    connection = {"conn_type": "aws", "login": aws_account, "password": "x",
                  "extra": {"region_name": "us-east-1", "endpoint_url": aws.endpoint_url}}  # fmt: skip
    config.write_text(yaml.safe_dump({
        "monorepo": {"url": str(monorepo.path)}, "home": str(home),
        "aws": {"endpoint_url": aws.endpoint_url, "accounts": {aws_account: {"connection": "aws_test"}}},
        "environments": [{"name": name, "account": aws_account}],
        # `dag.test()` triggers as this user, so it may ask on others' behalf; nobody listens there.
        "airflow": {"url": "http://127.0.0.1:9", "username": "dag_test", "password": "x"},
    }))  # fmt: skip
    installation = Installation.open(load(config, {}))
    installation.register()
    put(installation.environments, State.READY, name)
    installation.leases.lock(name, by="bob", duration=timedelta(hours=2), reason="load test")
    environ = {"DAYBREAK_CONFIG": str(config), "AIRFLOW_CONN_AWS_TEST": json.dumps(connection)}
    subprocess.run(
        [Path(sys.executable).parent / "airflow", "db", "migrate"], check=True, capture_output=True,
        env={**os.environ, "AIRFLOW_HOME": str(home / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
    )  # fmt: skip
    builds = {"environment": name, "everything": True, "actions": ["build", "test"], "by": "dana"}

    locked, built = airflow(
        home, RUN,
        json.dumps([{"environment": name, "by": "dana"}, builds]),
        **environ,
    )  # fmt: skip

    runs = BcdRuns(installation.engine, installation.clock)
    assert (locked["state"], locked["tasks"]["prepare"]) == ("failed", "failed")
    ran = {task for task, state in locked["tasks"].items() if state not in ("skipped", "upstream_failed")}
    assert ran == {"prepare", "report"}, locked
    said = runs.get(locked["run_id"])
    assert (said.outcome, said.actor) == ("refused", "dana")
    assert said.report is not None
    assert f"{name} is locked by bob until" in said.report["message"]
    # A run that only builds asks nobody, and leaves the lease alone.
    assert built["state"] == "success", built
    assert {task: built["tasks"][task] for task in ("newcomers.build", "deploy", "e2e", "report")} == {
        "newcomers.build": "success", "deploy": "skipped", "e2e": "skipped", "report": "success",
    }  # fmt: skip
    assert runs.get(built["run_id"]).outcome == "done"
    env = installation.environments.get(name)
    assert (env.lease_owner, env.state) == ("bob", State.READY)
    outbox, told = Outbox(installation.engine, installation.clock), []
    while claimed := outbox.claim():  # one after another for each recipient
        told += [each.key for each in claimed]
        for each in claimed:
            assert outbox.sent(each, {})
    assert len(told) == 2, told
