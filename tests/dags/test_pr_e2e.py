"""The DAGs of the lane as Airflow sees them, and pull requests' runs, executed by Airflow in one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.git import pushing
from daybreak.merge.conf import Conf
from daybreak.merge.findings import Findings
from daybreak.merge.queue import Ask, Queue
from daybreak.merge.rules import AttemptState, EntryState
from daybreak.merge.run import Merge
from daybreak.registry.merge_tables import attempts, entries
from daybreak.settings import load
from examples.standins.aws.emulator import AwsEmulator
from tests.dags.test_bcd import airflow
from tests.environment.test_state import put
from tests.merge.small import RESOURCES, monorepo
from tests.monorepo import Monorepo

PARSE = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
heavy = [m for m in ("boto3", "docker", "github", "slack_sdk", "sqlalchemy.ext.automap") if m in sys.modules]
for name in ("pr_e2e", "prebuild", "lane_care"):
    dag = bag.dags[name]
    print("ANSWER" + json.dumps({
        "errors": bag.import_errors, "heavy": heavy, "doc": dag.doc_md, "paused": dag.is_paused_upon_creation,
        "tasks": {t.task_id: {
            "timeout": t.execution_timeout.total_seconds() if t.execution_timeout else None, "pool": t.pool,
            "waits": [min((t.retry_delay * t.retry_exponential_backoff ** n).total_seconds(),
                          t.max_retry_delay.total_seconds() if t.max_retry_delay else 1e9)
                      for n in range(t.retries)],
            "up": sorted(t.upstream_task_ids), "down": sorted(t.downstream_task_ids),
            "teardown": t.is_teardown, "counts": getattr(t, "on_failure_fail_dagrun", False),
        } for t in dag.tasks},
        "params": {name: {**dag.params.get_param(name).schema,
                          "said": dag.params.get_param(name).description} for name in dag.params},
    }))
"""
RUN = """
import json, sys
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.asset import AssetEvent
from airflow.models.dagbundle import DagBundleModel
from airflow.utils.session import create_session
from sqlalchemy import select
with create_session() as session:
    session.merge(DagBundleModel(name="here"))
bag = DagBag(sys.argv[1], bundle_path=sys.argv[1], bundle_name="here")
sync_bag_to_db(bag, "here", None)
for name, conf in json.loads(sys.argv[2]):
    run = bag.dags[name].test(logical_date=None, run_conf=conf)
    ended = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    with create_session() as session:
        moved = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id)).all()
        said = [(each.asset.name, each.source_task_id) for each in moved]
    print("ANSWER" + json.dumps({
        "run_id": run.run_id, "state": str(run.state), "tasks": ended, "said": said,
    }), flush=True)
"""

CROWD = """
import json, sys
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models import DagRun
from airflow.models.dagbundle import DagBundleModel
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType
from datetime import UTC, datetime, timedelta
ago = datetime.now(UTC) - timedelta(minutes=1)
with create_session() as session:
    session.add(DagBundleModel(name="here"))
sync_bag_to_db(DagBag(sys.argv[1], bundle_path=sys.argv[1], bundle_name="here"), "here", None)
with create_session() as session:
    for number in range(int(sys.argv[2])):
        session.add(DagRun(
            dag_id="pr_e2e", run_id=f"waits-{number}", run_type=DagRunType.MANUAL, run_after=ago,
            state=DagRunState.RUNNING))
    session.add(DagRun(
        dag_id="pr_e2e", run_id="next", run_type=DagRunType.MANUAL, run_after=ago, state=DagRunState.QUEUED))
    session.flush()
    found = [run.run_id for run in DagRun.get_queued_dag_runs_to_set_running(session)]
print("ANSWER" + json.dumps({"begin": found}))
"""


def publish(home: Path, *nodes: tuple[str, str, list[str], list[str]]) -> None:
    resources = [
        {"name": name, "type": kind, "dependencies": needs, "actions": actions, "has_tests": True}
        for name, kind, needs, actions in nodes
    ]
    graph = {"schema": 1, "commit": "c", "digest": "d", "resources": resources}
    (home / "graph.json").write_text(json.dumps(graph))


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    home = tmp_path_factory.mktemp("home")
    deployed = ["build", "test", "create", "deploy"]
    publish(home, ("common", "package", [], ["build", "test"]), ("trips", "service", ["common"], deployed))
    config = home / "daybreak.yaml"
    config.write_text("{}")
    found = airflow(home, PARSE, DAYBREAK_CONFIG=str(config))
    return dict(zip(("pr_e2e", "prebuild", "lane_care"), found, strict=True))


def test_they_import_light_and_are_not_paused_and_say_what_to_do_when_they_fail(
    dags: dict[str, dict[str, Any]],
) -> None:
    for dag in dags.values():
        assert (dag["errors"], dag["heavy"], dag["paused"]) == ({}, [], False)
        assert "**When it fails**" in dag["doc"]
        assert [name for name, task in dag["tasks"].items() if not task["timeout"]] == []


def test_what_passed_waits_some_minutes_for_a_github_that_is_in_trouble(
    dags: dict[str, dict[str, Any]],
) -> None:
    waits = dags["pr_e2e"]["tasks"]["land"]["waits"]
    assert sum(waits) >= 5 * 60
    # It is not kept waiting long after GitHub is back.
    assert max(waits) <= 60


def test_what_needs_no_lane_comes_before_it_and_settling_is_the_only_end(
    dags: dict[str, dict[str, Any]],
) -> None:
    tasks = dags["pr_e2e"]["tasks"]
    assert "common.test" in tasks["trips.build"]["up"]
    assert (tasks["gate"]["up"], tasks["take_lane"]["up"]) == (["artifacts"], ["gate"])
    assert (tasks["take_lane"]["pool"], tasks["deploy"]["up"]) == ("merge_lane", ["take_lane"])
    # What is deployed by itself has a mark; a package is part of what uses it.
    assert {name for name in tasks if name.startswith("deployed.")} == {"deployed.trips"}
    assert (tasks["e2e"]["up"], tasks["land"]["up"]) == (["deploy"], ["e2e"])
    assert [name for name, task in tasks.items() if not task["down"]] == ["settle"]
    assert {name for name, task in tasks.items() if task["teardown"]} == {"settle"}
    assert tasks["settle"]["counts"]
    # Beside the deploy: nothing that the lane does comes after it, but that the run may end.
    assert (tasks["build_ahead"]["up"], tasks["build_ahead"]["down"]) == (["take_lane"], ["settle"])
    ours = {
        "resolve", "artifacts", "gate", "take_lane", "build_ahead", "deploy", "deployed.trips", "e2e", "land",
    }  # fmt: skip
    assert set(tasks["settle"]["up"]) == ours


def test_a_pull_request_s_number_is_all_that_the_form_needs(dags: dict[str, dict[str, Any]]) -> None:
    form = dags["pr_e2e"]["params"]
    assert set(form) == {"pr", "sha", "mode", "priority", "by", "entry"}
    assert [name for name, each in form.items() if not (each["title"] and each["said"])] == []
    assert form["pr"]["type"] == "integer"
    assert form["mode"]["enum"] == ["land", "try"]


def test_however_many_runs_wait_airflow_begins_the_one_whose_turn_it_is(tmp_path: Path) -> None:
    """A run that waits for the lane is active. An emergency, or what goes on in a new run, is made last."""
    publish(tmp_path, ("trips", "service", [], ["build", "test"]))
    config = tmp_path / "daybreak.yaml"
    config.write_text("{}")
    migrate(tmp_path)
    found = airflow(tmp_path, CROWD, "500", DAYBREAK_CONFIG=str(config))
    assert found == [{"begin": ["next"]}]


def migrate(home: Path) -> None:
    """Give the Airflow below ``home`` its database."""
    subprocess.run(
        [Path(sys.executable).parent / "airflow", "db", "migrate"], check=True, capture_output=True,
        env={**os.environ, "AIRFLOW_HOME": str(home / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
    )  # fmt: skip


def test_prebuild_is_for_a_pull_request_or_for_what_follows_an_attempt(
    dags: dict[str, dict[str, Any]],
) -> None:
    form, tasks = dags["prebuild"]["params"], dags["prebuild"]["tasks"]
    assert set(form) == {"pr", "sha", "after", "lands"}
    assert [name for name, each in form.items() if not (each["title"] and each["said"])] == []
    assert [name for name, task in tasks.items() if not task["down"]] == ["report"]
    assert {task["pool"] for name, task in tasks.items() if name.endswith((".build", ".test"))} == {"builds"}


class Team:
    """A remote with pull requests, and the settings of an installation for it."""

    def __init__(self, folder: Path, endpoint: str, account: str) -> None:
        self.state, self.home = folder / "state", folder / "home"
        for each in (self.state, self.home):
            each.mkdir()
        self.work = Monorepo(folder / "work")
        self.base = self.work.commit(monorepo(self.state))
        self.url = str(folder / "remote.git")
        self.work.git("clone", "--quiet", "--bare", ".", self.url)
        publish(self.home, *((name, "command", [], ["build", "deploy"]) for name in ("left", "right")))
        config = folder / "daybreak.yaml"
        config.write_text(yaml.safe_dump({
            "monorepo": {"url": self.url}, "home": str(self.home),
            "aws": {"endpoint_url": endpoint, "accounts": {account: {"connection": "aws_test"}}},
            "environments": [{"name": "merge-01", "account": account, "role": "merge"}],
        }))  # fmt: skip
        self.installation = Installation.open(load(config, {}))
        self.installation.register()
        put(self.installation.environments, State.READY, "merge-01")
        connection = {"conn_type": "aws", "login": account, "password": "x",
                      "extra": {"region_name": "us-east-1", "endpoint_url": endpoint}}  # fmt: skip
        self.environ = {"DAYBREAK_CONFIG": str(config), "AIRFLOW_CONN_AWS_TEST": json.dumps(connection)}
        migrate(self.home)

    def pull_request(self, number: int, files: dict[str, str]) -> str:
        self.work.git("checkout", "--quiet", "-b", f"pr-{number}", self.base)
        sha = self.work.commit(files)
        self.work.git("push", "--quiet", self.url, f"{sha}:refs/pull/{number}/head")
        return sha

    def run(self, *asked: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        return airflow(self.home, RUN, json.dumps(asked), **self.environ)

    @property
    def main(self) -> str:
        return pushing.read(self.url, "refs/heads/main")["refs/heads/main"]

    def idle(self) -> None:
        """Nothing is left behind, and main is what runs."""
        env = self.installation.environments.get("merge-01")
        assert (env.op_token, env.state, env.commit) == (None, State.READY, self.main)
        refs = self.work.git("-C", self.url, "for-each-ref", "--format=%(refname)", "refs/heads")
        assert refs.splitlines() == ["refs/heads/daybreak/lease", "refs/heads/main"]
        assert self.installation.runs.unfinished() == []

    def last(self, pr: int) -> tuple[str, str]:
        """State and reason of its last entry."""
        query = select(entries.c.state, entries.c.reason).filter_by(pr=pr).order_by(entries.c.id.desc())
        with self.installation.engine.connect() as connection:
            state, reason = connection.execute(query).first() or ("", "")
        return str(state), str(reason)


@pytest.fixture
def team(tmp_path: Path, aws: AwsEmulator, aws_account: str) -> Team:
    return Team(tmp_path, aws.endpoint_url, aws_account)


@pytest.mark.deep
def test_what_is_good_lands_and_what_breaks_a_suite_is_rejected(team: Team) -> None:
    team.pull_request(1, {"left/value.txt": "better\n"})
    team.pull_request(2, {"right/value.txt": "bad\n"})
    before = team.main

    good, bad = team.run(("pr_e2e", {"pr": 1}), ("pr_e2e", {"pr": 2, "priority": "high"}))

    assert good["state"] == "success", good
    assert team.last(1)[0] == "LANDED"
    # It found an empty environment: both were brought there.
    skipped = {task for task, state in good["tasks"].items() if state == "skipped"}
    assert skipped == {"right.build", "newcomers.build"}
    assert bad["state"] == "failed"
    state, reason = team.last(2)
    assert state == "REJECTED"
    assert "right.test_right::test_right_is_good" in reason
    assert [bad["tasks"][each] for each in ("e2e", "land", "settle", "deployed.right", "deployed.left")] == [
        "failed", "upstream_failed", "failed", "success", "skipped",
    ]  # fmt: skip
    assert json.loads((team.state / "right").read_text())["value"] == "old"
    # Only what was tested landed, and nothing is left behind.
    log = team.work.git("-C", team.url, "log", "--format=%s", "--first-parent", f"{before}..main")
    assert log.splitlines() == ["Merge #1: change"]
    found = Findings.of(team.installation.store, good["run_id"])
    assert found is not None
    assert found.commit == team.main
    team.idle()


@pytest.mark.deep
def test_pages_conflicts_tries_and_what_is_asked_wrongly(team: Team) -> None:
    team.pull_request(1, {"left/value.txt": "better\n"})
    team.pull_request(3, {"docs/page.md": "A better page.\n"})
    team.pull_request(4, {"left/value.txt": "other\n"})
    team.pull_request(5, {"right/value.txt": "fine\n"})
    team.pull_request(6, {"left/deploy.py": "1 / 0\n"})
    unbuildable = RESOURCES.replace('{"deploy"', '{"build": ["python", "-c", "1 / 0"], "deploy"')
    team.pull_request(7, {"resources.py": unbuildable})

    # The first one waits, deferred, until what is before it is gone.
    queue = Queue(team.installation.engine)
    before = queue.add(Ask(9, "9" * 40, "Before all", "eli", priority=1), by="eli")

    def take_back() -> None:
        deadline = time.monotonic() + 120
        while queue.of(1) is None and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(8)  # it was built, and looked once
        queue.end(9, EntryState.CANCELLED, by="eli", code="cancelled", message="by eli")

    threading.Thread(target=take_back, daemon=True).start()
    # The try is the last one: in one process Airflow remembers a run's params for the next one's defaults.
    good, page, conflict, unknown, dead, unbuilt, built, tried = team.run(
        ("pr_e2e", {"pr": 1}),
        ("pr_e2e", {"pr": 3}),
        ("pr_e2e", {"pr": 4}),
        ("pr_e2e", {"pr": 3, "sprint": 12}),
        ("pr_e2e", {"pr": 6}),
        ("pr_e2e", {"pr": 7}),
        ("prebuild", {"pr": 5}),
        ("pr_e2e", {"pr": 5, "mode": "try"}),
    )

    assert (good["state"], page["state"]) == ("success", "success")
    assert queue.get(before.id).state is EntryState.CANCELLED
    with team.installation.engine.connect() as connection:
        begun = select(attempts.c.created_at).filter_by(run_id=good["run_id"])
        waited_for = queue.get(before.id).ended_at
        assert waited_for is not None
        assert connection.execute(begun).scalar_one() > waited_for
    assert {page["tasks"][each] for each in ("deployed.left", "deployed.right", "left.build")} == {"skipped"}
    # Whoever follows main is told of what landed, and of nothing else.
    moved, unmoved = (good, page), (conflict, unknown, dead, unbuilt, tried)
    assert [each["said"] for each in moved] == [[["daybreak-main", "land"]]] * 2
    assert [each["said"] for each in unmoved] == [[]] * 5
    assert tried["tasks"]["land"] == "skipped"
    assert (conflict["state"], conflict["tasks"]["resolve"]) == ("failed", "failed")
    assert team.last(4) == ("REJECTED", "#4 conflicts with main in left/value.txt")
    assert (conflict["tasks"]["gate"], conflict["tasks"]["deploy"]) == ("skipped", "skipped")
    assert (unknown["state"], unknown["tasks"]["resolve"]) == ("failed", "failed")
    assert tried["state"] == "success", tried
    assert team.last(5)[0] == "TRIED"
    assert tried["tasks"]["deployed.right"] == "success"
    assert json.loads((team.state / "right").read_text())["value"] == "old"
    # Built before anybody queued it, so its run has nothing to build.
    assert (built["state"], built["tasks"]["right.build"]) == ("success", "success")
    assert tried["tasks"]["right.build"] == "skipped"
    assert (dead["state"], dead["tasks"]["deploy"], dead["tasks"]["e2e"]) == (
        "failed", "failed", "upstream_failed",
    )  # fmt: skip
    assert team.last(6)[0] == "REJECTED"
    # What cannot be built never comes to the lane.
    assert (unbuilt["tasks"]["gate"], unbuilt["tasks"]["take_lane"]) == ("failed", "upstream_failed")
    state, reason = team.last(7)
    assert state == "REJECTED"
    assert "left cannot be built" in reason
    team.idle()


@pytest.mark.deep
def test_what_may_be_in_the_lane_next_is_built_while_something_is_in_it(team: Team) -> None:
    unbuildable = RESOURCES.replace('{"deploy"', '{"build": ["python", "-c", "1 / 0"], "deploy"')
    team.pull_request(1, {"left/value.txt": "better\n"})
    team.pull_request(2, {"left/more.txt": "x\n"})
    team.pull_request(3, {"resources.py": unbuildable})
    merge = Merge(team.installation)
    first = merge.resolve(Conf(1), "dana", "pr-1-1")
    assert merge.enter("pr-1-1", first.id, "dana") is AttemptState.PREPARED
    second = merge.resolve(Conf(2), "dana", "pr-2-1")
    attempt, [lands, _] = merge.queue.attempt("pr-1-1"), merge.guesses()
    assert merge.lacking(lands) == {"left"}

    built, over, no_form = team.run(
        ("prebuild", {"after": "pr-1-1", "lands": True}), ("prebuild", {"after": "pr-9-1", "lands": True}),
        ("prebuild", {"after": None}),
    )  # fmt: skip

    assert (built["state"], built["tasks"]["left.build"], built["tasks"]["right.build"]) == (
        "success", "success", "skipped",
    )  # fmt: skip
    assert merge.lacking(lands) == set()
    assert (over["state"], over["tasks"].pop("pin"), set(over["tasks"].values())) == (
        "success", "success", {"skipped"},
    )  # fmt: skip
    assert (no_form["state"], no_form["tasks"]["pin"]) == ("failed", "failed")
    # What cannot be built there fails, and nothing follows from that.
    merge.queue.end(2, EntryState.CANCELLED, by="eli", code="cancelled", message="by eli")
    merge.resolve(Conf(3), "dana", "pr-3-1")
    [broken] = team.run(("prebuild", {"after": "pr-1-1", "lands": True}))
    assert (broken["state"], broken["tasks"]["left.build"]) == ("failed", "failed")
    assert (team.last(1)[0], team.last(3)[0]) == ("IN_ATTEMPT", "QUEUED")
    assert merge.queue.attempt("pr-1-1") == attempt
    assert merge.queue.get(second.id).state is EntryState.CANCELLED
    # Of what was built nothing is left but artifacts.
    assert team.installation.runs.unfinished() == []
    refs = team.work.git("-C", team.url, "for-each-ref", "--format=%(refname)", "refs/heads/daybreak")
    assert refs.splitlines() == ["refs/heads/daybreak/candidate/pr-1-1", "refs/heads/daybreak/lease"]
