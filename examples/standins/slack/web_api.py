"""The methods of the Web API: arguments in, answers out, errors in Slack's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from examples.standins.slack import checks
from examples.standins.slack.workspace import Message, SlackError, View, Workspace

Arguments = dict[str, Any]
#: docs.slack.dev, rate limits: about one message a second and channel, short bursts allowed.
POSTS_PER_SECOND, BURST = 1.0, 20


class Limited(Exception):
    """Answered with HTTP 429; ``seconds`` is the ``Retry-After``."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Broken(Exception):
    """A fault was asked for: answered with this HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class Fault:
    """What shall go wrong the next ``times``.

    :param status: 429 (with ``retry_after`` seconds), or a 5xx.
    :param after: carry the call out first, and lose the answer.
    """

    method: str
    status: int
    times: int = 1
    retry_after: int = 1
    after: bool = False


@dataclass
class WebApi:
    """The Web API of one workspace.

    :param base_url: of the stand-in, for permalinks and sockets.
    """

    workspace: Workspace
    base_url: str
    faults: list[Fault] = field(default_factory=list)
    #: Every call: method, arguments, the word or ``ok``.
    journal: list[dict[str, Any]] = field(default_factory=list)
    #: Of sockets that were promised and not opened yet.
    tickets: set[str] = field(default_factory=set)
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def call(self, method: str, token: str, arguments: Arguments) -> dict[str, Any]:
        """One call.

        :raises Limited: too many, or because a fault says so.
        :raises Broken: because a fault says so.
        """
        entry = {"method": method, "arguments": arguments, "said": "429"}
        self.journal.append(entry)
        fault = next((each for each in self.faults if each.method in (method, "*") and each.times > 0), None)
        if fault is not None:
            fault.times -= 1
            if fault.status == 429:
                raise Limited(fault.retry_after)
            if not fault.after:
                entry["said"] = str(fault.status)
                raise Broken(fault.status)
        answer = self._answer(method, token, arguments)
        entry["said"] = answer.get("error", "ok")
        if fault is not None:
            raise Broken(fault.status)
        return answer

    def _answer(self, method: str, token: str, arguments: Arguments) -> dict[str, Any]:
        app = self.workspace.app
        try:
            if method not in METHODS:
                raise SlackError("unknown_method")
            does, scope = METHODS[method]
            if not token:
                raise SlackError("not_authed")
            if token != (app.app_token if scope == _APP_LEVEL else app.token):
                if token in (app.token, app.app_token):
                    raise SlackError("not_allowed_token_type")
                raise SlackError("invalid_auth")
            if scope not in (None, _APP_LEVEL) and scope not in app.scopes:
                raise SlackError("missing_scope", needed=scope, provided=",".join(sorted(app.scopes)))
            return {"ok": True, **does(self, arguments)}
        except SlackError as error:
            return {"ok": False, "error": error.word, **error.more}
        except KeyError as error:
            return {"ok": False, "error": "invalid_arguments", "missing": str(error)}

    def _one_more(self, channel: str) -> None:
        now = self.workspace.clock()
        at, tokens = self._buckets.get(channel, (now, float(BURST)))
        tokens = min(float(BURST), tokens + (now - at) * POSTS_PER_SECOND)
        if tokens < 1:
            raise Limited(1)
        self._buckets[channel] = (now, tokens - 1)

    def auth_test(self, _: Arguments) -> dict[str, Any]:
        space = self.workspace
        return {
            "url": f"{self.base_url}/", "team": "Acme", "team_id": space.team, "user": space.app.bot.handle,
            "user_id": space.app.bot.id, "bot_id": space.app.bot_id, "is_enterprise_install": False,
        }  # fmt: skip

    def connections_open(self, _: Arguments) -> dict[str, Any]:
        ticket = self.workspace.new("", 24)
        self.tickets.add(ticket)
        return {"url": f"{self.base_url.replace('http', 'ws', 1)}/link?ticket={ticket}"}

    def post_message(self, arguments: Arguments) -> dict[str, Any]:
        channel = self.workspace.channel(arguments["channel"])
        self._one_more(channel.id)
        text = str(arguments.get("text") or "")
        blocks = checks.message(text, _json(arguments.get("blocks")))
        made = self.workspace.post(
            channel, self.workspace.app.bot.id, text, blocks, thread_ts=arguments.get("thread_ts")
        )
        return self._posted(made)

    def post_ephemeral(self, arguments: Arguments) -> dict[str, Any]:
        channel = self.workspace.channel(arguments["channel"])
        self._one_more(channel.id)
        text = str(arguments.get("text") or "")
        blocks = checks.message(text, _json(arguments.get("blocks")))
        user = self.workspace.person(arguments["user"]).id
        made = self.workspace.post(channel, self.workspace.app.bot.id, text, blocks, only=user)
        return {"message_ts": made.ts}

    def update(self, arguments: Arguments) -> dict[str, Any]:
        message = self.workspace.message(self.workspace.channel(arguments["channel"]).id, arguments["ts"])
        if message.user != self.workspace.app.bot.id or message.only:
            raise SlackError("cant_update_message")
        text = str(arguments.get("text") or "")
        self.workspace.edit(message, text, checks.message(text, _json(arguments.get("blocks"))))
        return self._posted(message)

    def _posted(self, message: Message) -> dict[str, Any]:
        shown = message.to_json(self.workspace.app)
        return {"channel": message.channel, "ts": message.ts, "text": message.text, "message": shown}

    def permalink(self, arguments: Arguments) -> dict[str, Any]:
        channel = self.workspace.channel(arguments["channel"])
        message = self.workspace.message(channel.id, arguments["message_ts"])
        link = f"{self.base_url}/archives/{channel.id}/p{message.ts.replace('.', '')}"
        return {"channel": channel.id, "permalink": link}

    def conversations(self, arguments: Arguments) -> dict[str, Any]:
        found = [each for each in self.workspace.channels.values() if not each.im]
        first, most = int(arguments.get("cursor") or 0), int(arguments.get("limit") or 100)
        cursor = str(first + most) if first + most < len(found) else ""
        return {
            "channels": [each.to_json() for each in found[first : first + most]],
            "response_metadata": {"next_cursor": cursor},
        }

    def conversation(self, arguments: Arguments) -> dict[str, Any]:
        # A name is not enough here.
        if arguments["channel"] not in self.workspace.channels:
            raise SlackError("channel_not_found")
        return {"channel": self.workspace.channels[arguments["channel"]].to_json()}

    def user(self, arguments: Arguments) -> dict[str, Any]:
        if arguments["user"] not in {*self.workspace.people, self.workspace.app.bot.id}:
            raise SlackError("user_not_found")
        email = "users:read.email" in self.workspace.app.scopes
        return {"user": self.workspace.person(arguments["user"]).to_json(email=email)}

    def user_by_email(self, arguments: Arguments) -> dict[str, Any]:
        return {"user": self.workspace.by_email(arguments["email"]).to_json(email=True)}

    def publish(self, arguments: Arguments) -> dict[str, Any]:
        body = checks.view(_json(arguments["view"]), "home")
        user = self.workspace.person(arguments["user_id"]).id
        return {"view": self.shown(self.workspace.publish(user, body, arguments.get("hash")))}

    def open(self, arguments: Arguments) -> dict[str, Any]:
        body = checks.view(_json(arguments["view"]), "modal")
        return {"view": self.shown(self.workspace.open(arguments["trigger_id"], body))}

    def shown(self, view: View) -> dict[str, Any]:
        """A view as Slack tells the app of it."""
        space = self.workspace
        return {
            "private_metadata": "", "callback_id": "", **view.body, "id": view.id, "hash": view.hash,
            "team_id": space.team, "app_id": space.app.id, "bot_id": space.app.bot_id,
        }  # fmt: skip


_APP_LEVEL = "connections:write"
#: They take a form or a query; of JSON they see nothing (docs.slack.dev).
FORM_ONLY = {
    "chat.getPermalink", "conversations.info", "conversations.list", "users.info", "users.lookupByEmail",
}  # fmt: skip
#: Each method, and the scope that it needs; those without one need a token alone.
METHODS: dict[str, tuple[Callable[[WebApi, Arguments], dict[str, Any]], str | None]] = {
    "auth.test": (WebApi.auth_test, None),
    "apps.connections.open": (WebApi.connections_open, _APP_LEVEL),
    "chat.postMessage": (WebApi.post_message, "chat:write"),
    "chat.postEphemeral": (WebApi.post_ephemeral, "chat:write"),
    "chat.update": (WebApi.update, "chat:write"),
    "chat.getPermalink": (WebApi.permalink, None),
    "conversations.list": (WebApi.conversations, "channels:read"),
    "conversations.info": (WebApi.conversation, "channels:read"),
    "users.info": (WebApi.user, "users:read"),
    "users.lookupByEmail": (WebApi.user_by_email, "users:read.email"),
    "views.publish": (WebApi.publish, None),
    "views.open": (WebApi.open, None),
}


def _json(value: Any) -> Any:
    """Of a form, lists and objects come as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise SlackError("invalid_json") from None
