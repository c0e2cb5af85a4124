"""The stack without a world: what a team has before it said how to reach its AWS, GitHub and Slack."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from examples.acme_history import create_repository
from tests.fixtures.engine import Engine
from tests.stack.stacks import STORY_SECONDS, Stack, cloned, eventually, up

pytestmark = [pytest.mark.deep, pytest.mark.system, pytest.mark.timeout(STORY_SECONDS)]

DAGS = {"nightly", "pr_e2e", "bcd", "caretaker", "lane_care", "prebuild", "base_images"}


@pytest.fixture(scope="module")
def stack(stack_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """As docs/running.md says for the first day."""
    folder = tmp_path_factory.mktemp("plain")
    create_repository(folder / "acme")
    made = cloned(folder / "daybreak", stack_engine)
    words = ("--repo", str(folder / "acme"), "--account", "111122223333", "--environments", "dev-01,merge-01",
             "--output", str(made.folder / "include/config/daybreak.yaml"), "--yes")  # fmt: skip
    init = [sys.executable, "-m", "daybreak", "init", *words]
    subprocess.run(init, check=True, capture_output=True, timeout=120)
    with up(made):
        yield made


def test_it_is_healthy_and_a_person_may_log_in(stack: Stack) -> None:
    health = stack.http.get("/monitor/health").json()
    assert {part["status"] for part in health.values()} == {"healthy"}
    said = {"username": "admin", "password": stack.secrets["AIRFLOW_ADMIN_PASSWORD"]}
    assert httpx.post(f"{stack.url}/auth/token", json=said, trust_env=False, timeout=60).status_code == 201


def test_every_dag_is_read_and_no_night_begins_by_itself(stack: Stack) -> None:
    def said(path: str) -> dict[str, Any]:
        return dict(stack.http.get(path).raise_for_status().json())

    def dags() -> dict[str, str | None]:
        return {each["dag_id"]: each["next_dagrun_run_after"] for each in said("/dags")["dags"]}

    # A DAG processor is healthy before it has read everything; a file that it cannot read is never a DAG.
    eventually(
        300, "every DAG is read", lambda: dags().keys() >= DAGS or said("/importErrors")["total_entries"]
    )
    assert said("/importErrors")["import_errors"] == []
    assert dags()["nightly"] is None, "nothing is torn down before somebody says so"
    assert dags()["lane_care"] is not None
    pools = {each["name"]: each["slots"] for each in said("/pools")["pools"]}
    assert pools["merge_lane"] == 1


def test_doctor_names_what_is_left_to_say_and_nothing_else(stack: Stack) -> None:
    # Its exit code says that something is to be mended.
    said = json.loads(stack.compose("exec", "-T", "scheduler", "sh", "-c", "daybreak doctor --json || true"))
    failed = {each["area"].partition(" ")[0] for each in said if each["state"] == "fail"}
    assert failed == {"monorepo", "aws"}, said
