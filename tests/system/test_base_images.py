"""`base_images` on a running Airflow with a real engine: by hand, after main moved, and what it leaves."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import docker
import pytest
import yaml

from daybreak.build.images.engine import KEY, RESOURCE
from daybreak.environment.images import needed
from tests.docker.conftest import pinned, sweep
from tests.fixtures.engine import Engine
from tests.system import conftest
from tests.system.conftest import Demo, on_a_free_port

pytestmark = [pytest.mark.system, pytest.mark.deep]

DAG, SERVICES = "base_images", {"fleet", "telemetry", "trips"}
LOCK = "services/telemetry/requirements.txt"


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    with contextlib.closing(engine.client()) as made:
        yield made
        sweep(made)


@pytest.fixture(scope="module")
def docker_demo(engine: Engine, client: docker.DockerClient) -> Iterator[Demo]:
    """The demo after its night, its services in containers."""
    with pytest.MonkeyPatch.context() as patch, on_a_free_port() as made:
        patch.setenv("DOCKER_HOST", engine.url)
        # Three services are installed by pip, one after the other, before the night begins.
        patch.setattr(conftest, "BOOT_SECONDS", 900)
        made.start("--no-pulls", "--runtime", "docker").wait_for(lambda line: line.startswith("night "))
        yield made


def ended(demo: Demo, run_id: str, seconds: float = 420) -> dict[str, Any]:
    """The run when it is over, its tasks by id."""
    deadline = time.monotonic() + seconds
    while not (run := demo.rest.run(DAG, run_id)).ended:
        assert time.monotonic() < deadline, demo.tasks(run_id, DAG)
        time.sleep(0.5)
    tasks = demo.http.get(f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances").json()["task_instances"]
    assert run.state == "success", tasks
    return {f"{each['task_id']} {each['rendered_map_index'] or ''}".strip(): each["state"] for each in tasks}


def bases(client: docker.DockerClient) -> dict[str, str]:
    """Bases on the engine: id by key."""
    found = client.images.list(filters={"label": "dev.daybreak.base.key"})
    return {each.labels["dev.daybreak.base.key"]: each.id for each in found if KEY not in each.labels}


def after_main_moved(demo: Demo) -> str:
    """What the landing of a pull request says to Airflow is said; the id of the run that follows."""
    path = f"/api/v2/dags/{DAG}/dagRuns"
    before = {each["dag_run_id"] for each in demo.http.get(path).json()["dag_runs"]}
    [asset] = demo.http.get("/api/v2/assets", params={"name_pattern": "daybreak-main"}).json()["assets"]
    demo.http.post("/api/v2/assets/events", json={"asset_id": asset["id"]}).raise_for_status()
    deadline = time.monotonic() + 60
    while True:
        runs = demo.http.get(path).json()["dag_runs"]
        found = [each for each in runs if each["dag_run_id"] not in before]
        if found:
            assert found[0]["run_type"] == "asset_triggered"
            return str(found[0]["dag_run_id"])
        assert time.monotonic() < deadline, runs
        time.sleep(0.5)


def test_what_is_missing_is_built_and_what_may_be_needed_stays(
    docker_demo: Demo, client: docker.DockerClient
) -> None:
    demo = docker_demo
    there = bases(client)
    assert there, "the night built them"

    # By hand: one task for each service; all is there.
    demo.rest.trigger(DAG, "by-hand", {})
    tasks = ended(demo, "by-hand")
    assert tasks == {
        "find": "success",
        "prune": "success",
        **{f"base {each}": "success" for each in SERVICES},
    }
    assert bases(client) == there

    # Main moved, and with it one lock: one base more, before anybody waits for it.
    lock = demo.folder / "acme" / LOCK
    lock.write_text(lock.read_text() + pinned("pymysql"))
    demo.git("-c", "user.name=Dana", "-c", "user.email=dana@acme.test", "commit", "-qam", "Drivers")
    demo.git("push", "-q", "origin", "main")
    ended(demo, after_main_moved(demo))
    [fresh] = bases(client).keys() - there.keys()

    # With nothing kept for its age, what goes is what nobody needs.
    settings = demo.settings
    settings["build"]["images"] |= {"keep": 1, "keep_days": 0}
    (demo.folder / "daybreak.yaml").write_text(yaml.safe_dump(settings))
    wanted = {pair for pair in needed(demo.installation) if pair[0] in SERVICES}
    assert len(wanted) > len(SERVICES), "yesterday's and today's"
    running = {each.id for each in client.containers.list()}
    for name in ("stray", "newest"):  # of each service the newest one stays
        labels = {RESOURCE: "trips", KEY: name.ljust(64, "0")}
        container = client.api.create_container("python:3.13-slim", ["true"], labels=labels)
        client.api.commit(container, "daybreak/trips", name)
        client.api.remove_container(container)
    demo.rest.trigger(DAG, "pruning", {})
    ended(demo, "pruning")
    left = client.images.list(filters={"label": KEY})
    assert wanted <= {(each.labels[RESOURCE], each.labels[KEY]) for each in left}
    tags = {tag for each in left for tag in each.tags}
    assert ("daybreak/trips:stray" in tags, "daybreak/trips:newest" in tags) == (False, True)
    assert fresh in bases(client), "main needs it, and no image stands on it yet"
    assert {each.id for each in client.containers.list()} == running

    # The revert: yesterday's trips is deployed again, and nothing is built for it.
    images = {each.id for each in client.images.list()}
    first = demo.git("rev-list", "--max-parents=0", "main")
    said = json.loads(demo.daybreak("bcd", "dev-03", first, "trips", "--wait", "--json", "--run-id", "back"))
    assert {line["resource"]: line["ended"] for line in said["lines"]}["trips"] == "deployed", said
    assert {each.id for each in client.images.list()} <= images
