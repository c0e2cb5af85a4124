"""Slack's stand-in behaves as Slack's documentation says, seen through Slack's own SDK."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from examples.standins.slack.server import SlackStandin, workspace
from examples.standins.slack.web_api import FORM_ONLY
from examples.standins.slack.workspace import SCOPES, SlackError, Workspace
from tests.fixtures.registry import ManualClock


class Receiver:
    """The app's side: keeps what is delivered, with headers; answers as the test wants."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], str]] = []
        self.answers: list[tuple[int, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.got.append(({key.lower(): value for key, value in self.headers.items()}, body))
                status, answer = outer.answers.pop(0) if outer.answers else (200, "")
                self.send_response(status)
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def wait(self, count: int) -> list[tuple[dict[str, str], str]]:
        deadline = time.monotonic() + 10
        while len(self.got) < count:
            assert time.monotonic() < deadline, self.got
            time.sleep(0.01)
        return self.got


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackStandin]:
    with SlackStandin() as made:
        yield made


@pytest.fixture(scope="module")
def client(slack: SlackStandin) -> WebClient:
    return WebClient(slack.workspace.app.token, base_url=slack.api)


@pytest.fixture
def app(slack: SlackStandin) -> Iterator[Receiver]:
    made = Receiver()
    slack.listen_at(made.url)
    yield made
    slack.listen_at(None)
    made.server.shutdown()
    made.server.server_close()


def error(call: Any, *words: Any, **more: Any) -> Any:
    with pytest.raises(SlackApiError) as caught:
        call(*words, **more)
    return caught.value.response


def section(text: str) -> list[dict[str, Any]]:
    return [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]


def button(action: str, value: str) -> dict[str, Any]:
    return {
        "type": "button",
        "action_id": action,
        "value": value,
        "text": {"type": "plain_text", "text": action},
    }


def test_the_sdk_posts_edits_and_finds_its_way_unmodified(slack: SlackStandin, client: WebClient) -> None:
    who = client.auth_test()
    assert who["user_id"] == slack.workspace.app.bot.id
    assert set(who.headers["x-oauth-scopes"].split(",")) == set(SCOPES)
    posted = client.chat_postMessage(channel="#dev-envs", text="one", blocks=section("*one*"))
    client.chat_update(channel=posted["channel"], ts=posted["ts"], text="two", blocks=section("*two*"))
    seen = next(each for each in slack.messages("dana") if each["ts"] == posted["ts"])
    assert (seen["text"], seen["blocks"], "edited" in seen) == ("two", section("*two*"), True)
    link = client.chat_getPermalink(channel=posted["channel"], message_ts=posted["ts"])["permalink"]
    assert httpx.get(link, trust_env=False).headers["location"].startswith(f"/#{posted['channel']}/p")
    dana = client.users_lookupByEmail(email="Dana@acme.example")["user"]
    assert client.users_info(user=dana["id"])["user"]["profile"]["email"] == "dana@acme.example"
    pages = [page["channels"] for page in client.conversations_list(limit=2)]
    assert [len(page) for page in pages] == [2, 1]
    assert client.conversations_info(channel=posted["channel"])["channel"]["name"] == "dev-envs"


def test_only_one_person_sees_an_ephemeral_message_or_a_conversation(
    slack: SlackStandin, client: WebClient
) -> None:
    yossi = client.users_lookupByEmail(email="yossi@acme.example")["user"]["id"]
    client.chat_postEphemeral(channel="#random", user=yossi, text="psst")
    direct = client.chat_postMessage(channel=yossi, text="between us")
    assert direct["channel"].startswith("D")
    assert {"psst", "between us"} <= {each["text"] for each in slack.messages("yossi")}
    assert not {"psst", "between us"} & {each["text"] for each in slack.messages("noa")}


@pytest.mark.parametrize(
    ("method", "arguments", "word"),
    [
        ("chat.postMessage", {"channel": "#nowhere", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": "#random"}, "no_text"),
        ("chat.postMessage", {"channel": "#random", "text": "x", "blocks": section("")}, "invalid_blocks"),
        ("chat.postMessage", {"channel": "#random", "text": "x", "blocks": section("x" * 3001)},
         "invalid_blocks"),
        ("chat.postMessage", {"channel": "#random", "text": "x", "blocks": section("x" * 2900) * 5},
         "msg_blocks_too_long"),
        ("chat.update", {"channel": "#random", "ts": "1.1", "text": "x"}, "message_not_found"),
        ("conversations.info", {"channel": "#random"}, "channel_not_found"),
        ("users.lookupByEmail", {"email": "nobody@acme.example"}, "users_not_found"),
        ("views.open", {"trigger_id": "1.1", "view": {"type": "modal", "title": {"text": "x"}, "blocks": []}},
         "invalid_trigger_id"),
        ("apps.connections.open", {}, "not_allowed_token_type"),
        ("no.such", {}, "unknown_method"),
    ],
)  # fmt: skip
def test_refusals_have_slacks_words(
    client: WebClient, method: str, arguments: dict[str, Any], word: str
) -> None:
    send = "params" if method in FORM_ONLY else "json"
    assert error(client.api_call, method, **{send: arguments})["error"] == word


def test_what_only_reads_sees_nothing_of_json(slack: SlackStandin, client: WebClient) -> None:
    user = slack.workspace.person("dana").id
    assert error(client.api_call, "users.info", json={"user": user})["error"] == "invalid_arguments"


def test_a_wrong_token_and_a_missing_scope_are_refused(slack: SlackStandin) -> None:
    assert error(WebClient("xoxb-no", base_url=slack.api).auth_test)["error"] == "invalid_auth"
    with SlackStandin(workspace(scopes=["commands"])) as poor:
        own = WebClient(poor.workspace.app.token, base_url=poor.api)
        found = error(own.chat_postMessage, channel="#random", text="x")
        assert (found["error"], found["needed"]) == ("missing_scope", "chat:write")
        assert own.auth_test().headers["x-oauth-scopes"] == "commands"


def test_too_many_posts_and_faults_are_answered_as_slack_does(slack: SlackStandin, client: WebClient) -> None:
    slack.fault("chat.postMessage", 429, retry_after=7)
    limited = error(client.chat_postMessage, channel="#merges", text="x")
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    slack.fault("chat.postMessage", 503, after=True)
    error(client.chat_postMessage, channel="#merges", text="carried out, and nobody was told")
    assert slack.messages("dana")[-1]["text"] == "carried out, and nobody was told"

    def flood() -> None:
        for _ in range(30):
            client.chat_postMessage(channel="#merges", text="flood")

    assert error(flood)["error"] == "ratelimited"


def test_an_event_is_signed_and_sent_again_three_times(slack: SlackStandin, app: Receiver) -> None:
    app.answers = [(500, ""), (503, ""), (500, "")]
    slack.say("dana", "#dev-envs", "@bobby status")
    got = app.wait(4)
    verifier = SignatureVerifier(slack.workspace.app.signing_secret)
    assert all(verifier.is_valid_request(body, headers) for headers, body in got)
    assert [headers.get("x-slack-retry-num") for headers, _ in got] == [None, "1", "2", "3"]
    assert {headers.get("x-slack-retry-reason") for headers, _ in got[1:]} == {"http_error"}
    assert len({json.loads(body)["event_id"] for _, body in got}) == 1
    event = json.loads(got[0][1])["event"]
    assert (event["type"], event["text"]) == ("app_mention", f"<@{slack.workspace.app.bot.id}> status")


def test_a_command_comes_escaped_with_a_trigger_and_is_answered_later(
    slack: SlackStandin, app: Receiver, client: WebClient
) -> None:
    app.answers = [(200, "at work")]
    slack.say("dana", "#dev-envs", "/bobby give dev-01 @yossi -- <!channel> & more")
    _, body = app.wait(1)[0]
    form = {name: values[0] for name, values in parse_qs(body).items()}
    yossi = slack.workspace.person("yossi").id
    assert form["text"] == f"give dev-01 <@{yossi}|yossi> -- &lt;!channel&gt; &amp; more"
    assert slack.messages("dana")[-1]["text"] == "at work"
    assert slack.messages("noa")[-1]["text"] != "at work"

    view = {"type": "modal", "title": {"type": "plain_text", "text": "Why?"}, "blocks": section("x")}
    assert client.views_open(trigger_id=form["trigger_id"], view=view)["view"]["id"]
    assert (
        error(client.views_open, trigger_id=form["trigger_id"], view=view)["error"] == "exchanged_trigger_id"
    )

    for number in range(5):
        answered = httpx.post(form["response_url"], json={"text": f"{number}"}, trust_env=False)
        assert answered.text == "ok"
    assert httpx.post(form["response_url"], json={"text": "6"}, trust_env=False).json()["error"] == "used_url"


def test_who_pressed_a_button_reaches_the_app_with_its_value(slack: SlackStandin, app: Receiver) -> None:
    client = WebClient(slack.workspace.app.token, base_url=slack.api)
    blocks = [{"type": "actions", "block_id": "a", "elements": [button("release", "dev-01")]}]
    client.chat_postMessage(channel="#dev-envs", text="yours", blocks=blocks)
    slack.click("noa", "release")
    payload = json.loads(parse_qs(app.wait(1)[0][1])["payload"][0])
    assert payload["user"]["id"] == slack.workspace.person("noa").id
    assert (payload["actions"][0]["value"], payload["actions"][0]["block_id"]) == ("dev-01", "a")
    httpx.post(payload["response_url"], json={"replace_original": True, "text": "done"}, trust_env=False)
    assert slack.messages("dana")[-1]["text"] == "done"


def test_the_home_tab_is_each_persons_own_and_its_buttons_work(slack: SlackStandin, app: Receiver) -> None:
    client = WebClient(slack.workspace.app.token, base_url=slack.api)
    slack.open_home("noa")
    event = json.loads(app.wait(1)[0][1])["event"]
    assert event["type"] == "app_home_opened"
    view = {"type": "home", "blocks": [{"type": "actions", "elements": [button("lock", "dev-02")]}]}
    client.views_publish(user_id=event["user"], view=view)
    assert slack.state("noa")["home"]["blocks"] == view["blocks"]
    assert slack.state("yossi")["home"] is None
    slack.click("noa", "lock", contains="dev-02")
    payload = json.loads(parse_qs(app.wait(2)[1][1])["payload"][0])
    assert payload["container"]["type"] == "view"


def test_socket_mode_delivers_the_same_and_survives_a_refresh(slack: SlackStandin) -> None:
    got: list[SocketModeRequest] = []

    def take(client: Any, request: SocketModeRequest) -> None:
        client.send_socket_mode_response(
            SocketModeResponse(request.envelope_id, {"text": "from the socket"} if len(got) else None)
        )
        got.append(request)

    web = WebClient(base_url=slack.api)
    app = SocketModeClient(slack.workspace.app.app_token, web_client=web, ping_interval=1)
    app.socket_mode_request_listeners.append(take)
    app.connect()
    try:
        slack.say("dana", "#dev-envs", "@bobby status")
        slack.wait("dana", lambda _: got)
        slack.refresh()
        deadline = time.monotonic() + 10
        while not slack.state("dana")["connected"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        slack.say("dana", "#dev-envs", "/bobby status")
    finally:
        app.close()
    assert [request.type for request in got] == ["events_api", "slash_commands"]
    assert got[1].payload["text"] == "status"
    assert slack.messages("dana")[-1]["text"] == "from the socket"


def test_nobody_listening_is_told_to_the_person_and_to_nobody_else(slack: SlackStandin) -> None:
    slack.say("dana", "#random", "/bobby status")
    told = slack.messages("dana")[-1]
    assert (told["user"], told["text"]) == ("USLACKBOT", "/bobby failed with the error “dispatch_failed”")
    assert slack.messages("noa")[-1]["text"] != told["text"]


def test_another_sites_page_may_neither_read_nor_act(slack: SlackStandin) -> None:
    body = {"user": "dana", "channel": "#random", "text": "x"}
    for headers in ({"Origin": "https://elsewhere.example"}, {"Host": "elsewhere.example"}):
        answer = httpx.post(f"{slack.url}/_/say", json=body, headers=headers, trust_env=False)
        assert answer.status_code == 403


def test_triggers_and_response_urls_end_by_the_clock(clock: ManualClock) -> None:
    space: Workspace = workspace(clock=lambda: clock().timestamp())
    dana = space.person("dana").id
    trigger, secret = space.trigger(dana), space.response(space.channel("random").id, dana)
    clock.advance(seconds=3.1)
    with pytest.raises(SlackError, match="expired_trigger_id"):
        space.exchange(trigger)
    clock.advance(minutes=30)
    with pytest.raises(SlackError, match="expired_url"):
        space.respond(secret, {"text": "late"})


def test_one_seed_gives_the_same_ids_and_secrets() -> None:
    def ids(seed: int) -> set[str]:
        space = workspace(seed=seed)
        return {*space.people, *space.channels, space.app.token, space.app.signing_secret}

    assert ids(7) == ids(7)
    assert not ids(7) & ids(8)
