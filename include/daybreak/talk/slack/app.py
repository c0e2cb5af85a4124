"""Slack's app: how it is reached, and what a `Reply` looks like there.

Everything that people said is escaped as a whole, and blocks are ``verbatim``: Slack looks for no mention,
link or channel in them (docs.slack.dev, "Formatting text for app surfaces").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daybreak.errors import UsageError
from daybreak.talk.reply import Button, Link, Reply, Section
from daybreak.talk.slack.message import Block, Message, escaped, message, section

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slack_sdk import WebClient

    from daybreak.settings import Settings

#: Seconds for one answer of Slack's.
TIMEOUT = 10
#: The scopes that the app's manifest asks for (docs/slack.md), and what each is for.
SCOPES = {
    "app_mentions:read": "to hear `@bobby`",
    "chat:write": "to answer and to tell",
    "commands": "for `/bobby`",
    "im:history": "to hear direct messages",
    "users:read": "to know who is asking",
    "users:read.email": "to know whose address it is",
}
#: What an action of ours is called; its number makes it unique in its block.
ACTION = "bobby"
_LABEL, _VALUE, _URL, _BUTTONS = 75, 2000, 3000, 5
#: Characters of one line; a section holds some more.
_LINE = 2900


@dataclass(frozen=True)
class Access:
    """One Slack app. Its secrets are in no message and in no log.

    :param signing_secret: empty where nothing comes in over HTTP.
    :param app_token: empty where Socket Mode is not used.
    """

    client: WebClient
    signing_secret: str = field(default="", repr=False)
    app_token: str = field(default="", repr=False)


def access(settings: Settings) -> Access:
    """The app of the settings, for what is not Airflow.

    :raises UsageError: when there is no `slack:` in them, or no token.
    """
    from slack_sdk import WebClient

    slack = settings.slack
    if slack is None:
        raise UsageError("daybreak.yaml has no `slack:` section; see docs/slack.md")
    if slack.token is None:
        raise UsageError("no bot token: set DAYBREAK_SLACK__TOKEN (docs/slack.md)")
    client = WebClient(slack.token.get_secret_value(), base_url=slack.base_url, timeout=TIMEOUT)
    return Access(client, app_token=slack.app_token.get_secret_value() if slack.app_token else "")


def vouched(user: Mapping[str, Any], team: str) -> str | None:
    """The address of a member of this workspace, as far as the workspace vouches for it.

    A shared channel has people of other workspaces, whose administrators can write any address.

    :param user: as ``users.info`` gives it; :param team: the id of our workspace.
    """
    if user.get("is_bot") or user.get("deleted") or user.get("is_stranger") or user.get("team_id") != team:
        return None
    if user.get("is_email_confirmed") is False:
        return None
    return str(user.get("profile", {}).get("email") or "") or None


def rendered(reply: Reply, names: Collection[str] = ()) -> Message:
    """The reply as a message.

    :param names: of environments: bold where a line begins with one.
    """
    return message(reply.text, blocks(reply.parts, names))


def blocks(parts: Sequence[Section], names: Collection[str] = (), area: str = "0") -> list[Block]:
    """Sections with their buttons. One button stands beside its words, more below them.

    :param area: of a view that has several: blocks and buttons of different areas have different ids.
    """
    made: list[Block] = []
    for number, part in enumerate(parts):
        pressed: list[Button | Link] = [*part.buttons, *part.links]
        buttons = [
            _button(button, f"{area}:{number}:{place}") for place, button in enumerate(pressed[:_BUTTONS])
        ]
        words = section(lines(part.text, names))
        if len(buttons) == 1:
            made.append({**words, "accessory": buttons[0]})
            continue
        made.append(words)
        if buttons:
            made.append({"type": "actions", "block_id": f"{ACTION}:{area}:{number}", "elements": buttons})
    return made


def lines(text: str, names: Collection[str] = ()) -> list[str]:
    """Plain lines as mrkdwn that shows just them; what stands between backticks is code."""
    return [_line(line, names) for line in text.splitlines()] or ["-"]


def _line(line: str, names: Collection[str]) -> str:
    first, space, rest = escaped(line, _LINE).partition(" ")
    return f"*{first}*{space}{rest}" if first in names else f"{first}{space}{rest}" or " "


def _button(button: Button | Link, place: str) -> dict[str, Any]:
    label = button.label if len(button.label) <= _LABEL else f"{button.label[: _LABEL - 1]}…"
    made: dict[str, Any] = {
        "type": "button",
        "action_id": f"{ACTION}:{place}",
        "text": {"type": "plain_text", "text": label, "emoji": True},
    }
    if isinstance(button, Link):
        return {**made, "url": button.url[:_URL]}
    made["value"] = value = button.value()
    if len(value) > _VALUE:
        raise UsageError(f"the command of the button {button.label!r} is longer than Slack takes")
    return {**made, "style": button.style} if button.style else made
