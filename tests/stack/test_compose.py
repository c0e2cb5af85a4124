"""The compose file is right, as far as it can be known without starting it."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.stack.conftest import (
    ROOT,
    VARIABLE,
    airflow_options,
    image_environment,
    new_env,
    read_env,
    resolve,
)

Services = Mapping[str, Mapping[str, Any]]
#: Images that are not ours.
OTHERS = {"postgres", "redis"}
#: A file that nobody opens.
NO_REGISTRY = "sqlite:////var/lib/daybreak/none.db"
WORLD = {"aws", "slack", "github", "acme"}


def environments(services: Services) -> Iterator[tuple[str, str, str]]:
    for service, its in services.items():
        for name, value in its.get("environment", {}).items():
            yield service, name, value


# --- what starts when, and what is seen of it ---


def test_every_service_is_watched_or_runs_to_its_end(services: Services) -> None:
    # `up --wait` takes a container that ended for a failure, unless another one waits for its end.
    assert [name for name, service in services.items() if service["restart"] == "no"] == ["init"]
    for name, service in services.items():
        ends = service["restart"] == "no"
        assert ends != ("healthcheck" in service), name
        assert ends or service["restart"] == "unless-stopped", name


def test_everything_waits_for_what_it_needs_to_be_ready_not_only_started(services: Services) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            ends = services[needed]["restart"] == "no"
            wanted = "service_completed_successfully" if ends else "service_healthy"
            assert how["condition"] == wanted, f"{name} waits for {needed}"
    watched = set(services) - OTHERS - WORLD - {"init"}
    assert {name for name in watched if "init" not in services[name]["depends_on"]} == set()


def test_all_parts_of_an_airflow_are_there(services: Services) -> None:
    commands = [service["command"] for service in services.values() if "command" in service]
    parts = {command[1] for command in commands if command[0] == "airflow"}
    assert parts == {"api-server", "scheduler", "dag-processor", "triggerer", "celery"}


def groomed(groomer: Mapping[str, Any], folder: Path, ages: Mapping[str, int]) -> CompletedProcess[str]:
    """One round of the log groomer over ``folder/logs``, in which files are so many days old."""
    for name, days in ages.items():
        file = folder / "logs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (time.time() - days * 86400,) * 2)
    # The loop's end: a sleep that fails.
    (folder / "sleep").write_text("#!/bin/sh\nexit 9\n")
    (folder / "sleep").chmod(0o755)
    shell, flags, script = groomer["command"]
    moved = {"/opt/airflow/logs": str(folder / "logs"), "/tmp/begun": str(folder / "begun"), "$$": "$"}
    for found, replaced in moved.items():
        assert found in script
        script = script.replace(found, replaced)
    # As in the stack (`cap_drop`), permissions hold for root, too.
    drop = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    environment = {name: resolve(value, {}) for name, value in groomer["environment"].items()}
    environment |= {"PATH": f"{folder}:{os.environ['PATH']}", "LC_ALL": "C"}
    return subprocess.run(
        [*drop, shell, flags, script], env=environment, capture_output=True, text=True, check=False
    )


def left_in(logs: Path) -> list[str]:
    return sorted(str(each.relative_to(logs)) for each in logs.rglob("*"))


def test_logs_go_when_they_are_old_and_folders_once_they_are_empty_for_a_day(
    services: Services, tmp_path: Path
) -> None:
    groomer, logs, begun = services["log-groomer"], tmp_path / "logs", tmp_path / "begun"
    for name in ("dag_id=b/run_id=3", "dag_id=b/run_id=4", "dag_id=c"):
        (logs / name).mkdir(parents=True)
    for name in ("dag_id=b/run_id=3", "dag_id=c"):
        os.utime(logs / name, (time.time() - 2 * 86400,) * 2)
    done = groomed(
        groomer, tmp_path, {"dag_id=a/run_id=1/old.log": 91, "dag_id=a/run_id=2/new.log": 89, "top.log": 91}
    )
    assert (done.returncode, done.stderr) == (9, "")
    assert left_in(logs) == [
        "dag_id=a", "dag_id=a/run_id=1", "dag_id=a/run_id=2", "dag_id=a/run_id=2/new.log",
        "dag_id=b", "dag_id=b/run_id=4", "dag_id=c",
    ]  # fmt: skip
    code = groomer["healthcheck"]["test"][-1]
    assert "/tmp/begun" in code
    check = [sys.executable, "-c", code.replace("/tmp/begun", str(begun))]
    assert subprocess.run(check, check=False).returncode == 0
    os.utime(begun, (time.time() - 3 * 3600,) * 2)
    assert subprocess.run(check, check=False).returncode == 1
    # It reads no secret, so it is given none.
    assert (set(groomer["environment"]), groomer["env_file"]) == ({"LOG_DAYS"}, [])


def test_logs_and_folders_that_cannot_be_deleted_cost_a_line_each(services: Services, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    for name in ("dag_id=a/run_id=2", "dag_id=b/run_id=3"):
        (logs / name).mkdir(parents=True)
        os.utime(logs / name, (time.time() - 2 * 86400,) * 2)
    ages = {"dag_id=a/old.log": 91, "dag_id=b/old.log": 91, "top.log": 91}
    for name in ages:
        (logs / name).touch()
    (logs / "dag_id=a").chmod(0o555)
    try:
        done = groomed(services["log-groomer"], tmp_path, ages)
    finally:
        (logs / "dag_id=a").chmod(0o755)
    assert done.returncode == 9, "it went on to its sleep"
    told = re.findall(r"cannot delete .(\S+).: Permission denied", done.stderr)
    assert [Path(each).relative_to(logs).as_posix() for each in told] == [
        "dag_id=a/old.log",
        "dag_id=a/run_id=2",
    ]
    assert left_in(logs) == ["dag_id=a", "dag_id=a/old.log", "dag_id=a/run_id=2", "dag_id=b"]


def test_the_demo_s_world_is_in_its_profile_and_nothing_of_a_team_waits_for_it(services: Services) -> None:
    assert {name for name in services if services[name].get("profiles") == ["demo"]} == WORLD
    for name in set(services) - WORLD:
        assert not WORLD & set(services[name].get("depends_on", ())), name
        assert not resolve(services[name]["image"], {}).startswith("daybreak-demo"), name


def test_the_doors_are_open_to_this_machine_alone_by_default(services: Services) -> None:
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert set(published) == {"api-server", "slack", "github"}
    for (port,) in published.values():
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", resolve(port, {}))


def test_what_must_live_is_on_a_named_volume_and_workers_share_only_store_and_logs(
    compose: dict[str, Any], services: Services
) -> None:
    image = image_environment()
    home, logs, store = image["DAYBREAK_HOME"], image["AIRFLOW_HOME"] + "/logs", "/var/lib/store"
    used: dict[str, set[str]] = {}
    for name, service in services.items():
        own = {
            volume for volume in service.get("volumes", ()) if isinstance(volume, str) and volume[0] != "."
        }
        for volume in own:
            if ":" in volume:
                used.setdefault(volume, set()).add(name)
        if name not in {*OTHERS, *WORLD, "host"}:
            assert own == {home, f"store:{store}", f"logs:{logs}"}, name
    assert {volume.split(":")[0] for volume in used} == set(compose["volumes"])
    assert used["postgres:/var/lib/postgresql/data"] == {"postgres"}
    assert used[f"host:{home}"] == {"host"}
    # What makes runtimes gets artifacts from the store.
    assert "host" in used[f"store:{store}"]


def test_nothing_about_a_worker_keeps_it_from_being_scaled(services: Services) -> None:
    worker = services["worker"]
    assert not {"container_name", "hostname", "ports", "network_mode", "networks"} & set(worker)
    for name in ("worker", "scheduler", "host"):
        assert services[name]["environment"]["DAYBREAK_HOST__ADDRESS"].split(":")[0] == "host"


def test_nothing_of_ours_runs_with_more_rights_than_it_needs(services: Services) -> None:
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        # PostgreSQL's image begins as root, takes its volume and changes its user.
        assert name == "postgres" or service["cap_drop"] == ["ALL"], name
    # Its image changes its user only for the command `redis-server`, which ours is not.
    assert services["redis"]["command"][0] == "sh"
    assert services["redis"]["user"] == "redis"
    assert "docker.sock" not in (ROOT / "docker-compose.yaml").read_text()


def test_images_are_pinned_and_ours_is_this_version(services: Services) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, service in services.items():
        image, _, tag = resolve(service["image"], {}).rpartition(":")
        if image.startswith("daybreak"):
            assert tag == project["version"], name
        else:
            assert re.match(r"\d+\.\d+(?!\w)", tag), f"{name}: {service['image']} names no release"


# --- secrets ---


def test_what_starts_programs_of_others_is_given_no_secret_that_it_does_not_need(services: Services) -> None:
    """They run as its user and can read what it was started with; the settings may name the bot's."""
    known = services["host"]["environment"]
    assert set(known) == {
        "AIRFLOW_BOT_PASSWORD", "DAYBREAK_STORE", "DAYBREAK_HOST__ADDRESS", "DAYBREAK_HOST__TOKEN",
        "DAYBREAK_REGISTRY",
    }  # fmt: skip
    assert known["DAYBREAK_REGISTRY"] == NO_REGISTRY
    shared = known.items() - {("DAYBREAK_REGISTRY", NO_REGISTRY)}
    assert shared <= services["worker"]["environment"].items()


def test_checks_that_need_a_secret_see_it_also_where_it_is_a_file(services: Services) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (entrypoint,) = re.findall(r'^ENTRYPOINT \["(.*)"\]$', dockerfile, re.MULTILINE)
    assert f"ln --symbolic {entrypoint} /entrypoint " in dockerfile
    for name in ("worker", "dag-processor", "triggerer", "bots"):
        assert services[name]["healthcheck"]["test"][:2] == ["CMD", "/entrypoint"], name


def test_no_secret_is_an_argument_that_everybody_on_the_machine_sees(services: Services) -> None:
    for name, service in services.items():
        words = [*service.get("command", ()), *service.get("healthcheck", {}).get("test", ())]
        assert not re.search("PASSWORD|SECRET|TOKEN", " ".join(words).replace("$$REDIS_PASSWORD", "")), name
    # A here document goes to its standard input.
    assert re.search(r"redis-server - <<(\w+)\n(.*\n)*\1", services["redis"]["command"][-1])


def test_no_secret_has_a_value_or_a_default_in_the_repository(services: Services) -> None:
    sensitive = {
        f"AIRFLOW__{section}__{option}".upper()
        for section, its in airflow_options().items()
        for option, about in its["options"].items()
        if about.get("sensitive")
    } | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC", "DAYBREAK_REGISTRY", "DAYBREAK_SCORCH__FORBIDDEN"}
    assert "AIRFLOW__CELERY__BROKER_URL" in sensitive
    secret = [
        (service, name, value)
        for service, name, value in environments(services)
        if name in sensitive or re.search("PASSWORD|SECRET|TOKEN|CLI_AUTH", name)
        if (service, value) != ("host", NO_REGISTRY)
    ]
    assert len({name for _, name, _ in secret}) >= 13
    for service, name, value in secret:
        signs = [match["sign"] for match in VARIABLE.finditer(value)]
        assert signs, f"{service}: {name} is written down"
        assert set(signs) == {"?"}, f"{service}: {name} is not required"


def test_the_secrets_that_are_asked_for_are_those_that_new_env_writes(
    services: Services, secrets: Mapping[str, str]
) -> None:
    text = json.dumps(services)
    asked = {match["name"] for match in VARIABLE.finditer(text) if match["sign"] == "?"}
    assert asked == set(secrets)
    assert len(set(secrets.values())) == len(secrets)


def test_the_secrets_are_fit_for_what_they_are_used_for(secrets: Mapping[str, str]) -> None:
    from cryptography.fernet import Fernet

    Fernet(secrets["AIRFLOW_FERNET_KEY"].encode())
    for name in secrets.keys() - {"AIRFLOW_FERNET_KEY"}:
        # They stand in URLs, in JSON and between quotes.
        assert re.fullmatch(r"[0-9a-z]{32,}", secrets[name]), name


def test_new_env_never_replaces_what_is_there_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = new_env(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    again = subprocess.run([str(tmp_path / "stack" / "new-env.sh")], capture_output=True, check=False)
    assert again.returncode != 0
    assert path.read_text() == before


def test_the_demo_s_files_hold_what_its_stand_ins_really_ask_for(tmp_path: Path) -> None:
    from daybreak.settings import load
    from examples.standins.github.server import BOT, SECRET, hosting
    from examples.standins.slack.server import workspace

    secrets = read_env(new_env(tmp_path, "demo"))
    team = read_env(tmp_path / "team.env")
    assert (tmp_path / "team.env").stat().st_mode & 0o777 == 0o600
    settings = load(ROOT / "stack" / "demo" / "daybreak.yaml", {**secrets, **team})

    slack, github = workspace(seed=1).app, hosting(tmp_path / "git", "http://github:8092", 1)
    said = {
        name: json.loads(team[f"AIRFLOW_CONN_{name}"]) for name in ("AWS_DEMO", "SLACK_DEMO", "GITHUB_DEMO")
    }
    assert said["SLACK_DEMO"]["password"] == team["DAYBREAK_SLACK__TOKEN"] == slack.token
    assert said["SLACK_DEMO"]["extra"]["signing_secret"] == slack.signing_secret
    assert said["GITHUB_DEMO"]["password"] == team["GITHUB_TOKEN"] == github.user(BOT).token
    assert said["GITHUB_DEMO"]["extra"]["webhook_secret"] == SECRET
    assert settings.github is not None
    assert settings.github.login == BOT
    address = secrets["DEMO_AWS_ADDRESS"]
    assert address in map(str, ipaddress.ip_network(secrets["STACK_SUBNET"]).hosts())
    assert said["AWS_DEMO"]["extra"]["endpoint_url"] == team["AWS_ENDPOINT_URL"] == f"http://{address}:4566"
    # What the store, and what workers share, is on another machine than any of them.
    assert secrets["DAYBREAK_STORE"].startswith("s3://")
