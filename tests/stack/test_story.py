"""The stack as a team runs it: the unmodified compose file, the demo's world, two workers, asked over HTTP.

A worker is killed in the middle of the night, and never comes back. Images are made and built first; with
``DAYBREAK_STACK=FOLDER``, of a clone whose stack runs already with two workers, only the stories are told.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.demo.github import BROKEN, GOOD
from tests.stack import images
from tests.stack.stacks import STORY_SECONDS, Stack, cloned, eventually, up

pytestmark = [pytest.mark.deep, pytest.mark.system, pytest.mark.timeout(STORY_SECONDS)]

RUN = "story"
ENVIRONMENTS = {"dev-01", "dev-02", "dev-03", "merge-01"}


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if "DAYBREAK_STACK" in os.environ:
        yield Stack(Path(os.environ["DAYBREAK_STACK"]), os.environ["DOCKER_HOST"])
        return
    engine = request.getfixturevalue("stack_engine")
    made = cloned(tmp_path_factory.mktemp("story") / "daybreak", engine, "demo")
    with images.let_out(made.secrets["STACK_SUBNET"]), up(made, "--scale", "worker=2"):
        yield made


def test_a_person_may_log_in_and_every_part_is_healthy(stack: Stack) -> None:
    health = stack.http.get("/monitor/health").json()
    assert {part["status"] for part in health.values()} == {"healthy"}
    said = {"username": "admin", "password": stack.secrets["AIRFLOW_ADMIN_PASSWORD"]}
    assert httpx.post(f"{stack.url}/auth/token", json=said, trust_env=False, timeout=60).status_code == 201
    [init], [acme] = stack.containers("init"), stack.containers("acme")
    assert (init["State"]["Status"], init["State"]["ExitCode"]) == ("exited", 0)
    # Who waited for the stack waited for its world.
    assert acme["State"]["Health"]["Status"] == "healthy"


def test_workers_have_disks_of_their_own(stack: Stack) -> None:
    one, other = (
        {mount["Destination"]: mount.get("Name") or mount["Source"] for mount in each["Mounts"]}
        for each in stack.containers("worker")
    )
    assert one["/var/lib/daybreak"] != other["/var/lib/daybreak"]
    shared = {at for at in one if one[at] == other[at]}
    assert shared == {"/etc/daybreak/daybreak.yaml", "/var/lib/store", "/opt/airflow/logs"}


def test_a_night_goes_on_when_a_worker_is_killed(stack: Stack) -> None:
    conf = {"wait": False, "reason": "the stack's story"}
    body = {"dag_run_id": RUN, "logical_date": None, "conf": conf}
    assert stack.http.post("/dags/nightly/dagRuns", json=body).status_code == 200
    workers = {each["Config"]["Hostname"]: each["Id"] for each in stack.containers("worker")}

    def at_work() -> str | None:
        found = (each["hostname"] for each in stack.tasks(RUN)
                 if each["state"] == "running" and each["task_id"].startswith("environment."))  # fmt: skip
        return next((name for name in found if name in workers), None)

    victim = eventually(900, "a worker is at a stage of an environment", at_work)
    stack.run("docker", "kill", workers[victim])

    def night() -> dict[str, Any] | None:
        found = stack.http.get(f"/dags/nightly/dagRuns/{RUN}").raise_for_status().json()
        return found if found["end_date"] else None

    run = eventually(900, "the night ends", night)
    assert run["state"] == "success"
    said = json.loads(stack.compose("exec", "-T", "scheduler", "daybreak", "env", "status", "--json"))
    rows = {row["name"]: (row["state"], row["verdict"]) for row in said["environments"]}
    assert rows == dict.fromkeys(ENVIRONMENTS, ("READY", "passed"))
    done = {each["hostname"] for each in stack.tasks(RUN) if each["state"] == "success" and each["hostname"]}
    assert done == set(workers), "both did a part of it"


def test_pull_requests_land_or_are_rejected_and_nothing_went_over_a_shared_disk(
    stack: Stack, tmp_path: Path
) -> None:
    client = stack.github.client
    clone = tmp_path / "acme"
    subprocess.run(["git", "clone", "--quiet", client.git("dana", "acme/acme"), str(clone)], check=True)

    def main() -> str:
        return client.refs("acme/acme")["refs/heads/main"]

    for change, wanted in ((GOOD, "success"), (BROKEN, "failure")):
        before = main()
        number = stack.github.open(clone, change)
        stack.github.merge(number, change.author)
        head = client.pull("acme/acme", number)["head"]["sha"]

        def ended(head: str = head) -> str | None:
            states = [each["state"] for each in client.statuses("acme/acme", head)]
            return states[0] if states and states[0] in ("success", "failure", "error") else None

        assert eventually(900, f"#{number} ends", ended) == wanted
        assert (main() != before) == (wanted == "success")

    assert stack.compose("exec", "-T", "api-server", "find", "/var/lib/store", "-type", "f") == ""
