"""The demo's world, booted once as a new user boots it, and left running for the stories."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
from sqlalchemy import Engine, create_engine

from daybreak.cli.env import status
from daybreak.environment.installation import Installation
from daybreak.orchestration.rest import Rest, Run, TaskInstance
from daybreak.settings import load
from examples.standins.aws.emulator import AwsEmulator
from examples.standins.slack.server import SlackClient

ROOT = Path(__file__).resolve().parents[2]
DAG = "nightly"
#: From nothing to the end of the first night; the machine may be doing other things as well.
BOOT_SECONDS = 420


class Demo:
    """``make demo``, as a process of its own, and what may be asked from outside."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.folder = ROOT / ".demo" / str(port)
        self.lines: list[str] = []
        self._more = threading.Condition()

    def start(self, *words: str) -> Demo:
        """Start it as a shell does that has no terminal."""
        self.lines.clear()
        for cached in ("rest", "http", "aws", "slack", "session", "installation"):
            self.__dict__.pop(cached, None)
        command = ["-W", "error::UserWarning", "-m", "examples.demo", "--port", str(self.port), *words]
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._more.notify_all()

    def wait_for(self, says: Callable[[str], Any]) -> str:
        """The first line of which ``says`` is true."""
        deadline = time.monotonic() + BOOT_SECONDS
        with self._more:
            while True:
                found = next((line for line in self.lines if says(line)), None)
                if found is not None:
                    return found
                told = "\n".join(self.lines)
                assert self.process.poll() is None, f"the demo ended with {self.process.returncode}:\n{told}"
                assert time.monotonic() < deadline, f"the demo is still busy:\n{told}"
                self._more.wait(1)

    def interrupt(self) -> int:
        """Ctrl-C; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def kill(self) -> None:
        """Whatever happened: nothing of it outlives the tests."""
        if hasattr(self, "process") and self.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.interrupt()
            self.process.kill()
            self.process.wait()

    @property
    def record(self) -> Mapping[str, Any]:
        """``run.json``."""
        return dict(json.loads((self.folder / "run.json").read_text()))

    @cached_property
    def rest(self) -> Rest:
        """Airflow, as the bot that triggers runs."""
        return Rest(self.record["urls"]["airflow"], **self.record["bot"])

    @cached_property
    def http(self) -> httpx.Client:
        """Airflow, as the person at the browser."""
        url = self.record["urls"]["airflow"]
        token = httpx.post(f"{url}/auth/token", json=self.record["login"], trust_env=False)
        bearer = {"Authorization": f"Bearer {token.json()['access_token']}"}
        return httpx.Client(base_url=url, headers=bearer, timeout=30, trust_env=False)

    @cached_property
    def aws(self) -> AwsEmulator:
        """The control side of the emulator: its journal."""
        emulator = AwsEmulator()
        emulator.port = int(self.record["urls"]["aws"].rpartition(":")[2])
        return emulator

    @cached_property
    def slack(self) -> SlackClient:
        """Slack, as the people on its page."""
        return SlackClient(self.record["urls"]["slack"])

    @property
    def account(self) -> str:
        """The AWS account of all environments."""
        return str(self.settings["environments"][0]["account"])

    @cached_property
    def session(self) -> boto3.Session:
        """A session of that account."""
        return boto3.Session(self.account, "demo", region_name="us-east-1")

    def client(self, service: str) -> Any:
        """A client of boto3's."""
        return self.session.client(service, endpoint_url=self.record["urls"]["aws"])

    @property
    def settings(self) -> dict[str, Any]:
        """``daybreak.yaml``."""
        import yaml

        return dict(yaml.safe_load((self.folder / "daybreak.yaml").read_text()))

    def git(self, *words: str) -> str:
        """``git …`` in the monorepo."""
        done = subprocess.run(
            ["git", "-C", str(self.folder / "acme"), *words], capture_output=True, text=True, check=True,
            env={**os.environ, "GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig")},
        )  # fmt: skip
        return done.stdout.strip()

    def database(self, environment: str) -> Engine:
        """The SQL database of an environment."""
        url = self.record["registry"].replace("/daybreak?", f"/{environment.replace('-', '_')}_fleet_db?")
        return create_engine(url)

    def daybreak(self, *words: str) -> str:
        """``daybreak …`` in this world; what it says."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """``daybreak …`` in this world, however it ends."""
        return subprocess.run(
            [str(Path(sys.executable).parent / "daybreak"), *words],
            env={**os.environ, **self.record["environ"], **environ}, cwd=ROOT, capture_output=True, text=True,
            check=False, timeout=240,
        )  # fmt: skip

    @cached_property
    def installation(self) -> Installation:
        """What a ``daybreak`` command opens in this world; a process for each look costs seconds."""
        settings = load(self.folder / "daybreak.yaml", self.record["environ"])
        return Installation.open(settings, lambda _: self.session)

    def status(self) -> dict[str, dict[str, Any]]:
        """As ``daybreak env status --json`` says it, by environment."""
        return {each["name"]: each for each in status(self.installation)["environments"]}

    def follow(self, run_id: str, seconds: float = 300) -> Run:
        """Wait for the end of a run."""
        deadline = time.monotonic() + seconds
        while not (run := self.rest.run(DAG, run_id)).ended:
            assert time.monotonic() < deadline, self.rest.task_instances(DAG, run_id)
            time.sleep(0.5)
        return run

    def night(self, run_id: str, **conf: Any) -> Run:
        """Trigger ``nightly`` and wait for its end."""
        self.rest.trigger(DAG, run_id, {"wait": False, **conf})
        return self.follow(run_id)

    def tasks(self, run_id: str, dag: str = DAG) -> Sequence[TaskInstance]:
        """The run's task instances."""
        return self.rest.task_instances(dag, run_id)

    def log(self, run_id: str, task_id: str, try_number: int = 1) -> str:
        """What the task said."""
        path = f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        answer = self.http.get(path, params={"full_content": True}, headers={"Accept": "application/json"})
        answer.raise_for_status()
        return json.dumps(answer.json()["content"])

    def group_pids(self) -> set[int]:
        """Every process of the groups that it started."""
        from examples.demo.processes import Mark, family

        marks = [Mark(group["pid"], group["began"]) for group in self.record["groups"].values()]
        return {process.pid for process in family(marks)}

    def ports(self) -> set[int]:
        """Where it and what it started listen."""
        found = set()
        for pid in self.group_pids():
            # A task's process may be gone by now.
            with suppress(psutil.NoSuchProcess):
                for connection in psutil.Process(pid).net_connections("inet"):
                    if connection.status == psutil.CONN_LISTEN:
                        found.add(connection.laddr.port)
        return found


@contextmanager
def on_a_free_port() -> Iterator[Demo]:
    """A demo that was not started yet; nothing of it is left afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        made = Demo(probe.getsockname()[1])
    try:
        yield made
    finally:
        made.kill()
        shutil.rmtree(made.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """The demo after its night."""
    with on_a_free_port() as made:
        made.start("--no-pulls").wait_for(lambda line: line.startswith("night "))
        yield made


def alive(pids: set[int]) -> list[str]:
    """Those of the processes that live."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        if process.info["pid"] in pids and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(f"{process.info['pid']} {process.info['cmdline']}")
    return found


def listening(ports: set[int]) -> set[int]:
    """Those of the ports at which somebody listens."""
    taken = set()
    for port in ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                taken.add(port)
    return taken
