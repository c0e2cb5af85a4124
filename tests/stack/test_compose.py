"""The compose file is right, as far as it can be known without starting it."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.stack.conftest import ROOT, VARIABLE, image_environment, new_env, resolve

Services = Mapping[str, Mapping[str, Any]]


def environments(services: Services) -> Iterator[tuple[str, str, str]]:
    for service, its in services.items():
        for name, value in its.get("environment", {}).items():
            yield service, name, value


# --- what starts when, and what is seen of it ---


def test_every_service_is_watched_or_runs_to_its_end(services: Services) -> None:
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
    watched = set(services) - {"postgres", "init"}
    assert {name for name in watched if "init" not in services[name]["depends_on"]} == set()


def test_all_parts_of_an_airflow_are_there(services: Services) -> None:
    commands = [service["command"] for service in services.values() if "command" in service]
    parts = {command[1] for command in commands if command[0] == "airflow"}
    assert parts == {"api-server", "scheduler", "dag-processor", "triggerer"}


def test_tasks_and_services_share_a_network_that_neither_can_take_away(services: Services) -> None:
    # A service of the `process` driver listens on 127.0.0.1, and e2e suites call it there.
    for name in ("host", "scheduler"):
        assert services[name]["network_mode"] == "service:machine"
        assert services[name]["depends_on"]["machine"]["restart"] is True
    assert services["machine"]["command"] == ["sleep", "infinity"]


def test_only_the_api_is_published_and_only_to_this_machine_by_default(services: Services) -> None:
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert set(published) == {"api-server"}
    (port,) = published["api-server"]
    assert resolve(port, {}) == "127.0.0.1:8080:8080"


def test_what_must_live_is_on_a_named_volume(compose: dict[str, Any], services: Services) -> None:
    used = {}
    for name, service in services.items():
        for volume in service["volumes"]:
            if isinstance(volume, str) and not volume.startswith("."):
                source, target = volume.split(":")[:2]
                used.setdefault(source, set()).add((name, target))
    assert set(used) == set(compose["volumes"])
    image = image_environment()
    daybreak = {name for name in services if name != "postgres"}
    assert used["home"] == {(name, image["DAYBREAK_HOME"]) for name in daybreak}
    assert used["logs"] == {(name, image["AIRFLOW_HOME"] + "/logs") for name in daybreak}
    assert used["postgres"] == {("postgres", "/var/lib/postgresql/data")}


def test_nothing_of_ours_runs_with_more_rights_than_it_needs(services: Services) -> None:
    for name in set(services) - {"postgres"}:
        assert services[name]["cap_drop"] == ["ALL"], name
        assert services[name]["security_opt"] == ["no-new-privileges:true"], name
        assert not services[name].get("privileged"), name
    assert "docker.sock" not in (ROOT / "docker-compose.yaml").read_text()


def test_images_are_pinned_and_ours_is_this_version(services: Services) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, service in services.items():
        image, _, tag = resolve(service["image"], {}).rpartition(":")
        if image == "daybreak":
            assert tag == project["version"], name
        else:
            assert re.match(r"\d+\.\d+(?!\w)", tag), f"{name}: {service['image']} names no release"


# --- secrets ---


def test_no_secret_has_a_value_or_a_default_in_the_repository(services: Services) -> None:
    from airflow.configuration import retrieve_configuration_description

    sensitive = {
        f"AIRFLOW__{section}__{option}".upper()
        for section, its in retrieve_configuration_description(include_providers=False).items()
        for option, about in its["options"].items()
        if about.get("sensitive")
    } | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC", "DAYBREAK_REGISTRY", "DAYBREAK_SCORCH__FORBIDDEN"}
    secret = [
        (service, name, value)
        for service, name, value in environments(services)
        if name in sensitive or re.search("PASSWORD|SECRET|TOKEN", name)
    ]
    assert len({name for _, name, _ in secret}) >= 9
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
