"""What Bobby answers, as plain data: Slack makes blocks of it, the CLI lines, the board a page. Pure.

Every text is plain: lines, with commands between backticks. Whoever renders it escapes it as a whole, since
reasons in it are other people's words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from daybreak.environment.failures import one_line
from daybreak.errors import UsageError

#: Characters of somebody's words in a line.
_QUOTED = 300
#: Whose command it is.
Bot = Literal["bobby", "gandalf"]


def quoted(text: str, limit: int = _QUOTED) -> str:
    """Somebody's words in a reply: one line, and no backtick, which would make a command of what follows.

    :param limit: of characters; what is longer ends with an ellipsis.
    """
    return one_line(text, limit).replace("`", "'")


@dataclass(frozen=True)
class Button:
    """A command to press.

    :param command: in the bot's grammar; said for the person who presses it.
    :param lease: the lease that it was offered for: it does nothing to a later one.
    :param night: the night that it was offered for: it does nothing in a later one.
    """

    label: str
    command: str
    style: Literal["primary", "danger"] | None = None
    lease: int | None = None
    night: date | None = None
    bot: Bot = "bobby"

    def value(self) -> str:
        """What the button carries to the other side and back (Slack's ``value``)."""
        night = self.night.isoformat() if self.night else None
        to = {} if self.bot == "bobby" else {"bot": self.bot}
        return json.dumps({"command": self.command, "lease": self.lease, "night": night, **to})


@dataclass(frozen=True)
class Press:
    """A button that came back."""

    command: str
    lease: int | None = None
    night: date | None = None
    bot: Bot = "bobby"

    @classmethod
    def of(cls, value: str) -> Press:
        """From :meth:`Button.value`.

        :raises UsageError: when it is none of ours.
        """
        try:
            data = json.loads(value)
            night = date.fromisoformat(data["night"]) if data["night"] else None
            lease = int(data["lease"]) if data["lease"] is not None else None
            bot: Bot = "gandalf" if data.get("bot") == "gandalf" else "bobby"
            return cls(str(data["command"]), lease, night, bot)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError("that button is not one of Bobby's, or of another version; say `help`") from None


@dataclass(frozen=True)
class Link:
    """A page to open."""

    label: str
    url: str


@dataclass(frozen=True)
class Section:
    """A paragraph with its buttons and links."""

    text: str
    buttons: tuple[Button, ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Reply:
    """An answer, or a notice.

    :param text: the whole of it in words, for notifications, screen readers and the command line.
    :param sections: the same in parts, with buttons; without any, ``text`` is all.
    :param code: ``ok``, or the stable word of what went wrong (`DaybreakError.code`).
    :param exit_code: of the command line.
    :param data: for `--json`.
    :param public: it concerns everybody: in Slack, said in the channel rather than to the one who asked.
    """

    text: str
    sections: tuple[Section, ...] = ()
    code: str = "ok"
    exit_code: int = 0
    data: Mapping[str, Any] = field(default_factory=dict)
    public: bool = False

    @property
    def parts(self) -> tuple[Section, ...]:
        """The sections, at least one."""
        return self.sections or (Section(self.text),)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {"code": self.code, "text": self.text, **self.data}
