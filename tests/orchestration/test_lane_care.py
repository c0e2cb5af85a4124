"""The lane's care where Airflow does not tell how its runs are."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import Engine

from daybreak.environment.machine import State
from daybreak.merge.rules import AttemptState as A
from daybreak.orchestration.merge_care import attend
from daybreak.orchestration.rest import AirflowUnreachable, Rest
from tests.fixtures.registry import ManualClock
from tests.merge.test_care import Cared


class Locked(ThreadingHTTPServer):
    """Refuses each login."""

    logins: int = 0


class _Handler(BaseHTTPRequestHandler):
    server: Locked

    def do_POST(self) -> None:
        self.server.logins += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"detail": "Invalid credentials"}'
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def locked() -> Iterator[Locked]:
    with Locked(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def cared(tmp_path: Path, sqlite_registry: Engine, clock: ManualClock) -> Cared:
    """Two attempts of which nobody is heard any more, one begun a moment ago, an environment in doubt."""
    world = Cared(tmp_path, sqlite_registry, clock)
    for number in (1, 2):
        world.pull_request(number, solo=True)
        world.begin(f"pr-{number}-1")
    environments = world.environments
    environments.fault(environments.get("merge-01"), "quarantined", "to be proven", actor="noa")
    clock.advance(minutes=16)
    world.pull_request(3, solo=True)
    world.begin("pr-3-1")
    return world


def cares(world: Cared, rest: Rest, why: str) -> None:
    """What needs no answer of Airflow is done; then the task fails and says why."""
    done: list[str] = []
    with pytest.raises(AirflowUnreachable, match=why):
        done.extend(attend(world.merge, rest))  # keeps what came before the error
    assert done == [
        "pr-1-1 was left behind; it is REVERTED now",
        "pr-2-1 was left behind; it is REVERTED now",
        "merge-01 runs main again; closed: nothing",
    ]
    assert world.queue.attempt("pr-3-1").state is A.PLANNED
    assert world.environments.get("merge-01").state is State.READY


def test_a_refused_login_holds_up_nothing_that_needs_no_airflow_and_is_asked_once(
    cared: Cared, locked: Locked
) -> None:
    rest = Rest(f"http://127.0.0.1:{locked.server_port}", "bot", "old")
    cares(cared, rest, "refused the login of 'bot': 401 Invalid credentials")
    assert locked.logins == 1


def test_an_airflow_that_is_away_holds_up_nothing_that_needs_none(cared: Cared) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    cares(cared, Rest(f"http://127.0.0.1:{port}", "bot", "secret"), "does not answer")
