"""Brings messages to people in Slack: to the channels, to a person, and answers to where the question was."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from daybreak.merge.announce import MERGES
from daybreak.registry.outbox import CHANNEL, Outgoing
from daybreak.talk.outbox import Later, Undeliverable
from daybreak.talk.reply import Reply
from daybreak.talk.slack import app
from daybreak.talk.slack.message import Message

if TYPE_CHECKING:
    from slack_sdk.errors import SlackApiError

    from daybreak.talk.people import People

#: What the recipient of an answer begins with; Slack's id of the person follows.
ANSWER = "slack:"
#: The kind of a payload that is a whole `Message` already: a report, which is long and does not age.
WRITTEN = "message"
_PERSON = "person:"
#: Slack's words for what is true of every message, until somebody mends it (or Slack); what to do where
#: somebody can.
_AWAY = {
    "invalid_auth": "put a bot token into the connection",
    "not_authed": "put a bot token into the connection",
    "token_revoked": "put a new bot token into the connection",
    "token_expired": "put a new bot token into the connection",
    "account_inactive": "put a new bot token into the connection",
    "missing_scope": "give the app the scopes of docs/slack.md, install it again",
    "no_permission": "give the app the scopes of docs/slack.md, install it again",
    "ekm_access_denied": "ask the workspace's administrators",
    "org_login_required": "ask the workspace's administrators",
    "team_access_not_granted": "ask the workspace's administrators",
    **dict.fromkeys(
        (
            "ratelimited",
            "rate_limited",
            "internal_error",
            "fatal_error",
            "service_unavailable",
            "request_timeout",
        ),
        "",
    ),
}
#: Of words that end a message: what to do, so that the next one arrives.
_NEXT = {
    "channel_not_found": "correct `slack.channel` in daybreak.yaml, or invite the bot",
    "not_in_channel": "invite the bot to the channel",
    "is_archived": "name another `slack.channel` in daybreak.yaml",
}
#: Slack's words for what no second try would change.
_FINAL = {
    "channel_not_found", "not_in_channel", "is_archived", "invalid_blocks", "invalid_blocks_format",
    "msg_too_long", "msg_blocks_too_long", "no_text", "user_not_found", "cannot_dm_bot", "user_disabled",
    "restricted_action", "messages_tab_disabled",
}  # fmt: skip
#: What was sent cannot be edited any more: it is sent anew.
_GONE = {"message_not_found", "cant_update_message", "edit_window_closed"}


class SlackDelivery:
    """A `Delivery` by one Slack app.

    :param words: makes a reply of a notice's payload.
    :param channel: the team's, as the settings name it.
    :param merges: the one that hears of landings; by default the team's.
    :param names: of the environments, see :func:`daybreak.talk.slack.app.rendered`.
    """

    to = (CHANNEL, MERGES, _PERSON, ANSWER)

    def __init__(
        self,
        access: app.Access,
        people: People,
        words: Callable[[Mapping[str, Any]], Reply],
        channel: str,
        *,
        merges: str | None = None,
        names: Collection[str] = (),
    ) -> None:
        self.access, self.people, self.words = access, people, words
        self.channel, self.merges, self.names = channel, merges, names

    def send(self, outgoing: Outgoing) -> dict[str, Any] | None:
        """See :class:`daybreak.talk.outbox.Delivery`."""
        payload = outgoing.payload
        if payload.get("kind") == WRITTEN:
            said = Message(payload["text"], tuple(payload["blocks"]))
        else:
            said = app.rendered(self.words(payload), self.names)
        if outgoing.recipient.startswith(ANSWER):
            return self._answer(outgoing, said)
        post, target = self.access.client.chat_postMessage, self._target(outgoing.recipient)
        if outgoing.sent_version and outgoing.reference:
            try:
                return self._post(self.access.client.chat_update, **outgoing.reference, **_content(said))
            except _Gone:
                pass
        return self._post(post, channel=target, unfurl_links=False, **_content(said))

    def _answer(self, outgoing: Outgoing, said: Message) -> dict[str, Any] | None:
        """Where the question came from: by its response_url, in its thread, or to the person."""
        user, to = outgoing.recipient.removeprefix(ANSWER), outgoing.payload["to"]
        post = self.access.client.chat_postMessage
        if url := to.get("response_url"):
            if self._respond(url, said, public=bool(to.get("public"))):
                return None
            # Its half hour is over; the person still learns it.
        elif to.get("channel"):
            where = {"channel": to["channel"], "thread_ts": to.get("thread")}
            return self._post(post, unfurl_links=False, **where, **_content(said))
        return self._post(post, channel=user, unfurl_links=False, **_content(said))

    def _respond(self, url: str, said: Message, *, public: bool) -> bool:
        from slack_sdk.webhook import WebhookClient

        kind = "in_channel" if public else "ephemeral"
        client = WebhookClient(url, timeout=app.TIMEOUT)
        try:
            answer = client.send(response_type=kind, replace_original=False, **_content(said))
        except OSError as error:
            raise Later(f"{type(error).__name__}: {error}") from error
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Later(f"HTTP {answer.status_code}", _after(answer.headers))
        return answer.status_code == 200

    def _target(self, recipient: str) -> str:
        if recipient == CHANNEL:
            return self.channel
        if recipient == MERGES:
            return self.merges or self.channel
        person = self.people.by_name(recipient.removeprefix(_PERSON))
        found = self.people.identity(person, "slack") if person else None
        if person and found is None and person.email:
            found = self._by_email(person.email)
        if found is None:
            raise Undeliverable(
                f"nobody knows who {recipient} is in Slack; give `slack:` or `email:` in `people:`"
            )
        return found

    def _by_email(self, email: str) -> str | None:
        try:
            answer = self._ask(self.access.client.users_lookupByEmail, email=email)
        except Undeliverable:
            return None
        user = str(answer["user"]["id"])
        self.people.link_by_email("slack", user, email)
        return user

    def _post(self, method: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
        answer = self._ask(method, **arguments)
        return {"channel": answer["channel"], "ts": answer["ts"]}

    def _ask(self, method: Callable[..., Any], **arguments: Any) -> Any:
        from slack_sdk.errors import SlackApiError

        try:
            return method(**arguments)
        except SlackApiError as error:
            raise _meaning(error) from error
        except OSError as error:
            raise Later(f"{type(error).__name__}: {error}") from error


class _Refused(Exception):
    """Slack did not take this message; perhaps it does another time."""


class _Gone(Exception):
    """The message cannot be edited."""


def _meaning(error: SlackApiError) -> Exception:
    response = error.response
    if response.status_code == 429:
        return Later("Slack asks for patience", _after(response.headers) or timedelta(seconds=1))
    said = response.data.get("error") if isinstance(response.data, dict) else None
    word = " ".join(str(said or f"HTTP {response.status_code}").split())[:200]
    if word in _GONE:
        return _Gone(word)
    if word in _FINAL or word == "users_not_found":
        return Undeliverable(_said(word, _NEXT))
    # What is no word of Slack's own is a proxy's, or Slack's when it is down.
    if word in _AWAY or response.status_code >= 500 or not word.isidentifier():
        return Later(_said(word, _AWAY))
    return _Refused(_said(word, {}))


def _said(word: str, todo: Mapping[str, str]) -> str:
    return f"Slack says {word}; {todo[word]}" if todo.get(word) else f"Slack says {word}"


def _after(headers: Mapping[str, Any]) -> timedelta | None:
    """``Retry-After``, in whole seconds."""
    found = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    value = found[0] if isinstance(found, list) else found
    return timedelta(seconds=max(int(value), 1)) if value is not None and str(value).isdigit() else None


def _content(said: Message) -> dict[str, Any]:
    return {"text": said.text, "blocks": list(said.blocks)}
