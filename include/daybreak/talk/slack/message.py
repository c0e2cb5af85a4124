"""A message for Slack, as data: blocks, and the plain text for notifications and screen readers. Pure.

Slack's limits are kept by cutting, never by failing: 150 characters in a header, 3,000 in a section, 50
blocks (docs.slack.dev, Block Kit reference). A message whose blocks have more than about 13,000 characters
together is refused as ``msg_blocks_too_long`` whatever its parts, so all of it stays below :data:`MESSAGE`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

HEADER, SECTION, TEXT, BLOCKS = 150, 3000, 3000, 50
#: Characters of all blocks together, as JSON.
MESSAGE = 11_000

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

Block = dict[str, Any]


@dataclass(frozen=True)
class Message:
    """What ``chat.postMessage`` takes beside the channel."""

    text: str
    blocks: tuple[Block, ...]


def escaped(text: str, limit: int = SECTION) -> str:
    """One line of somebody's words, as mrkdwn that shows just them: no mention, no link, nothing cut in half.

    :param limit: of characters after escaping; what is longer ends with an ellipsis.
    """
    parts = [_ENTITIES.get(character, character) for character in " ".join(text.split())]
    if sum(map(len, parts)) > limit:
        while parts and sum(map(len, parts)) > limit - 1:
            parts.pop()
        parts.append("…")
    return "".join(parts)[:limit]


def code(text: str, limit: int = SECTION) -> str:
    """The words as code; without backticks in them, which would end it."""
    return f"`{escaped(text.replace('`', chr(39)), limit - 2) or '-'}`"


def link(url: str, label: str) -> str:
    """A link; characters that would end it are percent-encoded."""
    safe = quote(url, safe=":/?#[]@!$&'()*+,;=%~")
    return f"<{escaped(safe, SECTION // 2)}|{escaped(label.replace('|', '/'), 100)}>"


def header(text: str) -> Block:
    """A title; plain text."""
    plain = " ".join(text.split())
    plain = plain if len(plain) <= HEADER else f"{plain[: HEADER - 1]}…"
    return {"type": "header", "text": {"type": "plain_text", "text": plain, "emoji": True}}


def section(lines: Iterable[str], limit: int = SECTION) -> Block:
    """Lines of mrkdwn, whole ones; those that have no room are counted in the last line."""
    kept: list[str] = []
    waiting = list(lines)
    size = 0
    room = min(limit, SECTION) - len("… and 1000000 more")
    while waiting and size + len(waiting[0]) + 1 <= room:
        size += len(waiting[0]) + 1
        kept.append(waiting.pop(0))
    if waiting:
        kept.append(f"… and {len(waiting)} more")
    return {"type": "section", "text": _mrkdwn("\n".join(kept) or "-")}


def context(text: str) -> Block:
    """Small print."""
    return {"type": "context", "elements": [_mrkdwn(text[:SECTION])]}


def message(text: str, blocks: Sequence[Block]) -> Message:
    """Put it together. The first and the last block stay; what has no room before the last is left out.

    :param text: for notifications: plain words, escaped here.
    """
    *kept, last = blocks
    cut = False
    while len(kept) > 1 and (len(kept) + 2 > BLOCKS or _size([*kept, last]) > MESSAGE):
        kept.pop()
        cut = True
    return Message(escaped(text, TEXT), (*kept, *([context("… and more, see the run")] if cut else []), last))


def _mrkdwn(text: str) -> Block:
    # Verbatim: Slack looks for no mention, channel or link of its own in it; those that we write still work.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _size(blocks: Sequence[Block]) -> int:
    return len(json.dumps(blocks, ensure_ascii=False))


def duration(seconds: float) -> str:
    """``12 s``, ``3 min 22 s``, ``1 h 4 min``."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
