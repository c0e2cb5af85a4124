"""A message as data: what has no room is left out, never the beginning and never the end."""

from __future__ import annotations

import json

from daybreak.talk.slack.message import BLOCKS, MESSAGE, context, escaped, header, message, section


def test_what_has_no_room_before_the_last_block_is_left_out_and_that_is_said() -> None:
    many = [header("title"), *(section([f"{n} {'x' * 900}"]) for n in range(30)), context("the run")]
    made = message("text", many)
    assert made.blocks[0] == many[0]
    assert made.blocks[-2:] == (context("… and more, see the run"), many[-1])
    assert list(made.blocks[1:-2]) == many[1 : len(made.blocks) - 2]
    assert MESSAGE - 1000 < len(json.dumps(made.blocks, ensure_ascii=False)) <= MESSAGE + 100


def test_blocks_are_as_many_as_slack_takes() -> None:
    made = message("text", [section([str(n)]) for n in range(80)])
    assert len(made.blocks) <= BLOCKS
    assert made.blocks[-1] == section(["79"])


def test_a_message_that_fits_is_as_it_was() -> None:
    blocks = [header("title"), section(["line"]), context("end")]
    assert message("text", blocks).blocks == tuple(blocks)


def test_lines_are_kept_whole_and_the_others_are_counted() -> None:
    text = section([f"{n:03} {'x' * 96}" for n in range(50)], 1000)["text"]["text"]
    lines = text.split("\n")
    assert len(text) <= 1000
    assert lines[-1] == f"… and {50 - (len(lines) - 1)} more"
    assert all(len(line) == 100 for line in lines[:-1])


def test_a_section_without_lines_is_not_empty() -> None:
    assert section([])["text"]["text"]


def test_words_with_control_characters_show_just_them() -> None:
    assert escaped("<!channel> a & b\n<@U1>") == "&lt;!channel&gt; a &amp; b &lt;@U1&gt;"
    assert escaped("a & b", 5) == "a …"
