"""The team's stack as data: the compose file and the secrets it asks for; and Compose itself where it is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
#: `${NAME}`, `${NAME:-default}`, `${NAME:?what to do}`
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<sign>[-?])(?P<text>[^}]*))?\}")
#: What `env_file` with `required: false` needs.
OLDEST_COMPOSE = (2, 24)


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """``docker-compose.yaml``, anchors and merges resolved, variables not."""
    return yaml.safe_load((ROOT / "docker-compose.yaml").read_text())


@pytest.fixture(scope="session")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its services."""
    return compose["services"]


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What ``stack/new-env.sh`` writes for a new installation."""
    folder = tmp_path_factory.mktemp("installation")
    return read_env(new_env(folder))


@pytest.fixture(scope="session")
def stack_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that has every image of the stack."""
    from tests.stack import images, stacks

    with images.engine() as engine:
        stacks.built(engine, tmp_path_factory.mktemp("built") / "daybreak")
        yield engine


def new_env(folder: Path, *words: str) -> Path:
    """Run ``stack/new-env.sh`` as if ``folder`` were the repository; the path of its ``.env``."""
    shutil.copytree(ROOT / "stack", folder / "stack")
    script = folder / "stack" / "new-env.sh"
    subprocess.run([str(script), *words], check=True, capture_output=True, timeout=60)
    return folder / ".env"


def read_env(path: Path) -> dict[str, str]:
    """The variables of an env file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def airflow_options() -> dict[str, Any]:
    """Options by section, as Airflow and the executors' providers describe them (all providers: 5 s)."""
    from airflow.configuration import retrieve_configuration_description
    from airflow.providers.celery.get_provider_info import get_provider_info

    known = retrieve_configuration_description(include_providers=False)
    return {**known, **get_provider_info()["config"]}


def image_environment() -> dict[str, str]:
    """What the Dockerfile's ENV sets in every container."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^ENV (.*)$", text, re.MULTILINE)
    return dict(word.split("=", 1) for word in shlex.split(line))


def resolve(value: str, environ: Mapping[str, str]) -> str:
    """``value`` as Compose interpolates it; ``test_compose_reads_it_as_we_do`` holds the two together."""

    def replace(match: re.Match[str]) -> str:
        found = environ.get(match["name"]) or (match["text"] if match["sign"] == "-" else None)
        assert found is not None, f"{match['name']} is not set: {match['text']}"
        return found

    return VARIABLE.sub(replace, value)


@pytest.fixture(scope="session")
def docker_compose() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Compose in a folder, with these words; needs no Docker Engine. Skips where it is not installed."""
    for program, *words in (["docker", "compose"], ["docker-compose"]):
        command = [shutil.which(program) or program, *words]
        if not Path(command[0]).is_absolute():
            continue
        answer = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
        found = re.match(r"v?(\d+)\.(\d+)", answer.stdout)
        if answer.returncode == 0 and found and tuple(map(int, found.groups())) >= OLDEST_COMPOSE:
            break
    else:
        pytest.skip("Docker Compose 2.24 or newer is not installed (.ci/compose installs it)")

    def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        # Without our own variables: they would go before those of the folder's .env. With all profiles.
        return subprocess.run(
            [*command, *words], cwd=folder, env={"PATH": os.environ["PATH"], "COMPOSE_PROFILES": "*"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run
