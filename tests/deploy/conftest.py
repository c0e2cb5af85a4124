"""A real host process and small services for it to own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from daybreak.deploy.driver import Package, Target
from daybreak.deploy.host import HostClient, ServiceSpec
from daybreak.settings import EnvironmentSettings

#: Answers /healthz while the file `healthy` is in its folder or HEALTHY=always, and tells its environment.
SERVICE = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = os.environ.get("HEALTHY", "always") == "always" or os.path.exists("healthy")
        body = json.dumps(dict(os.environ)).encode() if self.path == "/env" else b"ok"
        self.send_response(200 if ok or self.path == "/env" else 503)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
print("serving with", os.environ.get("SAY", "nothing to say"), flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

HOST = """
import sys
from pathlib import Path
from daybreak.deploy.host.serving import serve
from daybreak.deploy.host.service import Timing
from daybreak.errors import DaybreakError
timing = Timing(check_starting=0.05, check_running=0.1, unhealthy_after=2, backoff_first=0.05,
                backoff_cap=0.2, crash_loop_after=3, grace=2.0)
try:
    serve(Path(sys.argv[1]), timing=timing, log_limit=20_000)
except DaybreakError as error:
    sys.exit(f"refused: {error}")
"""


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> object:
    """The first true value of ``condition``; fails the test when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass
class RunningHost:
    """A host that a test started, and may kill and start again."""

    home: Path
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    #: Before its own command, as `setpriv` is.
    prefix: tuple[str, ...] = ()

    @property
    def client(self) -> HostClient:
        return HostClient(self.home)

    def start(self) -> None:
        environment = {**os.environ, "ORCHESTRATOR_SECRET": "must not leak", **self.environment}
        command = [*self.prefix, sys.executable, "-c", HOST, str(self.home)]
        self.process = subprocess.Popen(command, env=environment)
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the host ended"
        try:
            return self.client.ping() == self.process.pid
        except Exception:
            return False

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process = None
        return code


@pytest.fixture
def host(tmp_path: Path) -> Iterator[RunningHost]:
    running = RunningHost(tmp_path / "home")
    running.start()
    yield running
    if running.process is not None:
        running.end()


@pytest.fixture
def make_spec(tmp_path: Path) -> Callable[..., ServiceSpec]:
    def make(key: str = "k1", program: str = SERVICE, **env: str) -> ServiceSpec:
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        return ServiceSpec(
            key=key,
            argv=(sys.executable, "-I", "-S", "-c", textwrap.dedent(program)),
            cwd=str(folder),
            env=env,
        )

    return make


@dataclass
class Deploys:
    """Targets of environments of one test, and artifacts for them."""

    home: Path
    sql: str | None = None
    session: Any = None
    endpoint_url: str | None = None
    account: str = "000000000001"
    stack: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    guards: int = 0
    lost: Exception | None = None

    def guard(self) -> None:
        self.guards += 1
        if self.lost:
            raise self.lost

    def target(self, name: str = "dev-01", nonce: str = "n1", **variables: str) -> Target:
        settings = EnvironmentSettings(
            name=name, account=self.account, sql=SecretStr(self.sql) if self.sql else None
        )
        return Target(
            environment=settings, nonce=nonce, session=self.session, endpoint_url=self.endpoint_url,
            stack=self.stack, home=self.home, guard=self.guard, variables=variables, log=self.log.append,
        )  # fmt: skip

    def package(self, files: Mapping[str, str | bytes], key: str = "k1", resource: str = "thing") -> Package:
        folder = self.home / "artifacts" / resource / key
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        folder.mkdir(parents=True, exist_ok=True)
        return Package(resource, key, "c" * 40, folder)


@pytest.fixture
def deploys(tmp_path: Path) -> Deploys:
    return Deploys(tmp_path / "home")
