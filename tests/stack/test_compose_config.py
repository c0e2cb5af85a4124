"""The compose file as Compose itself reads it; needs no Docker Engine."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.stack.conftest import ROOT, new_env, read_env, resolve

Compose = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A folder with the compose file and fresh secrets; an engineer's own team.env is none of a test's."""
    new_env(tmp_path)
    shutil.copy(ROOT / "docker-compose.yaml", tmp_path)
    return tmp_path


def test_compose_accepts_it_and_says_nothing(docker_compose: Compose, installation: Path) -> None:
    done = docker_compose(installation, "config", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_compose_reads_it_as_we_do(
    docker_compose: Compose, installation: Path, services: Mapping[str, Mapping[str, Any]]
) -> None:
    theirs = json.loads(docker_compose(installation, "config", "--format", "json").stdout)["services"]
    secrets = read_env(installation / ".env")
    assert set(theirs) == set(services)
    for name, service in services.items():
        wanted = {key: resolve(value, secrets) for key, value in service["environment"].items()}
        assert theirs[name]["environment"] == wanted, name
        assert theirs[name]["image"] == resolve(service["image"], {}), name
        # Compose says `$$` again for a `$` of the command's own.
        command = [resolve(word, secrets) for word in service.get("command", ())]
        assert (theirs[name].get("command") or []) == command, name


def test_what_an_image_starts_from_and_is_made_of_may_be_said_where_the_secrets_are(
    docker_compose: Compose, installation: Path
) -> None:
    def arguments() -> dict[str, str | None]:
        done = docker_compose(installation, "config", "--format", "json")
        return dict(json.loads(done.stdout)["services"]["scheduler"]["build"].get("args") or {})

    assert set(arguments().values()) <= {None}, "else the Dockerfile's own would not count"
    said = {
        "PYTHON_IMAGE": f"python@sha256:{'0' * 64}", "REVISION": "c" * 40, "SOURCE": "https://git.example/d"
    }  # fmt: skip
    with (installation / ".env").open("a") as env:
        env.writelines(f"{name}={value}\n" for name, value in said.items())
    assert arguments() == said


def test_without_its_secrets_it_does_not_start_and_says_what_to_run(
    docker_compose: Compose, installation: Path
) -> None:
    env = installation / ".env"
    whole = env.read_text().splitlines()
    for missing in read_env(env):
        env.write_text("\n".join(line for line in whole if not line.startswith(f"{missing}=")) + "\n")
        done = docker_compose(installation, "config", "--quiet")
        assert done.returncode != 0, missing
        assert f"{missing} is missing a value: run stack/new-env.sh" in done.stderr


def test_the_demo_is_accepted_with_its_world_and_its_workers_store_is_its_s3(
    docker_compose: Compose, tmp_path: Path
) -> None:
    new_env(tmp_path, "demo")
    shutil.copy(ROOT / "docker-compose.yaml", tmp_path)
    done = docker_compose(tmp_path, "config", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["services"]["aws"]["networks"]["default"]["ipv4_address"] == "172.31.251.10"
    assert found["services"]["worker"]["environment"]["DAYBREAK_STORE"] == "s3://daybreak-store"


def test_connections_come_from_team_env_where_there_is_one(
    docker_compose: Compose, installation: Path
) -> None:
    (installation / "team.env").write_text("AIRFLOW_CONN_AWS_DEV=aws://\nDEV_SQL_PASSWORD=hush\n")
    services = json.loads(docker_compose(installation, "config", "--format", "json").stdout)["services"]
    having = {name for name, its in services.items() if "DEV_SQL_PASSWORD" in its["environment"]}
    assert having == set(services) - {"postgres", "redis", "log-groomer"}
