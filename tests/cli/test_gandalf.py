"""``daybreak gandalf`` and ``daybreak queue``: the grammar of a comment, JSON, exit codes, completion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daybreak.cli import gandalf, saying
from daybreak.cli.main import main
from daybreak.merge.queue import Ask, Queue
from daybreak.merge.rules import EntryState
from daybreak.registry import connect
from daybreak.talk.verbs import GANDALF, Vocabulary, following
from tests.cli.test_bobby import configured
from tests.fixtures.github import Hub

__all__ = ["configured"]


@pytest.fixture
def queue(configured: Path) -> Queue:
    return Queue(connect(f"sqlite:///{configured}/home/registry.db"))


def test_the_queue_is_seen_without_github_and_nothing_else_is_done(queue: Queue, capsys) -> None:
    queue.add(Ask(12, "a" * 40, "Faster trips", "dana-l"), by="dana")
    capsys.readouterr()
    assert main(["queue"]) == 0
    assert capsys.readouterr().out == "  1  #12 Faster trips (dana-l)\n"
    assert main(["queue", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["queue"][0]["place"] == 1
    assert main(["gandalf", "explain", "12", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entry"]["pull"] == 12
    assert main(["gandalf", "hold", "12", "--", "why"]) == 2
    found = capsys.readouterr()
    assert (found.out, "`github:` is missing in daybreak.yaml" in found.err) == ("", True)
    assert main(["gandalf", "mrege", "12"]) == 2
    assert "Did you mean `merge #12`?" in capsys.readouterr().err
    assert main(["gandalf", "cancel"]) == 2
    assert "Which pull request?" in capsys.readouterr().err


def test_other_peoples_words_move_no_cursor_and_change_no_colour(queue: Queue, capsys) -> None:
    queue.add(Ask(12, "a" * 40, "\x1b[2J\x1b[31mFaster\rtrips\u202e", "dana-l"), by="dana")
    queue.end(12, EntryState.REJECTED, by="gandalf", code="conflict", message="in \x1b]0;title\x07 a.py")
    capsys.readouterr()
    for said in (["queue"], ["gandalf", "status", "12"], ["gandalf", "explain", "12"]):
        assert main(said) == 0
        shown = capsys.readouterr().out
        assert all(each.isprintable() or each == "\n" for each in shown), shown


def test_watch_prints_what_changed(queue: Queue, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    capsys.readouterr()
    looks = iter(range(4))

    def later(_: float) -> None:
        look = next(looks, None)
        if look is None:
            raise KeyboardInterrupt
        if look == 1:
            queue.add(Ask(12, "a" * 40, "Faster trips", "dana-l"), by="dana")
        if look == 2:
            queue.end(12, EntryState.CANCELLED, by="dana", code="cancelled", message="by dana")

    monkeypatch.setattr(gandalf.time, "sleep", later)
    assert main(["queue", "--watch"]) == 130
    seen = capsys.readouterr().out.splitlines()
    assert seen == ["The queue is empty.", "", "  1  #12 Faster trips (dana-l)", "", "The queue is empty."]


def test_what_ones_login_on_github_may_is_what_one_may(
    hub: Hub, configured: Path, queue: Queue, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    config = configured / "daybreak.yaml"
    said = config.read_text().replace(
        "{name: dana}, {name: eli}", "{name: dana, github: Dana}, {name: eli, github: noa}"
    )
    config.write_text(
        f"{said}monorepo: {{url: '{hub.url()}'}}\n"
        f"github: {{repository: {hub.name}, base_url: '{hub.site.api.rstrip('/')}'}}\n"
        "merge: {required_reviews: 0}\n"
    )
    monkeypatch.setenv("DAYBREAK_GITHUB__TOKEN", hub.site.token("dana"))
    number = hub.pull()
    for who, code in (("eli", 77), ("stranger", 77), ("dana", 0)):
        monkeypatch.setattr(saying, "login", lambda name=who: name)
        assert main(["gandalf", "merge", str(number)]) == code, capsys.readouterr()
    [entry] = queue.open()
    assert (entry.sha, entry.by, entry.author) == (hub.ref(f"refs/pull/{number}/head"), "dana", "dana")
    assert str(entry.url).endswith(f"/pull/{number}")


def test_what_can_follow() -> None:
    words = Vocabulary(verbs=GANDALF)
    assert following([], words)[:3] == ["cancel", "delegate", "emergency"]
    assert following(["merge", "12"], words) == ["p=low", "p=normal", "p=high", "solo"]
    assert following(["merge", "12", "p=high"], words) == ["solo"]
    assert following(["delegate", "12"], words, ["@dana"]) == ["@dana"]
    assert following(["hold", "12"], words) == ["--"]
    assert following(["env"], words) == ["heal"]
