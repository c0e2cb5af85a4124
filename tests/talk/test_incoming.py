"""What Slack delivers is what a person said, under a key that a repetition shares."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.errors import UsageError
from daybreak.talk.slack.incoming import Said, parse, read, words

FORM = {
    "command": "/bobby", "text": "lock dev-01", "user_id": "U1", "user_name": "dana", "channel_id": "C1",
    "trigger_id": "13345224609.738474920.8088930838", "response_url": "https://hooks.slack.com/x",
}  # fmt: skip


def event(**event: Any) -> dict[str, Any]:
    return {"type": "event_callback", "event_id": "Ev08MFMKH6", "event": event}


def press(**more: Any) -> dict[str, Any]:
    return {
        "type": "block_actions", "trigger_id": "1.2", "user": {"id": "U1", "name": "dana"},
        "container": {"type": "message"}, "channel": {"id": "C1"}, "response_url": "https://hooks.slack.com/x",
        "actions": [{"action_id": "bobby:0:0", "type": "button", "value": "v"}],
    } | more  # fmt: skip


def said(kind: Any, payload: dict[str, Any]) -> Said:
    found = read(kind, payload)
    assert found is not None
    assert Said.from_json(json.loads(json.dumps(found.said.to_json()))) == found.said
    return found.said


def test_a_command_is_its_users_words_and_its_trigger_is_its_key() -> None:
    kind, payload = parse("application/x-www-form-urlencoded", urlencode(FORM).encode())
    found = read(kind, payload)
    assert found is not None
    assert found.key == "slack/command/13345224609.738474920.8088930838"
    assert found.said == Said(
        "command", "U1", "lock dev-01", "bobby", "C1", response_url="https://hooks.slack.com/x"
    )


def test_a_mention_is_what_follows_it_and_is_answered_in_its_thread() -> None:
    found = said(
        "events_api",
        event(type="app_mention", user="U1", text="<@UBOT|bobby>:  status <@U2>", ts="1.2", channel="C1"),
    )
    assert (found.how, found.text, found.thread) == ("mention", "status <@U2>", "1.2")


def test_only_people_and_only_what_is_said_to_us_is_heard() -> None:
    message = {
        "type": "message",
        "channel_type": "im",
        "user": "U1",
        "text": "mine",
        "ts": "1.2",
        "channel": "D1",
    }
    assert said("events_api", event(**message)).how == "message"
    for more in ({"bot_id": "B1"}, {"subtype": "message_changed"}, {"channel_type": "channel"}):
        assert read("events_api", event(**message, **{}) | {"event": {**message, **more}}) is None
    assert read("events_api", event(type="app_home_opened", user="U1", tab="messages")) is None
    assert said("events_api", event(type="app_home_opened", user="U1", tab="home")).how == "home"
    assert read("interactive", press(type="view_submission")) is None
    assert read("slash_commands", {"ssl_check": "1"}) is None


def test_a_button_is_its_value_wherever_it_stands() -> None:
    assert said("interactive", press()).how == "press"
    found = said("interactive", press(container={"type": "view"}))
    assert (found.how, found.text, found.response_url) == ("home", "v", None)
    assert read("interactive", press(actions=[{"action_id": "a link"}])) is None


@pytest.mark.parametrize(
    ("kind", "payload"),
    [("events_api", {"event": {}}), ("events_api", event()), ("events_api", {"event": 1, "event_id": "x"}),
     ("slash_commands", {}), ("interactive", press(actions=[])), ("interactive", press(user=None))],
)  # fmt: skip
def test_what_lacks_a_field_is_refused_with_its_name(kind: Any, payload: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=kind):
        read(kind, payload)


@given(
    st.binary(max_size=200), st.sampled_from(["application/json", "application/x-www-form-urlencoded", ""])
)
def test_no_body_breaks_it(body: bytes, kind: str) -> None:
    try:
        read(*parse(kind, body))
    except UsageError:
        pass


def test_words_are_as_they_were_typed_and_mentions_stay() -> None:
    text = "give dev-01 <@U2|yossi> -- a &lt;!channel&gt; &amp; <https://x.example/a?b=1|x.example>"
    assert words(text) == "give dev-01 <@U2|yossi> -- a <!channel> & https://x.example/a?b=1"
