"""Nothing comes in unsigned, and what comes in is written down once and answered at once."""

from __future__ import annotations

import ast
import json
import runpy
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, select
from starlette.routing import BaseRoute, Mount, Route

from daybreak.orchestration import webhooks
from daybreak.registry import tables
from daybreak.registry.inbox import Inbox
from examples.standins.slack.delivery import sign
from tests.fixtures.asgi import ask

ROOT = Path(__file__).resolve().parents[2]
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
COMMAND = {
    "command": "/bobby", "text": "lock dev-01", "user_id": "U1", "channel_id": "C1", "trigger_id": "1.2.3",
    "response_url": "http://127.0.0.1:1/respond/x",
}  # fmt: skip


class Door:
    """The mounted app over a registry, and what it woke."""

    def __init__(self, engine: Engine, secret: str = SECRET) -> None:
        self.engine, self.woken = engine, 0
        self.installation: Any = SimpleNamespace(inbox=Inbox(engine))
        access: Any = SimpleNamespace(signing_secret=secret)
        github: Any = SimpleNamespace(webhook_secret=secret)
        self.app = webhooks.create(
            lambda: (self.installation, access), self._wake, github=lambda: (self.installation, github)
        )

    def _wake(self) -> None:
        self.woken += 1

    def post(self, body: str, at: float | None = None, secret: str = SECRET, **headers: str) -> Any:
        kind = "application/json" if body.startswith("{") else "application/x-www-form-urlencoded"
        signed = sign(secret, body, int(at if at is not None else time.time()))
        sent = {"Content-Type": kind, **signed, **headers}
        return ask(self.app, "POST", "/slack", content=body, headers=sent)

    def rows(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(tables.inbox)).mappings())


@pytest.fixture
def door(sqlite_registry: Engine) -> Door:
    return Door(sqlite_registry)


def test_a_command_is_answered_at_once_written_down_and_somebody_is_woken(door: Door) -> None:
    answer = door.post(urlencode(COMMAND))
    assert (answer.status_code, answer.text, door.woken) == (200, "", 1)
    [row] = door.rows()
    assert (row["key"], row["source"], row["status"]) == ("slack/command/1.2.3", "slack", "waiting")
    assert row["payload"] | {"how": "command", "user": "U1", "text": "lock dev-01"} == row["payload"]


def test_four_deliveries_are_one_request(door: Door) -> None:
    event = {"type": "app_mention", "user": "U1", "text": "<@UBOT> status", "ts": "1.2", "channel": "C1"}
    body = json.dumps({"type": "event_callback", "event_id": "Ev1", "event": event})
    for number in range(4):
        retry = {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": "http_timeout"} if number else {}
        assert door.post(body, **retry).status_code == 200
    assert [row["payload"]["text"] for row in door.rows()] == ["status"]
    assert door.woken == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda headers, _: headers.pop("X-Slack-Signature"),
        lambda headers, _: headers.pop("X-Slack-Request-Timestamp"),
        lambda headers, _: headers.update({"X-Slack-Signature": "v0=" + "0" * 64}),
        lambda headers, _: headers.update({"X-Slack-Signature": "v0=ü"}),
        lambda headers, _: headers.update({"X-Slack-Request-Timestamp": "yesterday"}),
        lambda headers, body: headers.update(sign("another secret", body, int(time.time()))),
        lambda headers, body: headers.update(sign(SECRET, body + " ", int(time.time()))),
        lambda headers, body: headers.update(sign(SECRET, body, int(time.time()) - 360)),
        lambda headers, body: headers.update(sign(SECRET, body, int(time.time()) + 360)),
    ],
    ids=["no signature", "no time", "forged", "not ascii", "no number", "another app's", "another body's",
         "six minutes old", "of the future"],
)  # fmt: skip
def test_what_is_not_signed_by_our_app_within_five_minutes_is_refused_and_leaves_nothing(
    door: Door, change: Callable[[dict[str, str], str], Any]
) -> None:
    body = urlencode(COMMAND)
    headers = {"Content-Type": "application/x-www-form-urlencoded", **sign(SECRET, body, int(time.time()))}
    change(headers, body)
    raw = {name.encode(): value.encode() for name, value in headers.items()}
    answer = ask(door.app, "POST", "/slack", content=body, headers=raw)
    assert (answer.status_code, door.rows(), door.woken) == (401, [], 0)


def test_without_a_secret_everything_is_refused_and_the_log_says_why(
    sqlite_registry: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    closed = Door(sqlite_registry, secret="")
    assert closed.post(urlencode(COMMAND), secret="x").status_code == 503
    assert "signing_secret" in caplog.text
    assert closed.rows() == []


def test_a_connection_that_is_missing_refuses_and_its_reason_stays_inside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = 0

    def missing() -> Any:
        nonlocal asked
        asked += 1
        raise LookupError("the conn_id `slack_default` isn't defined")

    app = webhooks.create(missing)
    for _ in range(3):
        answer = ask(app, "POST", "/slack", content=b"x")
        assert (answer.status_code, answer.text) == (503, "not set up")
    assert asked == 1, "whoever floods us floods Airflow's database, too"
    assert "slack_default" in caplog.text


def test_a_body_over_the_limit_is_refused_before_all_of_it_is_read(door: Door) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 100 * webhooks.MOST:
            read += 1 << 16
            yield b"x" * (1 << 16)

    assert ask(door.app, "POST", "/slack", content=endless()).status_code == 413
    assert read <= webhooks.MOST + (1 << 17)


def test_a_registry_that_is_away_is_no_success_so_that_slack_comes_again(door: Door) -> None:
    def away(*_: Any) -> bool:
        raise OSError("no server")

    door.installation.inbox = SimpleNamespace(record=away)
    assert door.post(urlencode(COMMAND)).status_code == 503


def test_slack_may_verify_the_url_and_only_slack(door: Door) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRN"})
    assert door.post(body).json() == {"challenge": "3eZbrw1aBm2rZgRN"}
    assert door.post(body, secret="another").status_code == 401


@pytest.mark.parametrize(
    "body", ["{", "[1]", "payload=%7B", "x", '{"event": {}}', "command=/bobby", "{" * 9999]
)
def test_a_signed_body_that_is_not_understood_is_refused(door: Door, body: str) -> None:
    assert door.post(body).status_code == 400
    assert door.rows() == []


def _routes(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, Route]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _routes(list(route.routes), prefix + route.path)
        else:
            assert isinstance(route, Route), f"{route} is no route that this test can walk"
            yield prefix + route.path, route


def test_every_route_of_every_mounted_app_refuses_who_does_not_prove_himself(door: Door) -> None:
    plugin = runpy.run_path(str(ROOT / "plugins" / "daybreak_plugin.py"))["DaybreakPlugin"]()
    mounted = plugin.fastapi_apps
    assert [each["url_prefix"] for each in mounted] == ["/daybreak"]
    # The same routes over a registry that is there, so that not even a valid body gets through.
    walked = 0
    for app in [*(each["app"] for each in mounted), door.app]:
        assert isinstance(app, FastAPI)
        for path, route in _routes(list(app.routes)):
            assert route.methods, path
            for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"):
                for body in (b"", urlencode(COMMAND).encode()):
                    answer = ask(app, method, path, content=body)
                    assert answer.status_code in (401, 403, 405, 503), f"{method} {path} is open"
            assert route.methods <= {"POST"}, f"{path} may change something by {route.methods}"
            walked += 1
    assert walked >= 4
    assert door.rows() == []


def test_the_plugin_costs_other_processes_nothing() -> None:
    file = ast.parse((ROOT / "plugins" / "daybreak_plugin.py").read_text())
    imported = {node.module for node in file.body if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "functools", "typing", "airflow.plugins_manager"}
    assert not [node for node in file.body if isinstance(node, ast.Import)]
