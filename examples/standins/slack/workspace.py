"""One Slack workspace in memory: people, channels, messages, views, and what the app may do in it.

Pure but for the clock: nothing here knows HTTP. Errors are Slack's own words (``channel_not_found`` …).
"""

from __future__ import annotations

import random
import string
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Everything that an app of this stand-in may be given.
SCOPES = (
    "app_mentions:read", "channels:read", "chat:write", "commands", "im:history", "im:write", "users:read",
    "users:read.email",
)  # fmt: skip
#: docs.slack.dev: a trigger lives for 3 seconds; a response_url for 30 minutes and 5 answers.
TRIGGER_SECONDS, RESPONSE_SECONDS, RESPONSE_TIMES = 3.0, 1800.0, 5
_ALPHABET = string.ascii_uppercase + string.digits


class SlackError(Exception):
    """A call that Slack answers with ``ok: false``; ``more`` stands beside the word."""

    def __init__(self, word: str, **more: Any) -> None:
        super().__init__(word)
        self.word, self.more = word, more


@dataclass(frozen=True)
class Person:
    """A member. ``display`` may be that of somebody else too, as on Slack; ``handle`` may not."""

    id: str
    handle: str
    display: str
    email: str
    bot: bool = False
    team: str = ""

    def to_json(self, *, email: bool) -> dict[str, Any]:
        """A user object, with the address only where the scope allows it."""
        profile = {"real_name": self.display, "display_name": self.display}
        if email:
            profile["email"] = self.email
        return {
            "id": self.id, "name": self.handle, "real_name": self.display, "is_bot": self.bot,
            "team_id": self.team, "deleted": False, "tz": "Etc/UTC", "profile": profile,
        }  # fmt: skip


@dataclass
class Channel:
    """A channel, or the conversation of one person with the app."""

    id: str
    name: str
    members: set[str]
    im: bool = False

    def to_json(self) -> dict[str, Any]:
        """A conversation object."""
        return {
            "id": self.id, "name": self.name, "is_channel": not self.im, "is_im": self.im,
            "is_archived": False, "is_member": True, "num_members": len(self.members),
        }  # fmt: skip


@dataclass
class Message:
    """What stands in a channel. ``only`` is the one person who sees it, for ephemeral ones."""

    ts: str
    channel: str
    user: str
    text: str
    blocks: list[dict[str, Any]] = field(default_factory=list)
    only: str | None = None
    thread_ts: str | None = None
    edited: str | None = None

    def to_json(self, app: App) -> dict[str, Any]:
        """A message object."""
        said: dict[str, Any] = {"type": "message", "user": self.user, "ts": self.ts, "text": self.text}
        if self.user == app.bot.id:
            said |= {"bot_id": app.bot_id, "app_id": app.id}
        if self.blocks:
            said["blocks"] = self.blocks
        if self.thread_ts:
            said["thread_ts"] = self.thread_ts
        if self.edited:
            said["edited"] = {"user": self.user, "ts": self.edited}
        return said


@dataclass
class View:
    """A Home tab or an open dialog, as one person sees it."""

    id: str
    user: str
    body: dict[str, Any]
    hash: str


@dataclass(frozen=True)
class App:
    """The installed app: who it is, and its secrets."""

    id: str
    bot: Person
    bot_id: str
    token: str
    app_token: str
    signing_secret: str
    scopes: frozenset[str]


@dataclass
class _Response:
    """Where a ``response_url`` leads."""

    channel: str
    user: str
    message: Message | None
    until: float
    left: int = RESPONSE_TIMES


class Workspace:
    """See the module.

    :param people: ``(handle, display name, e-mail)`` of each.
    :param seed: all ids and secrets follow from it.
    """

    def __init__(
        self,
        people: Sequence[tuple[str, str, str]],
        channels: Iterable[str],
        *,
        seed: int = 1,
        scopes: Iterable[str] = SCOPES,
        clock: Callable[[], float] = time.time,
        app_name: str = "bobby",
    ) -> None:
        self._random = random.Random(seed)
        self.clock = clock
        self._last = 0
        self.team, self.domain = self.new("T"), "acme"
        self.people = {
            person.id: person
            for person in (Person(self.new("U"), *words, team=self.team) for words in people)
        }
        bot = Person(self.new("U"), app_name, app_name.title(), "", bot=True, team=self.team)
        self.app = App(
            self.new("A"), bot, self.new("B"), f"xoxb-{self.new('', 24)}", f"xapp-{self.new('', 24)}",
            self.new("", 32).lower(), frozenset(scopes),
        )  # fmt: skip
        self.channels = {
            channel.id: channel
            for channel in (Channel(self.new("C"), name, {*self.people, bot.id}) for name in channels)
        }
        self.messages: list[Message] = []
        self.homes: dict[str, View] = {}
        self.dialogs: dict[str, View] = {}
        self._triggers: dict[str, tuple[str, float, bool]] = {}
        self._responses: dict[str, _Response] = {}

    def new(self, prefix: str, length: int = 10) -> str:
        """A fresh id."""
        return prefix + "".join(self._random.choices(_ALPHABET, k=length))

    def timestamp(self) -> str:
        """A message's id: the time, but never the same twice."""
        self._last = max(int(self.clock() * 1_000_000), self._last + 1)
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"

    def person(self, word: str) -> Person:
        """By id or handle; ``user_not_found``."""
        everybody = {**self.people, self.app.bot.id: self.app.bot}
        found = everybody.get(word) or next((who for who in everybody.values() if who.handle == word), None)
        if found is None:
            raise SlackError("user_not_found")
        return found

    def by_email(self, email: str) -> Person:
        """By address; ``users_not_found``, as Slack spells it here."""
        found = next((who for who in self.people.values() if who.email.lower() == email.lower()), None)
        if found is None:
            raise SlackError("users_not_found")
        return found

    def channel(self, word: str) -> Channel:
        """By id, by name with its ``#``, or the conversation with a person; ``channel_not_found``."""
        if word in self.people:
            return self.conversation(word)
        name = word.removeprefix("#")
        for channel in self.channels.values():
            if channel.id == word or (channel.name == name and not channel.im):
                return channel
        raise SlackError("channel_not_found")

    def conversation(self, user: str) -> Channel:
        """The direct messages of a person and the app; made when they are first needed."""
        for channel in self.channels.values():
            if channel.im and user in channel.members:
                return channel
        made = Channel(self.new("D"), self.people[user].handle, {user, self.app.bot.id}, im=True)
        self.channels[made.id] = made
        return made

    def post(
        self, channel: Channel, user: str, text: str, blocks: list[dict[str, Any]] | None = None, *,
        only: str | None = None, thread_ts: str | None = None,
    ) -> Message:  # fmt: skip
        """Put a message into a channel; ``not_in_channel``, ``user_not_in_channel``."""
        if user not in channel.members:
            raise SlackError("not_in_channel")
        if only is not None and only not in channel.members:
            raise SlackError("user_not_in_channel")
        made = Message(self.timestamp(), channel.id, user, text, blocks or [], only, thread_ts)
        self.messages.append(made)
        return made

    def message(self, channel: str, ts: str) -> Message:
        """The message; ``message_not_found``."""
        for each in self.messages:
            if each.channel == channel and each.ts == ts:
                return each
        raise SlackError("message_not_found")

    def edit(self, message: Message, text: str, blocks: list[dict[str, Any]] | None) -> None:
        """Replace what it says; blocks that are not given stay only if no text is."""
        if blocks is not None or text:
            message.text, message.blocks = text, blocks or []
        message.edited = self.timestamp()

    def publish(self, user: str, body: dict[str, Any], expected: str | None = None) -> View:
        """Replace a person's Home tab; ``hash_conflict`` when it is not the one expected."""
        before = self.homes.get(user)
        if expected and before and before.hash != expected:
            raise SlackError("hash_conflict")
        made = View(before.id if before else self.new("V"), user, body, self.new("", 12))
        self.homes[user] = made
        return made

    def open(self, trigger: str, body: dict[str, Any]) -> View:
        """Open a dialog before the person who pulled the trigger."""
        user = self.exchange(trigger)
        made = View(self.new("V"), user, body, self.new("", 12))
        self.dialogs[made.id] = made
        return made

    def trigger(self, user: str) -> str:
        """A ``trigger_id``."""
        made = f"{self.new('', 12)}.{self.new('', 12)}"
        self._triggers[made] = (user, self.clock() + TRIGGER_SECONDS, False)
        return made

    def exchange(self, trigger: str) -> str:
        """Whose it is; once, and only within its three seconds."""
        if trigger not in self._triggers:
            raise SlackError("invalid_trigger_id")
        user, until, used = self._triggers[trigger]
        if used:
            raise SlackError("exchanged_trigger_id")
        if self.clock() > until:
            raise SlackError("expired_trigger_id")
        self._triggers[trigger] = (user, until, True)
        return user

    def response(self, channel: str, user: str, message: Message | None = None) -> str:
        """The secret part of a ``response_url``."""
        made = self.new("", 32)
        self._responses[made] = _Response(channel, user, message, self.clock() + RESPONSE_SECONDS)
        return made

    def respond(self, secret: str, answer: dict[str, Any], *, counts: bool = True) -> Message | None:
        """Carry out what was sent to a ``response_url``; ``invalid_url``, ``expired_url``, ``used_url``.

        :param counts: not for what the request itself was answered with.
        """
        where = self._responses.get(secret)
        if where is None:
            raise SlackError("invalid_url")
        if self.clock() > where.until:
            raise SlackError("expired_url")
        if where.left <= 0:
            raise SlackError("used_url")
        where.left -= counts
        text, blocks = str(answer.get("text") or ""), answer.get("blocks")
        if answer.get("delete_original") and where.message:
            self.messages.remove(where.message)
            return None
        if answer.get("replace_original") and where.message:
            self.edit(where.message, text, blocks)
            return where.message
        if not text and not blocks:
            raise SlackError("no_text")
        only = None if answer.get("response_type") == "in_channel" else where.user
        return self.post(self.channels[where.channel], self.app.bot.id, text, blocks, only=only)
