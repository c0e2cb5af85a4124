"""What Slack delivers → what somebody said, with the key of the request. Pure; the same for HTTP and sockets.

Slack repeats a delivery that it believes lost, under the same id: that id is the key, so that a request is in
the inbox once however often it comes.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import parse_qs

from daybreak.errors import UsageError

#: How Slack names what it delivers (Socket Mode says it; over HTTP it follows from the body).
Kind = Literal["events_api", "slash_commands", "interactive"]
_LINK = re.compile(r"<((?:https?|mailto):[^|>]*)(?:\|[^>]*)?>")
_ADDRESSED = re.compile(r"\s*<@[UW][A-Z0-9]+(?:\|[^>]*)?>[\s,:]*")


@dataclass(frozen=True)
class Said:
    """What one person said to the app.

    :param how: ``press`` of a button; ``home``: the Home tab was opened, or a button in it pressed.
    :param user: Slack's id of the person; a name on a screen proves nothing.
    :param text: as Slack sent it, see :func:`words`; of a button its value.
    :param to: the name of the slash command; ``bobby`` where nothing else is said.
    :param thread: the message's, where the answer goes.
    :param response_url: takes up to five answers for half an hour, wherever the command was given.
    """

    how: Literal["command", "mention", "message", "press", "home"]
    user: str
    text: str = ""
    to: str = "bobby"
    channel: str | None = None
    thread: str | None = None
    response_url: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For the inbox."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Said:
        """The inverse of :meth:`to_json`."""
        return cls(**data)


@dataclass(frozen=True)
class Request:
    """A request for the inbox."""

    key: str
    said: Said


def parse(content_type: str, body: bytes) -> tuple[Kind, dict[str, Any]]:
    """The kind and the payload of a body that came over HTTP.

    :raises UsageError: when it is none of the forms that Slack sends.
    """
    try:
        text = body.decode()
        if content_type.partition(";")[0].strip() == "application/json":
            return "events_api", _object(json.loads(text))
        form = {name: values[0] for name, values in parse_qs(text, strict_parsing=True).items()}
        if "payload" in form:
            return "interactive", _object(json.loads(form["payload"]))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"this is no request of Slack's: {error}") from None
    return "slash_commands", dict(form)


def read(kind: Kind, payload: Mapping[str, Any]) -> Request | None:
    """What was said; ``None`` when it is nothing for us, such as a message of an app.

    :raises UsageError: when a field that Slack always sends is not there.
    """
    readers = {"events_api": _event, "slash_commands": _command, "interactive": _interaction}
    try:
        return readers[kind](payload)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UsageError(f"a {kind} request of Slack's without {error}") from None


def words(text: str) -> str:
    """A person's words as they were typed: entities and links taken back; mentions stay ``<@U0DANA1|dana>``.

    Somebody who typed ``&lt;!channel&gt;`` has it as a mention again from here on: whoever shows it escapes.
    """
    return html.unescape(_LINK.sub(lambda found: found[1], text)).strip()


def _event(payload: Mapping[str, Any]) -> Request | None:
    event, key = payload["event"], f"slack/event/{payload['event_id']}"
    if event.get("bot_id") or event.get("subtype"):
        return None
    if event["type"] == "app_home_opened":
        return Request(key, Said("home", event["user"])) if event.get("tab") == "home" else None
    if event["type"] == "app_mention":
        text = _ADDRESSED.sub("", event["text"], count=1)
        thread = event.get("thread_ts") or event["ts"]
        return Request(key, Said("mention", event["user"], text, channel=event["channel"], thread=thread))
    if event["type"] == "message" and event.get("channel_type") == "im":
        thread = event.get("thread_ts")
        said = Said("message", event["user"], event["text"], channel=event["channel"], thread=thread)
        return Request(key, said)
    return None


def _command(form: Mapping[str, Any]) -> Request | None:
    if form.get("ssl_check") == "1":
        return None
    said = Said(
        "command", form["user_id"], form.get("text", ""), form["command"].removeprefix("/"),
        form["channel_id"], response_url=form["response_url"],
    )  # fmt: skip
    return Request(f"slack/command/{form['trigger_id']}", said)


def _interaction(payload: Mapping[str, Any]) -> Request | None:
    if payload["type"] != "block_actions":
        return None
    action, user = payload["actions"][0], payload["user"]["id"]
    if "value" not in action:  # a link: nothing to do
        return None
    key = f"slack/press/{payload['trigger_id']}"
    if payload["container"]["type"] == "view":
        return Request(key, Said("home", user, action["value"]))
    channel = payload["channel"]["id"]
    said = Said("press", user, action["value"], channel=channel, response_url=payload["response_url"])
    return Request(key, said)


def _object(found: object) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found
