"""Whatever the stack sets is known to the one that reads it, and whatever it runs exists."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from daybreak.cli.main import parser as daybreak_parser
from daybreak.settings import Settings, load
from tests.stack.conftest import ROOT, airflow_options, image_environment, resolve

Services = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def environment(services: Services, secrets: Mapping[str, str]) -> dict[str, str]:
    """What a task of the stack sees: the image's variables, and the scheduler's over them."""
    own = services["scheduler"]["environment"].items()
    return image_environment() | {name: resolve(value, secrets) for name, value in own}


def test_airflow_knows_every_option_that_is_set(services: Services) -> None:
    known = {
        f"AIRFLOW__{section}__{option}".upper()
        for section, its in airflow_options().items()
        for option in its["options"]
    }
    named = {name for service in services.values() for name in service["environment"]} | set(
        image_environment()
    )
    options = {name for name in named if name.startswith("AIRFLOW__")}
    assert len(options) > 15
    assert options - known == set()


def test_daybreak_knows_every_setting_that_is_set(environment: Mapping[str, str]) -> None:
    names = {name for name in environment if name.startswith("DAYBREAK_")} - {"DAYBREAK_CONFIG"}
    assert len(names) >= 3
    # Within a field, `load` refuses what it does not know; a field that it does not know it leaves alone.
    fields = {name.removeprefix("DAYBREAK_").lower().split("__")[0] for name in names}
    assert fields - set(Settings.model_fields) == set()


def test_the_image_s_own_settings_are_valid_with_what_the_stack_sets(environment: Mapping[str, str]) -> None:
    settings = load(ROOT / "include" / "config" / "daybreak.yaml", environment)
    assert settings.registry_url.startswith("postgresql+psycopg2://daybreak:")
    assert str(settings.home) == "/var/lib/daybreak"


def test_airflow_s_database_is_never_scorched(environment: Mapping[str, str]) -> None:
    settings = load(ROOT / "include" / "config" / "daybreak.yaml", environment)
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] in settings.forbidden_urls
    assert environment["DAYBREAK_REGISTRY"] in settings.forbidden_urls


def test_all_daybreak_services_have_the_same_settings(services: Services) -> None:
    apart = ("postgres", "redis", "init", "host", "log-groomer")
    ours = [its["environment"] for name, its in services.items() if name not in apart]
    assert all(each == ours[0] for each in ours)
    # The host opens no registry.
    host = {
        name: value for name, value in services["host"]["environment"].items() if name != "DAYBREAK_REGISTRY"
    }
    assert host.items() <= ours[0].items()
    first = services["init"]["environment"]
    assert {name: value for name, value in first.items() if name in ours[0]} == ours[0]


def test_the_pools_together_fit_into_the_executor(environment: Mapping[str, str]) -> None:
    from daybreak.orchestration.pools import POOLS

    assert sum(pool.slots for pool in POOLS) <= int(environment["AIRFLOW__CORE__PARALLELISM"])
    assert int(environment["AIRFLOW__CELERY__WORKER_CONCURRENCY"]) >= 2


def test_the_auth_manager_and_the_executor_are_installed(environment: Mapping[str, str]) -> None:
    from importlib import import_module

    from airflow.providers.celery.executors.celery_executor import CeleryExecutor
    from airflow.providers.celery.executors.celery_executor_utils import app
    from airflow.providers.cncf.kubernetes.executors.kubernetes_executor import KubernetesExecutor

    assert app.backend is not None
    module, _, name = environment["AIRFLOW__CORE__AUTH_MANAGER"].rpartition(".")
    assert hasattr(import_module(module), name)

    # Not only found: a Celery of another release than its provider knows is found, and cannot be imported.
    assert environment["AIRFLOW__CORE__EXECUTOR"] == CeleryExecutor.__name__
    assert KubernetesExecutor.__name__ == "KubernetesExecutor"


def commands(services: Services) -> Iterator[tuple[str, list[str]]]:
    for name, service in services.items():
        if "command" in service:
            yield name, service["command"]
        if "healthcheck" in service:
            kind, *words = service["healthcheck"]["test"]
            assert kind == "CMD", f"{name}: a shell hides a command's exit code"
            yield f"{name}, health", words[1:] if words[0] == "/entrypoint" else words
    script = (ROOT / "stack" / "init.sh").read_text().replace("\\\n", " ")
    for line in script.splitlines():
        found = re.match(r"\s*((airflow|daybreak) .*|python -m .*)", line)
        if found:
            yield "init.sh", shlex.split(re.sub(r" > .*", "", found[1]))
    dockerfile = (ROOT / "Dockerfile").read_text()
    yield "Dockerfile", json.loads(re.findall(r"^CMD (.*)$", dockerfile, re.MULTILINE)[0])


def test_every_command_is_one_that_the_image_has(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    from airflow.cli.cli_parser import get_parser

    airflow = get_parser()
    seen = set()
    for where, (program, *words) in commands(services):
        seen.add((where, program))
        match program:
            case "airflow":
                airflow.parse_args(words)
            case "daybreak":
                daybreak_parser().parse_args(words)
            case "python" if words[0] == "-c":
                compile(words[1], where, "exec")
            case "python" if words[0].endswith(".py"):
                assert (ROOT / Path(words[0]).relative_to("/opt/daybreak")).exists()
            case "python" if words[0] == "-m":
                at = Path(*words[1].split("."))
                places = [
                    ROOT / "include" / at.with_suffix(".py"),
                    ROOT / at.with_suffix(".py"),
                    ROOT / at / "__main__.py",
                ]
                assert any(place.exists() for place in places), words[1]
            case "sh" if where == "redis":
                assert "redis-server" in words[1]
            case "sh" if where == "log-groomer":
                assert "find /opt/airflow/logs" in words[1]  # test_compose.py runs it
            case "sh":
                assert (ROOT / Path(words[0]).relative_to("/opt/daybreak")).exists()
            case "pg_isready":
                assert where == "postgres, health"
            case "redis-cli":
                assert where == "redis, health"
            case other:
                pytest.fail(f"{where}: nothing is known of {other}")
    assert {program for where, program in seen if where == "init.sh"} == {"airflow", "daybreak", "python"}
