"""A real host process and small services for it to own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daybreak.deploy.host import HostClient, ServiceSpec

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
from daybreak.deploy.host.server import serve
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

    @property
    def client(self) -> HostClient:
        return HostClient(self.home)

    def start(self) -> None:
        environment = {**os.environ, "ORCHESTRATOR_SECRET": "must not leak", **self.environment}
        self.process = subprocess.Popen([sys.executable, "-c", HOST, str(self.home)], env=environment)
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
