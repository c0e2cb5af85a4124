"""Stacks of the unmodified compose file, each in a clone of its own, on an engine that has all images."""

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

from examples.demo.github import Github
from tests.fixtures.engine import Engine
from tests.stack import images
from tests.stack.conftest import ROOT, read_env

#: Build arguments that say where packages come from: the Dockerfile's, and those that every build knows.
FROM_WHERE = (
    "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
)  # fmt: skip
#: Variables of this machine's that Docker and Compose are given, where they are set.
PASSED = ("PATH", "DOCKER_CONFIG", *FROM_WHERE)

#: For one story. The first one waits for the images too: two bases, two builds; and for the stack's start.
STORY_SECONDS = 2400


@dataclass
class Stack:
    """A clone of the repository, its secrets, and the containers of its compose file."""

    folder: Path
    docker_host: str

    def run(self, *words: str) -> str:
        """Docker, or Compose, as a person says it in the clone; its output."""
        env = {name: os.environ[name] for name in PASSED if name in os.environ}
        env |= {"HOME": str(self.folder), "DOCKER_HOST": self.docker_host}
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


def cloned(folder: Path, engine: Engine, *words: str) -> Stack:
    """A clone as a person makes it, with ``stack/new-env.sh``, and ports that are free."""
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(folder)], check=True, timeout=120)
    subprocess.run(
        [str(folder / "stack" / "new-env.sh"), *words], check=True, capture_output=True, timeout=60
    )
    ports = dict(zip(("API_PORT", "SLACK_PORT", "GITHUB_PORT"), free_ports(3), strict=True))
    with (folder / ".env").open("a") as env:
        env.writelines(f"{name}={port}\n" for name, port in ports.items())
    return Stack(folder, engine.url)


@contextlib.contextmanager
def up(stack: Stack, *words: str) -> Iterator[Stack]:
    """Start it and wait until it is healthy; in the end nothing of it is left."""
    try:
        stack.compose("up", "--detach", "--wait", "--wait-timeout", "900", *words)
        yield stack
    finally:
        with contextlib.suppress(AssertionError):
            print(stack.compose("ps", "--all"), stack.compose("logs", "--tail", "40"))
        stack.compose("down", "--volumes", "--timeout", "5")


def built(engine: Engine, folder: Path) -> None:
    """Daybreak's images, and those that they and the compose file start from."""
    images.have(engine, ROOT)
    made = cloned(folder, engine)
    arguments = [word for name in FROM_WHERE if name in os.environ for word in ("--build-arg", name)]
    for tag, more in (("daybreak", ()), ("daybreak-demo", ("--target", "demo"))):
        made.run("docker", "build", "--network=host", "--tag", f"{tag}:0.1.0", *arguments, *more, ".")


def eventually(seconds: float, what: str, look: Callable[[], Any]) -> Any:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        with contextlib.suppress(httpx.HTTPError):
            if found := look():
                return found
        time.sleep(1)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")
