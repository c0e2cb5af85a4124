"""GitHub's deliveries come in signed, once, and are answered at once."""

from __future__ import annotations

import hashlib
import hmac
import json
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, select

from daybreak.orchestration import webhooks
from daybreak.registry import tables
from daybreak.registry.inbox import Inbox
from daybreak.settings import Settings
from tests.fixtures.asgi import Served, ask
from tests.fixtures.github import Hub

SECRET = "It's a Secret to Everybody"
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
COMMENT = {
    "action": "created", "repository": {"full_name": "acme/mono"}, "sender": {"login": "dana"},
    "issue": {"number": 7, "pull_request": {}},
    "comment": {
        "id": 31, "user": {"login": "dana"}, "body": "@gandalf merge", "created_at": "2026-03-05T08:00:01Z",
    },
}  # fmt: skip


def sign(secret: str, body: bytes) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


class Door:
    """The mounted app over a registry, and what it woke."""

    def __init__(self, engine: Engine, secret: str = SECRET, repository: str = "acme/mono") -> None:
        self.engine, self.woken = engine, 0
        settings = Settings.model_validate({"github": {"repository": repository}})
        installation: Any = SimpleNamespace(inbox=Inbox(engine), settings=settings)
        access: Any = SimpleNamespace(webhook_secret=secret)
        self.app = webhooks.create(self._no_slack, self._wake, github=lambda: (installation, access))

    def _wake(self) -> None:
        self.woken += 1

    def _no_slack(self) -> Any:
        raise LookupError

    def post(
        self, payload: Any = COMMENT, event: str = "issue_comment", guid: str = GUID, **headers: str
    ) -> Any:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        sent = {
            "Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": guid,
            "X-Hub-Signature-256": sign(SECRET, body), **headers,
        }  # fmt: skip
        raw = {name.encode(): value.encode() for name, value in sent.items()}
        return ask(self.app, "POST", "/github", content=body, headers=raw)

    def rows(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(
                connection.execute(select(tables.inbox).order_by(tables.inbox.c.received_at)).mappings()
            )


@pytest.fixture
def door(sqlite_registry: Engine) -> Door:
    return Door(sqlite_registry)


def test_githubs_own_example_of_a_signature_is_taken(door: Door) -> None:
    # docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation".
    example = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert sign(SECRET, b"Hello, World!") == example
    assert door.post(b"Hello, World!", **{"X-Hub-Signature-256": example}).status_code == 400


def test_a_command_is_written_down_once_however_it_is_delivered_again(door: Door) -> None:
    assert door.post().status_code == 200
    # Redelivered by hand; and replayed by somebody who saw it: the GUID is not signed.
    assert door.post().status_code == 200
    assert door.post(guid="00000000-aaaa-bbbb-cccc-000000000000").status_code == 200
    [row] = door.rows()
    assert (row["key"], row["source"], row["status"]) == ("github/comment/31", "github", "waiting")
    assert row["payload"] == {
        "kind": "commented", "pr": 7, "comment": 31, "author": "dana", "body": "@gandalf merge",
        "commit": None, "at": "2026-03-05T08:00:01Z",
    }  # fmt: skip
    assert door.woken == 1


@pytest.mark.parametrize(
    "signature",
    ["", "sha256=", sign("another", b"x"), sign("another secret", json.dumps(COMMENT).encode()),
     sign(SECRET, json.dumps(COMMENT).encode() + b" "), "sha256=ü", "sha1=" + "0" * 40],
    ids=["none", "empty", "forged", "another's", "another body's", "not ascii", "the old kind"],
)  # fmt: skip
def test_what_is_not_signed_with_our_secret_is_refused_and_leaves_nothing(door: Door, signature: str) -> None:
    answer = door.post(**{"X-Hub-Signature-256": signature})
    assert (answer.status_code, door.rows(), door.woken) == (401, [], 0)


def test_without_a_secret_everything_is_refused_and_the_log_says_why(
    sqlite_registry: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    closed = Door(sqlite_registry, secret="")
    empty = sign("", json.dumps(COMMENT).encode())
    assert closed.post(**{"X-Hub-Signature-256": empty}).status_code == 503
    assert "webhook_secret" in caplog.text
    assert closed.rows() == []


def test_a_ping_is_answered_what_is_nothing_for_us_is_taken_and_nonsense_is_refused(door: Door) -> None:
    assert door.post({"zen": "Keep it logically awesome."}, "ping").text == "pong"
    assert door.post({**COMMENT, "repository": {"full_name": "acme/other"}}).status_code == 200
    assert door.post({}, "star").status_code == 200
    assert door.post({}).status_code == 400
    assert door.post(guid="").status_code == 400
    assert door.post(b"[" * 99_999).status_code == 400
    assert door.post(b"x" * (webhooks.MOST_OF_GITHUB + 1)).status_code == 413
    assert (door.rows(), door.woken) == ([], 0)


def test_what_people_do_on_github_is_in_the_inbox_once_whatever_happens_to_deliveries(
    sqlite_registry: Engine, hub: Hub
) -> None:
    door, number = Door(sqlite_registry, hub.site.secret, hub.name), hub.pull()
    with Served(door.app) as served:
        hub.site.listen_at(f"{served.url}/github")
        hub.site.fate("doubled", "lost")
        first = hub.site.comment("dana", hub.name, number, "/gandalf merge")
        lost = hub.site.comment("yossi", hub.name, number, "/gandalf hold")
        hub.site.comment("dana", hub.name, number, "well done")
        hub.site.review("yossi", hub.name, number)
        after = hub.branch("feature", {"more": "1\n"}, start="feature")
        hub.site.settled()
        keys = [row["key"] for row in door.rows() if row["payload"]["kind"] == "commented"]
        assert keys == [f"github/comment/{first}"]
        happened = [row["payload"] for row in door.rows() if row["payload"]["kind"] != "commented"]
        assert [each.get("what", each.get("ref")) for each in happened] == [
            "reviewed", "refs/heads/feature", "synchronize",
        ]  # fmt: skip
        assert happened[-1]["head"] == after
        guid = hub.site.deliveries("issue_comment")[1]["guid"]
        hub.site.redeliver(guid)
        hub.site.settled()
    assert f"github/comment/{lost}" in [row["key"] for row in door.rows()]
    answered = {each["status"] for each in hub.site.deliveries() if each["event"] != "push"}
    assert answered - {None} == {200}
