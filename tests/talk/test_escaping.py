"""Other people's words call nobody, link nowhere and end nothing, whatever they are: on GitHub, in Slack."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from daybreak.environment.failures import one_line
from daybreak.merge.findings import Findings
from daybreak.merge.rows import Entry
from daybreak.merge.rules import EntryState as E
from daybreak.talk.gandalf import digest
from daybreak.talk.gandalf.card import Card
from daybreak.talk.gandalf.desk import as_markdown
from daybreak.talk.gandalf.reports import check, comment, landed, stopped, told
from daybreak.talk.markdown import words
from daybreak.talk.reply import Reply
from daybreak.talk.slack.app import rendered

#: Each means something to GitHub or to Slack, or ends something that does.
FRAGMENTS = (
    "@team", "@acme/all", "#12", "GH-12", "_gh-7", "`", "``", "```", "```\n", "~~~", "<!channel>",
    "<!here|x>", "<@U1>", "<#C1>", "<b>", "</details>", "</summary>", "<!-- x", "-->", "<img src=x>",
    "[x](https://evil.example)", "![x](https://evil.example/x.png)", "[x]: https://evil.example",
    "<https://evil.example>", "https://evil.example", "http://evil.example|click", "www.evil.example",
    "_www.evil.example", "a@evil.example", "|", "||", "\n", "\n\n", "- ", "* ", "1. ", "1) ", "===", "---",
    "***", "# ", "> ", "    ", "\t", "\\", "\\\\", "&lt;b&gt;", "&#64;team", "&amp;", ":100:", ":tada:",
    "*", "**", "_", "~", "$", "$`", "[^1]", "\u202e", "\u200b", "\x1b[31m", "!",
)  # fmt: skip
hostile = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), min_size=1, max_size=8).map("".join)
seen = hostile.filter(lambda text: bool(one_line(text, 100)))

GITHUB = MarkdownIt("gfm-like")
assert GITHUB.linkify is not None
GITHUB.linkify.set({"fuzzy_link": False})  # GitHub takes no bare name for a page
NOTHING = "\N{ZERO WIDTH SPACE}"
AT = datetime(2026, 3, 5, 9, tzinfo=UTC)
SHA = "a" * 40


def text_of(page: str) -> str:
    """What a reader sees of HTML, outside of code."""
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<code>.*?</code>", " ", page, flags=re.DOTALL)))


def tags(page: str) -> list[str]:
    return [re.sub(r'href="[^"]*"', "", each) for each in re.findall(r"<[^>]*>", page)]


def calls(text: str) -> list[str]:
    """What GitHub itself would make a link of, outside of Markdown; and emoji."""
    pattern = r"@\w|#\w|gh-\d|[a-z]://\S|www\.\w|:[a-z0-9_+-]+:"
    return re.findall(pattern, text, re.IGNORECASE)


@settings(deadline=None)
@given(hostile)
def test_words_show_just_themselves_on_github(text: str) -> None:
    page = GITHUB.render(words(text))
    assert set(tags(page)) <= {"<p>", "</p>"}
    assert text_of(page).strip().replace(NOTHING, "") == one_line(text, 300)
    assert calls(text_of(page)) == []


def entry(title: str, reason: str, author: str, state: E, code: str) -> Entry:
    return Entry(
        id=7, pr=7, sha=SHA, title=title, author=author, mode="land", priority=0, solo=False, by=author,
        queued_at=AT, state=state, version=3, changed_at=AT, ended_at=AT + timedelta(minutes=3), attempts=1,
        suspects=None, suspects_fail=False, reason_code=code, reason=reason, run_id="pr-7-1", url="https://github.example/acme/pull/7",
    )  # fmt: skip


def card(text: str, state: E = E.REJECTED, code: str = "tests_failed") -> Card:
    """Everything in it that comes from outside is that text."""
    found = Findings(
        "pr-7-1", SHA, "failed", {"trips": (text,), text: (text,)}, {"trips": "k" * 64},
        {text: ("f" * 64, text)}, text, 4, ((text, text), ("test_b", text)), (text,), 72.0,
    )  # fmt: skip
    mine = entry(text, text, text, state, code)
    return Card(mine, findings=found, run="https://airflow.example/x", paused=text, earlier=[mine])


@settings(deadline=None)
@given(seen, st.sampled_from(["tests_failed", "conflict", "no_verdict"]))
def test_a_comment_has_the_same_shape_whatever_the_words_in_it_are(text: str, code: str) -> None:
    page, plain = (GITHUB.render(comment(card(each, code=code))) for each in (text, "word"))
    assert tags(page) == tags(plain)
    assert calls(text_of(page)) == []


@settings(deadline=None)
@given(seen)
def test_what_stands_beside_a_commit_is_one_line_of_words(text: str) -> None:
    found = check(card(text))
    assert found.description == one_line(found.description, 10_000)
    assert set(tags(GITHUB.render(words(found.description, 255)))) <= {"<p>", "</p>"}


@settings(deadline=None)
@given(seen)
def test_an_answer_in_a_comment_has_the_commands_as_code_and_all_else_as_words(text: str) -> None:
    text = one_line(text, 200)  # its lines are our own
    said = f"#7 {text}\nbefore `{text}` after\n`retry #7` again"
    page = GITHUB.render(as_markdown("dana", said))
    assert set(tags(page)) <= {"<p>", "</p>", "<br />", "<code>", "</code>"}
    assert page.count("<p>") == 1
    assert "<code>retry #7</code> again" in page.replace(NOTHING, "")
    assert calls(text_of(page)) == []


def slack_shows(reply: Reply, commands: int = 0) -> None:
    """No mention, no link but those of buttons, no code but our own commands'; nothing is looked for."""
    made = rendered(reply)
    shown = [block["text"] for block in made.blocks if block["type"] == "section"]
    assert all(each["verbatim"] for each in shown if each["type"] == "mrkdwn")
    for text in (made.text, *(each["text"] for each in shown)):
        assert not re.search(r"<|>|&(?!amp;|lt;|gt;)", text)
        assert all(each.isprintable() or each == "\n" for each in text)
    assert sum(each["text"].count("`") for each in shown) == 2 * commands
    assert "evil" not in json.dumps([each.get("accessory") or each.get("elements") for each in made.blocks])


@settings(deadline=None)
@given(seen)
def test_slack_shows_words_of_a_rejection_a_landing_and_the_week_and_nothing_else(text: str) -> None:
    slack_shows(told(card(text)))
    slack_shows(told(card(text, code="conflict")))
    slack_shows(landed(card(text, E.LANDED)))
    rejected = {"pr": 7, "title": text, "author": text, "code": "x", "reason": text, "failures": [text]}
    week = {"from": "a", "to": "b", "states": {}, "rejected": [rejected], "more": 0, "flaky": [[text, 2]]}
    slack_shows(digest.render(week))
    slack_shows(stopped({"by": text, "reason": text}), commands=1)
