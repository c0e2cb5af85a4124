"""What Slack sends to the app: signed events, commands, clicks and dialogs, by HTTP or through a socket."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx

from examples.standins.slack.web_api import WebApi
from examples.standins.slack.workspace import Message, SlackError, View, Workspace

#: docs.slack.dev: an answer within 3 seconds; an event is sent again at once, after 1 and after 5 minutes.
ANSWER_SECONDS = 3.0
RETRY_SECONDS = (0.0, 60.0, 300.0)
COMMANDS = ("/bobby", "/gandalf")


def sign(secret: str, body: str, at: int) -> dict[str, str]:
    """The headers that prove whose request it is (docs.slack.dev, "Verifying requests from Slack")."""
    digest = hmac.new(secret.encode(), f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": f"v0={digest}"}


@dataclass(frozen=True)
class Answer:
    """What the app answered: a status as of HTTP; 0 is silence, and ``body`` then says of which kind."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether Slack takes it as received."""
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """An answer with content; text alone is a message."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {"text": self.body} if self.body.strip() else {}
        return found if isinstance(found, dict) else {}


class Socket(Protocol):
    """The app's open sockets."""

    @property
    def open(self) -> bool:
        """Whether there is one."""

    async def send(self, kind: str, payload: dict[str, Any], more: dict[str, Any]) -> Answer:
        """Send an envelope and wait for its acknowledgement."""


class Delivery:
    """Brings to the app what people do.

    :param request_url: of the app; ``None``: Socket Mode.
    :param retries: seconds before each repetition of an event that was not answered.
    """

    def __init__(
        self, web: WebApi, socket: Socket, request_url: str | None, retries: Sequence[float] = RETRY_SECONDS
    ) -> None:
        self.web, self.socket, self.request_url, self.retries = web, socket, request_url, retries
        self.workspace: Workspace = web.workspace
        #: Each attempt: kind, retry number, status.
        self.journal: list[dict[str, Any]] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def say(self, user: str, where: str, text: str) -> None:
        """What a person wrote: a command, or a message that the app may have to hear of."""
        if text.startswith("/"):
            await self._command(user, where, text)
            return
        app, channel = self.workspace.app, self.workspace.channels[where]
        message = self.workspace.post(channel, user, self.incoming(text))
        said = {
            "user": user, "text": message.text, "ts": message.ts, "channel": where, "event_ts": message.ts,
            "team": self.workspace.team,
        }  # fmt: skip
        if channel.im:
            self._later(self._event({"type": "message", "channel_type": "im", **said}, "im:history"))
        elif f"<@{app.bot.id}>" in message.text:
            self._later(self._event({"type": "app_mention", **said}, "app_mentions:read"))

    async def home(self, user: str) -> None:
        """A person opened the app's Home tab."""
        event = {
            "type": "app_home_opened", "user": user, "tab": "home",
            "channel": self.workspace.conversation(user).id, "event_ts": self.workspace.timestamp(),
        }  # fmt: skip
        if view := self.workspace.homes.get(user):
            event["view"] = self.web.shown(view)
        self._later(self._event(event, None))

    async def click(self, user: str, where: Message | View, block_id: str, action_id: str) -> None:
        """A person pressed a button."""
        view = where if isinstance(where, View) else None
        blocks = where.body["blocks"] if isinstance(where, View) else where.blocks
        action = {**_button(blocks, block_id, action_id), "block_id": block_id}
        action["action_ts"] = self.workspace.timestamp()
        payload = self._interaction("block_actions", user) | {"actions": [action]}
        channel = self.workspace.conversation(user).id if view else where.channel
        if view:
            payload |= {"view": self.web.shown(view), "container": {"type": "view", "view_id": view.id}}
        else:
            secret = self.workspace.response(channel, user, where)
            container = {"type": "message", "message_ts": where.ts, "channel_id": channel}
            payload |= {
                "container": container | {"is_ephemeral": where.only is not None},
                "channel": {"id": channel, "name": self.workspace.channels[channel].name},
                "message": where.to_json(self.workspace.app),
                "response_url": f"{self.web.base_url}/respond/{secret}",
            }
        answer = await self._send("interactive", payload)
        if not answer.ok:
            self._trouble(channel, user, f"the app did not answer: {answer.body or answer.status}")

    async def submit(self, user: str, view: View, values: dict[str, Any]) -> dict[str, Any]:
        """A person sent a dialog; what the app has against it, or nothing."""
        shown = self.web.shown(view) | {"state": {"values": values}}
        payload = self._interaction("view_submission", user) | {"view": shown, "response_urls": []}
        answer = await self._send("interactive", payload)
        if not answer.ok:
            return {"*": f"the app did not answer: {answer.body or answer.status}"}
        said = answer.json()
        if said.get("response_action") == "errors":
            return dict(said["errors"])
        self.workspace.dialogs.pop(view.id, None)
        return {}

    def incoming(self, text: str, *, names: bool = False) -> str:
        """A person's words as Slack passes them on: escaped, with mentions and channels as ids.

        :param names: as in commands, where a label follows.
        """
        people = {who.handle: who for who in [*self.workspace.people.values(), self.workspace.app.bot]}
        channels = {each.name: each for each in self.workspace.channels.values() if not each.im}

        def mention(found: re.Match[str]) -> str:
            mark, name = found[1], found[2]
            if mark == "@" and name in people:
                return f"<@{people[name].id}|{name}>" if names else f"<@{people[name].id}>"
            if mark == "@" and name in ("channel", "here", "everyone"):
                return f"<!{name}>"
            if mark == "#" and name in channels:
                return f"<#{channels[name].id}|{name}>"
            return found[0]

        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        linked = re.sub(r"https?://[^\s<>]+", lambda url: f"<{url[0]}>", escaped)
        return re.sub(r"(?<![\w/])([@#])([\w.-]*\w)", mention, linked)

    async def _command(self, user: str, where: str, line: str) -> None:
        command, _, text = line.partition(" ")
        channel, person = self.workspace.channels[where], self.workspace.people[user]
        self.workspace.post(channel, user, self.incoming(line), only=user)  # so that one sees what one said
        if command not in COMMANDS or "commands" not in self.workspace.app.scopes:
            self._trouble(where, user, f"{command} is not a valid command")
            return
        secret = self.workspace.response(where, user)
        payload = {
            "token": "", "team_id": self.workspace.team, "team_domain": self.workspace.domain,
            "channel_id": where, "channel_name": "directmessage" if channel.im else channel.name,
            "user_id": user, "user_name": person.handle, "command": command,
            "text": self.incoming(text.strip(), names=True), "api_app_id": self.workspace.app.id,
            "is_enterprise_install": "false", "trigger_id": self.workspace.trigger(user),
            "response_url": f"{self.web.base_url}/respond/{secret}",
        }  # fmt: skip
        answer = await self._send("slash_commands", payload)
        if not answer.ok:
            word = "operation_timeout" if not answer.status else "dispatch_failed"
            self._trouble(where, user, f"{command} failed with the error “{word}”")
        elif said := answer.json():
            try:
                self.workspace.respond(secret, said, counts=False)
            except SlackError as error:
                self._trouble(where, user, f"{command} failed with the error “{error.word}”")

    def _interaction(self, kind: str, user: str) -> dict[str, Any]:
        person = self.workspace.people[user]
        return {
            "type": kind, "token": "", "api_app_id": self.workspace.app.id,
            "team": {"id": self.workspace.team, "domain": self.workspace.domain},
            "user": {"id": user, "username": person.handle, "name": person.handle,
                     "team_id": self.workspace.team},
            "trigger_id": self.workspace.trigger(user), "is_enterprise_install": False, "enterprise": None,
        }  # fmt: skip

    def _trouble(self, channel: str, user: str, text: str) -> None:
        """Slack's own word to one person."""
        message = self.workspace.post(
            self.workspace.channels[channel], self.workspace.app.bot.id, text, only=user
        )
        message.user = "USLACKBOT"

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _event(self, event: dict[str, Any], scope: str | None) -> None:
        """Deliver an event: once, and three times more until it is answered."""
        if scope and scope not in self.workspace.app.scopes:
            return
        body = {
            "token": "", "team_id": self.workspace.team, "api_app_id": self.workspace.app.id, "event": event,
            "type": "event_callback", "event_id": self.workspace.new("Ev"),
            "event_time": int(self.workspace.clock()),
        }  # fmt: skip
        reason = ""
        for number, pause in enumerate((0.0, *self.retries)):
            await asyncio.sleep(pause)
            answer = await self._send("events_api", body, number, reason)
            if answer.ok or answer.headers.get("x-slack-no-retry") == "1":
                return
            reason = "http_error" if answer.status else "http_timeout"

    async def _send(self, kind: str, payload: dict[str, Any], number: int = 0, reason: str = "") -> Answer:
        if self.request_url is None:
            more = {"retry_attempt": number, "retry_reason": reason} if kind == "events_api" else {}
            answer = await self.socket.send(kind, payload, more)
        else:
            answer = await self._post(self.request_url, kind, payload, number, reason)
        self.journal.append({"kind": kind, "retry": number, "status": answer.status, "body": answer.body})
        return answer

    async def _post(self, url: str, kind: str, payload: dict[str, Any], number: int, reason: str) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Slackbot 1.0"}
        if kind == "events_api":
            body, headers["Content-Type"] = json.dumps(payload), "application/json"
        else:
            body = urlencode(payload if kind == "slash_commands" else {"payload": json.dumps(payload)})
        if number:
            headers |= {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": reason}
        headers |= sign(self.workspace.app.signing_secret, body, int(time.time()))
        try:
            async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client:
                found = await client.post(url, content=body, headers=headers)
        except httpx.TimeoutException:
            return Answer(0, "no answer within 3 seconds")
        except httpx.HTTPError as error:
            return Answer(502, type(error).__name__)
        return Answer(found.status_code, found.text, dict(found.headers))


def _button(blocks: list[dict[str, Any]], block_id: str, action_id: str) -> dict[str, Any]:
    for number, block in enumerate(blocks):
        # Slack gives an id to a block that came without one.
        if block.get("block_id", f"b{number}") != block_id:
            continue
        for element in [*block.get("elements", []), *filter(None, [block.get("accessory")])]:
            if element.get("action_id") == action_id:
                return {key: element[key] for key in ("type", "action_id", "text", "value") if key in element}
    raise SlackError("no_such_button")
