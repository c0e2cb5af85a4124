"""The stack as a team runs it: the unmodified compose file, the demo's world, two workers, asked over HTTP.

A worker is killed in the middle of the night, and never comes back. Images are made and built first; with
``DAYBREAK_STACK=FOLDER``, of a clone whose stack runs already with two workers, only the stories are told.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.demo.github import BROKEN, GOOD, Github
from tests.stack import images
from tests.stack.conftest import ROOT, read_env

pytestmark = [pytest.mark.deep, pytest.mark.system, pytest.mark.timeout(2400)]

RUN = "story"
ENVIRONMENTS = {"dev-01", "dev-02", "dev-03", "merge-01"}
#: Build arguments of the Dockerfile that say where packages come from.
FROM_WHERE = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")


@dataclass
class Stack:
    """A clone of the repository, its secrets, and the containers of its compose file."""

    folder: Path
    docker_host: str

    def run(self, *words: str) -> str:
        """Docker, or Compose, as a person says it in the clone; its output."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "DOCKER_HOST": self.docker_host}
        done = subprocess.run(
            words, cwd=self.folder, env=env, capture_output=True, text=True, timeout=1200, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def compose(self, *words: str) -> str:
        program = ("docker-compose",) if shutil.which("docker-compose") else ("docker", "compose")
        return self.run(*program, "--ansi", "never", *words)

    @cached_property
    def secrets(self) -> dict[str, str]:
        return read_env(self.folder / ".env")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.secrets.get('API_PORT', '8080')}"

    @cached_property
    def http(self) -> httpx.Client:
        """Airflow's REST API, as the bot."""
        said = {"username": "bot", "password": self.secrets["AIRFLOW_BOT_PASSWORD"]}
        token = httpx.post(f"{self.url}/auth/token", json=said, trust_env=False, timeout=60).json()[
            "access_token"
        ]
        return httpx.Client(
            base_url=f"{self.url}/api/v2",
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=60,
        )

    def tasks(self, run: str) -> list[dict[str, Any]]:
        answer = self.http.get(f"/dags/nightly/dagRuns/{run}/taskInstances", params={"limit": 1000})
        return list(answer.raise_for_status().json()["task_instances"])

    @cached_property
    def github(self) -> Github:
        made = Github(self.folder / "people")
        made.secrets = {"url": f"http://localhost:{self.secrets.get('GITHUB_PORT', '8092')}"}
        return made

    def containers(self, service: str) -> list[dict[str, Any]]:
        """What Docker says of a service's containers, those that ended too."""
        ids = self.compose("ps", "--all", "--quiet", service).split()
        return list(json.loads(self.run("docker", "inspect", *ids)))


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if "DAYBREAK_STACK" in os.environ:
        yield Stack(Path(os.environ["DAYBREAK_STACK"]), os.environ["DOCKER_HOST"])
        return
    folder = tmp_path_factory.mktemp("stack") / "daybreak"
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(folder)], check=True, timeout=120)
    subprocess.run(
        [str(folder / "stack" / "new-env.sh"), "demo"], check=True, capture_output=True, timeout=60
    )
    ports = dict(zip(("API_PORT", "SLACK_PORT", "GITHUB_PORT"), free_ports(3), strict=True))
    with (folder / ".env").open("a") as env:
        env.writelines(f"{name}={port}\n" for name, port in ports.items())
    subnet = read_env(folder / ".env")["STACK_SUBNET"]
    with images.engine() as engine, images.let_out(subnet):
        made = Stack(folder, engine.url)
        try:
            images.have(engine, folder)
            arguments = [word for name in FROM_WHERE if name in os.environ for word in ("--build-arg", name)]
            for tag, more in (("daybreak", ()), ("daybreak-demo", ("--target", "demo"))):
                made.run("docker", "build", "--network=host", "--tag", f"{tag}:0.1.0", *arguments, *more, ".")
            made.compose("up", "--detach", "--wait", "--wait-timeout", "900", "--scale", "worker=2")
            yield made
        finally:
            with contextlib.suppress(AssertionError):
                print(made.compose("ps", "--all"), made.compose("logs", "--tail", "40"))
            made.compose("down", "--volumes", "--timeout", "5")


def eventually(seconds: float, what: str, look: Callable[[], Any]) -> Any:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        with contextlib.suppress(httpx.HTTPError):
            if found := look():
                return found
        time.sleep(1)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


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

    run = eventually(
        900, "the night ends",
        lambda: (found := stack.http.get(f"/dags/nightly/dagRuns/{RUN}").json())["end_date"] and found,
    )  # fmt: skip
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
