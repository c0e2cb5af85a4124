"""The REST client where Airflow is ill or absent; with a healthy one it is tested in tests/system."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from daybreak.errors import UsageError
from daybreak.orchestration.rest import AirflowUnreachable, Rest
from daybreak.settings import Settings


class Ill(ThreadingHTTPServer):
    """Gives a token; then the answers that a test lays out, the last one for ever."""

    answers: list[tuple[int, object]]
    asked: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Ill

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201, {"access_token": "t"})

    def do_GET(self) -> None:
        self.server.asked += 1
        answers = self.server.answers
        self._answer(*(answers.pop(0) if len(answers) > 1 else answers[0]))

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def ill() -> Iterator[Ill]:
    with Ill(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_server_that_is_busy_for_a_moment_is_asked_again(ill: Ill) -> None:
    ill.answers = [(503, {}), (404, {"detail": "The DagRun was not found"})]
    with pytest.raises(UsageError, match="Airflow refused it: The DagRun was not found"):
        Rest(ill.url, "bot", "secret").run("nightly", "one")
    assert ill.asked == 2


def test_a_server_that_stays_broken_is_named(ill: Ill) -> None:
    ill.answers = [(500, {"detail": "no database"})]
    with pytest.raises(AirflowUnreachable, match=rf"Airflow at {ill.url} answered 500: no database"):
        Rest(f"{ill.url}/", "bot", "secret").run("nightly", "one")


def test_what_a_role_does_not_allow_is_said_with_the_user(ill: Ill) -> None:
    ill.answers = [(403, {"detail": "Forbidden"})]
    with pytest.raises(UsageError, match=r"does not allow it to 'bot': Forbidden; give it a role"):
        Rest(ill.url, "bot", "secret").run("nightly", "one")


def test_no_answer_is_an_error_of_its_own() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(AirflowUnreachable, match=f"Airflow at {url} does not answer"):
            Rest(url, "bot", "secret").trigger("nightly", "one", {})


def test_importing_it_costs_neither_airflow_nor_its_client() -> None:
    script = (
        "import sys, daybreak.orchestration.rest;"
        "print([name for name in ('airflow', 'airflow_client', 'urllib3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_an_airflow_in_the_settings_it_says_what_to_write() -> None:
    with pytest.raises(UsageError, match="no `airflow:` section"):
        Rest.of(Settings())
