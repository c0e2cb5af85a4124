"""The demo's night, looked at from outside: Airflow's REST API, the command line, the AWS emulator, SQL."""

from __future__ import annotations

import json
import re
from datetime import date, datetime

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import inspect, text

from tests.system.conftest import DAG, Demo

pytestmark = pytest.mark.system

REBUILT = ("dev-01", "dev-03", "merge-01")
PRESERVED = "dev-02"
#: What acme's resources need, as `examples/acme/resources.py` says it; those that are built.
EDGES = {
    ("common", "geo"), ("common", "billing"), ("common", "fleet"), ("geo", "mobility"),
    ("billing", "mobility"), ("mobility", "trips"), ("fleet_db", "fleet"), ("fleet", "trips"),
    ("telemetry", "trips"), ("infra_base", "infra_ephemeral"), ("infra_ephemeral", "trip_scorer"),
    ("geo", "trip_scorer"),
}  # fmt: skip
STATUS = {"name", "state", "since", "verdict", "commit", "decision", "lease", "op", "fault"}


def test_the_graph_shows_acmes_resources_as_groups_with_the_catalogs_edges(demo: Demo) -> None:
    shown = demo.http.get("/ui/structure/structure_data", params={"dag_id": DAG}).json()
    groups = {
        node["id"]: {child["id"] for child in node["children"] if child["type"] == "task"}
        for node in shown["nodes"]
        if node.get("children")
    }
    between = {
        (source.removesuffix(".downstream_join_id"), target.removesuffix(".upstream_join_id"))
        for edge in shown["edges"]
        if (source := edge["source_id"]).endswith(".downstream_join_id")
        and (target := edge["target_id"]).endswith(".upstream_join_id")
    }
    known = json.loads((demo.folder / "home" / "graph.json").read_text())["resources"]
    built = {each["name"] for each in known if "build" in each["actions"]}
    catalog = {(needs, each["name"]) for each in known for needs in each["dependencies"]}

    assert built < set(groups)
    assert groups["fleet"] == {"fleet.build", "fleet.test"}
    assert {edge for edge in between if set(edge) <= built} == {
        edge for edge in catalog if set(edge) <= built
    }
    assert catalog >= EDGES


def test_the_demo_ends_with_its_table_its_login_and_one_line(demo: Demo) -> None:
    said = [line for line in demo.lines if line]
    url = re.escape(demo.record["urls"]["airflow"])
    count = "4 environments, 3 rebuilt, 1 preserved, 0 faulted"
    assert re.fullmatch(rf"night \d{{4}}-\d\d-\d\d: {count}; \d+ s; {url}", said[-1])
    assert said[-2].startswith("login: admin / ")
    rows = [line.split()[:2] for line in said[-6:-2]]
    assert rows == [
        ["dev-01", "rebuild"], ["dev-02", "preserve"], ["dev-03", "rebuild"], ["merge-01", "rebuild"],
    ]  # fmt: skip
    # Each environment's steps were told while the night went on.
    for name in REBUILT:
        assert any(f"environment.deploy       {name}" in line for line in said)
    noise = ("Warning", "NOTICE", "Traceback")
    assert not [line for line in said if any(word in line for word in noise)]


def test_the_report_is_airflows_times_and_the_runs_note_its_headline(demo: Demo) -> None:
    report = json.loads(demo.daybreak("night", "report", "--json"))
    assert report["timed_by"] == "airflow"
    figures = report["timing"]
    assert figures["ratio"] > 1
    assert figures["critical_path"] <= figures["makespan"]
    # From the decision to the last verdict, each named as people see it in the grid.
    chain = [link["name"] for link in figures["chain"]]
    assert chain[0] == "decide"
    assert re.fullmatch(r"(dev-0[13]|merge-01) verdict", chain[-2])
    assert chain[-1] == "report"
    assert {"aws", "builds", "e2e"} <= {pool["pool"] for pool in figures["pools"]}
    assert demo.rest.run(DAG, report["run_id"]).note == report["headline"]


def test_the_status_gives_state_verdict_commit_and_decision_of_each_environment(demo: Demo) -> None:
    answer = json.loads(demo.daybreak("env", "status", "--json"))
    assert set(answer) == {"night", "environments"}
    date.fromisoformat(answer["night"])
    found = {each["name"]: each for each in answer["environments"]}
    assert sorted(found) == sorted([*REBUILT, PRESERVED])
    main = demo.git("rev-parse", "main")
    for name, each in found.items():
        assert set(each) == STATUS
        assert datetime.fromisoformat(each["since"]).tzinfo
        assert set(each["decision"]) == {"action", "reason"}
        assert each["op"] is None, name
    for name in REBUILT[1:]:
        each = found[name]
        assert (each["verdict"], each["commit"]) == ("passed", main)
        assert each["decision"]["action"] == "rebuild"
    kept = found[PRESERVED]
    assert (kept["state"], kept["verdict"]) == ("READY", "passed")
    assert kept["commit"] == demo.git("rev-parse", "main~1")
    reason = "preserved tonight by dana (load test until morning)"
    assert kept["decision"] == {"action": "preserve", "reason": reason}


@pytest.mark.parametrize("name", REBUILT)
def test_what_yesterday_left_is_gone_and_fresh_seeds_are_there(demo: Demo, name: str) -> None:
    account = demo.account
    dynamodb, s3, sqs = demo.client("dynamodb"), demo.client("s3"), demo.client("sqs")
    assert dynamodb.scan(TableName=f"{name}-reference")["Count"] == 0
    assert dynamodb.scan(TableName=f"{name}-positions")["Count"] == 202
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=f"{name}-lake-{account}", Key="tmp/export.csv")
    queues = [url.rsplit("/", 1)[1] for url in sqs.list_queues(QueueNamePrefix=f"{name}-")["QueueUrls"]]
    assert queues == [f"{name}-ingest"]  # yesterday's main had another one
    with demo.database(name).connect() as sql:
        assert sql.execute(text("SELECT count(*) FROM vehicles")).scalar() == 3
        assert sql.execute(text("SELECT count(*) FROM drivers")).scalar() == 300
        assert not inspect(sql).has_table("scratch_of_dana")


def test_what_is_protected_or_belongs_to_nobody_is_untouched(demo: Demo) -> None:
    dynamodb = demo.client("dynamodb")
    for table in ("payroll-do-not-touch", "dev-01-support-case-4711"):
        assert dynamodb.scan(TableName=table)["Items"] == [{"id": {"S": "not to be lost"}}]


def test_the_preserved_environment_is_as_dana_left_it(demo: Demo) -> None:
    rows = demo.client("dynamodb").scan(TableName=f"{PRESERVED}-reference")["Items"]
    assert rows == [{"id": {"S": "left by a debugging session"}}]
    stale = demo.client("s3").get_object(Bucket=f"{PRESERVED}-lake-{demo.account}", Key="tmp/export.csv")
    assert stale["Body"].read() == b"stale"
    with demo.database(PRESERVED).connect() as sql:
        assert inspect(sql).has_table("scratch_of_dana")
        assert sql.execute(text("SELECT model FROM vehicles WHERE vin LIKE 'TEST%'")).scalar() == "fake"
    # Its schedules were off in the night, and are on again.
    rule = demo.client("events").describe_rule(Name=f"{PRESERVED}-hourly-mileage")
    assert rule["State"] == "ENABLED"
