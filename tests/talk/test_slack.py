"""A reply in Slack's blocks: everything that people said is shown as words, and all of it fits."""

from __future__ import annotations

import json
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.talk.reply import Button, Press, Reply, Section
from daybreak.talk.slack.app import rendered
from examples.standins.slack import checks

BUTTON = Button("Release", "release dev-01", "danger", lease=7, night=date(2026, 3, 5))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=6000)
BUTTONS = st.builds(Button, st.text(min_size=1, max_size=100), st.text(max_size=300))
SECTIONS = st.builds(Section, TEXTS, st.lists(BUTTONS, max_size=7).map(tuple))


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.lists(SECTIONS, max_size=8).map(tuple))
def test_whatever_is_said_slack_takes_it(text: str, sections: tuple[Section, ...]) -> None:
    said = rendered(Reply(text, sections))
    checks.message(said.text or "-", list(said.blocks))


def test_other_peoples_words_call_nobody_and_link_nowhere() -> None:
    hostile = "<!channel> <@U1> <https://evil.example|dev-01> & *@here* #general"
    said = rendered(Reply(hostile, (Section(f"dev-01 is dana's: {hostile}", (BUTTON,)),)))
    shown = said.blocks[0]["text"]
    assert shown["verbatim"] is True
    assert not {"<", ">"} & set(shown["text"] + said.text)
    assert "&lt;!channel&gt;" in shown["text"]


def test_lines_stay_lines_and_a_button_brings_back_what_it_was_given() -> None:
    said = rendered(Reply("x", (Section("one\n\ntwo", (BUTTON,)), Section("three", (BUTTON, BUTTON)))))
    assert said.blocks[0]["text"]["text"].split("\n") == ["one", " ", "two"]
    assert said.blocks[0]["accessory"]["style"] == "danger"
    assert Press.of(said.blocks[0]["accessory"]["value"]) == Press("release dev-01", 7, date(2026, 3, 5))
    assert [each["type"] for each in said.blocks] == ["section", "section", "actions"]
    assert len({json.dumps(each["action_id"]) for each in said.blocks[2]["elements"]}) == 2


def test_an_environment_at_the_beginning_of_a_line_is_bold_and_nothing_else_is() -> None:
    said = rendered(Reply("dev-01 READY, free\ndev-011 is not dev-01"), ["dev-01"])
    assert said.blocks[0]["text"]["text"] == "*dev-01* READY, free\ndev-011 is not dev-01"


def test_five_thousand_characters_are_cut_and_shown_to_be() -> None:
    said = rendered(Reply("x" * 5000))
    assert said.blocks[0]["text"]["text"].endswith("…")
    assert said.text.endswith("…")
