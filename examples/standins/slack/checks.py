"""What Slack refuses in a message or a view, as its Block Kit reference says (docs.slack.dev)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from examples.standins.slack.workspace import SlackError

#: Characters, or pieces.
TEXT, MESSAGE, BLOCKS, VIEW_BLOCKS = 40_000, 13_200, 50, 100
_TEXTS = {"header": 150, "section": 3000}
_ELEMENTS = {"actions": 25, "context": 10}
_BUTTON, _ACTION_ID, _BLOCK_ID, _VALUE = 75, 255, 255, 2000
_BLOCK_TYPES = {"header", "section", "context", "actions", "divider", "image", "input", "rich_text"}


def message(text: str, blocks: object) -> list[dict[str, Any]]:
    """The blocks of a message that may be posted."""
    if not text and not blocks:
        raise SlackError("no_text")
    if len(text) > TEXT:
        raise SlackError("msg_too_long")
    return _blocks(blocks or [], BLOCKS)


def view(body: object, kind: str) -> dict[str, Any]:
    """A view of that type."""
    if not isinstance(body, dict) or body.get("type") != kind:
        raise SlackError("invalid_arguments", response_metadata={"messages": [f"[ERROR] not a {kind} view"]})
    if kind == "modal" and not 0 < len((body.get("title") or {}).get("text", "")) <= 24:
        raise SlackError("invalid_arguments", response_metadata={"messages": ["[ERROR] title: 1 to 24"]})
    _blocks(body.get("blocks"), VIEW_BLOCKS)
    return body


def _blocks(blocks: object, most: int) -> list[dict[str, Any]]:
    if not isinstance(blocks, list):
        raise SlackError("invalid_blocks_format")
    wrong = list(_problems(blocks, most))
    if wrong:
        raise SlackError("invalid_blocks", response_metadata={"messages": [f"[ERROR] {w}" for w in wrong]})
    if most == BLOCKS and len(json.dumps(blocks, ensure_ascii=False)) > MESSAGE:
        raise SlackError("msg_blocks_too_long")
    return blocks


def _problems(blocks: list[Any], most: int) -> Iterator[str]:
    if len(blocks) > most:
        yield f"no more than {most} items allowed [json-pointer:/blocks]"
    ids = [block.get("block_id") for block in blocks if isinstance(block, dict) and block.get("block_id")]
    if len(ids) != len(set(ids)):
        yield "`block_id` must be unique [json-pointer:/blocks]"
    for number, block in enumerate(blocks):
        at = f"[json-pointer:/blocks/{number}]"
        if not isinstance(block, dict) or block.get("type") not in _BLOCK_TYPES:
            yield f"unsupported type: {block!r:.60} {at}"
            continue
        if len(block.get("block_id", "")) > _BLOCK_ID:
            yield f"block_id too long {at}"
        if limit := _TEXTS.get(block["type"]):
            yield from _text(block.get("text"), limit, at, empty=bool(block.get("fields")))
        elements = [*block.get("elements", []), *filter(None, [block.get("accessory")])]
        if (limit := _ELEMENTS.get(block["type"])) and not 1 <= len(elements) <= limit:
            yield f"1 to {limit} elements, not {len(elements)} {at}"
        actions = [each.get("action_id") for each in elements if each.get("action_id")]
        if len(actions) != len(set(actions)):
            yield f"`action_id` must be unique {at}"
        for element in elements:
            if element.get("type") == "button":
                yield from _button(element, at)


def _text(found: object, limit: int, at: str, *, empty: bool) -> Iterator[str]:
    if found is None and empty:
        return
    if not isinstance(found, dict) or found.get("type") not in ("plain_text", "mrkdwn"):
        yield f"missing text {at}"
    elif not 1 <= len(found.get("text", "")) <= limit:
        yield f"text must be 1 to {limit} characters, not {len(found.get('text', ''))} {at}"


def _button(button: dict[str, Any], at: str) -> Iterator[str]:
    label = button.get("text", {})
    if label.get("type") != "plain_text" or not 1 <= len(label.get("text", "")) <= _BUTTON:
        yield f"a button's text is plain, 1 to {_BUTTON} characters {at}"
    if len(button.get("action_id", "")) > _ACTION_ID or len(button.get("value", "")) > _VALUE:
        yield f"action_id or value too long {at}"
    if button.get("style") not in (None, "primary", "danger"):
        yield f"style is primary or danger {at}"
