"""Gandalf and a GitHub over HTTP, with git behind it: from a comment without a webhook to its answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from daybreak.errors import CatalogError, UsageError
from daybreak.git.merging import MergeConflict
from daybreak.merge.conf import Conf, conf_of, run_id_of
from daybreak.merge.queue import Queue
from daybreak.merge.rows import Entry
from daybreak.merge.rules import EntryState as E
from daybreak.merge.run import Merge
from daybreak.orchestration import caretaker, connections
from daybreak.talk.desk import STALE, TROUBLE
from daybreak.talk.gandalf.gates import Gates, NotReady
from daybreak.talk.gandalf.refused import answered
from daybreak.talk.gandalf.reports import Card, landed
from daybreak.talk.github.access import Access
from daybreak.talk.markdown import words
from daybreak.talk.whole import Talk
from tests.fixtures.github import Hub
from tests.fixtures.registry import ManualClock
from tests.merge.small import RESOURCES
from tests.talk.conftest import SETTINGS, open_installation


class House:
    """One installation whose monorepo is on GitHub; its clock is GitHub's."""

    def __init__(self, hub: Hub, engine: Engine, folder: Path, *people: dict[str, str]) -> None:
        self.hub, self.clock = hub, ManualClock(datetime.now(UTC))
        settings = {
            **SETTINGS, "people": list(people), "monorepo": {"url": hub.url("dana")},
            "github": {"repository": hub.name},
        }  # fmt: skip
        self.installation = open_installation(engine, self.clock, folder, settings)
        self.queue = Queue(engine, self.clock)

    def care(self) -> list[str]:
        """One run of the caretaker, by a process that just began."""
        talk = Talk.open(self.installation, None, Access(self.hub.client()))
        return list(caretaker.attend(self.installation, talk))

    def comments(self, number: int) -> list[str]:
        issue = self.hub.client().github.get_repo(self.hub.name).get_issue(number)
        return [each.body for each in issue.get_comments() if "<!-- daybreak:" in each.body]


@pytest.fixture
def house(hub: Hub, sqlite_registry: Engine, tmp_path: Path) -> House:
    return House(hub, sqlite_registry, tmp_path / "home")


def unlandable(hub: Hub) -> dict[int, str]:
    """A pull request of each kind that may not land, and what is missing; all but the last are approved."""
    site, name = hub.site, hub.name
    hub.branch("release", {"release": "1"})
    fork = f"noa/{name.partition('/')[2]}"
    site.repo(fork, fork_of=name, noa="admin")
    hub.work.git(
        "push", "--quiet", site.git("noa", fork), f"{hub.branch('forked', {'f': '1'})}:refs/heads/theirs"
    )
    hub.work.git("switch", "--quiet", "--force-create", "empty", "main")
    hub.work.git("commit", "--quiet", "--allow-empty", "--message=nothing")
    hub.push("empty")
    gone = hub.pull("gone")
    said = {
        site.open(
            "dana", name, hub.branch("early", {"d": "1"}) and "early", "Early", draft=True
        ): "is a draft",
        hub.pull("backport", base="release"): "is against release; only what is against main can land",
        site.open("noa", name, "theirs", "From a fork", fork="noa"): "comes from a fork",
        site.open("dana", name, "empty", "Nothing"): "that main does not have",
        gone: "is closed",
        hub.pull("unseen"): "0 of 1 approvals",
    }
    hub.push(":gone")
    for number in list(said)[:-1]:
        site.review("yossi", name, number)
    return said


def test_each_pull_request_that_may_not_land_gets_one_clear_answer_and_nothing_is_half_done(
    house: House,
) -> None:
    hub, site, name = house.hub, house.hub.site, house.hub.name
    said = unlandable(hub)
    many = hub.pull("many", {f"many/{number}": "" for number in range(3500)})
    site.review("yossi", name, many)
    for number in (*said, many):
        site.comment("dana", name, number, "@gandalf merge")
    for _ in range(2):
        house.care()
        house.clock.advance(minutes=1)
    for number, why in said.items():
        [told] = house.comments(number)
        assert why in told, told
        assert house.queue.of_pull(number) == []
    # One that is larger than GitHub lists is not refused: git lists all of it.
    assert [each.pr for each in house.queue.open()] == [many]
    assert [ref for ref in site.refs(name) if "daybreak" in ref] == []


def test_what_no_webhook_brought_is_heard_done_and_told_once_though_answers_are_lost(house: House) -> None:
    hub = house.hub
    number = hub.pull()
    head = hub.ref(f"refs/pull/{number}/head")
    hub.site.comment("noa", hub.name, number, "@gandalf merge")
    hub.site.comment("dana", hub.name, number, "@gandalf merge")
    hub.site.comment("dana", hub.name, number, "> @gandalf merge\n\nI would")
    assert "missed comments: 2 heard" in house.care()
    refused = house.comments(number)
    assert len(refused) == 2
    assert any("noa has" in body for body in refused)
    assert any("0 of 1 approvals" in body for body in refused)
    assert house.queue.open() == []

    hub.site.review("yossi", hub.name, number, "APPROVE")
    hub.site.comment("dana", hub.name, number, "@gandalf merge p=high")
    # Written, and the answer is lost: by the marker it is found, and written once.
    hub.site.fault("POST", "*/comments", 502, after=True)
    house.care()
    [entry] = house.queue.open()
    assert (entry.sha, entry.priority, entry.by) == (head, 1, "github dana")
    house.clock.advance(minutes=1)
    house.care()
    told = [body for body in house.comments(number) if "number 1 of 1 in the queue" in body]
    assert len(told) == 1

    hub.site.label("dana", hub.name, number, "do-not-merge")
    assert any("has the label 'do-not-merge'" in line for line in house.care())
    house.clock.advance(minutes=1)
    house.care()
    [told] = [body for body in house.comments(number) if "daybreak:merge " in body]
    assert "stale" in told
    assert "has the label" in told
    statuses = hub.client().github.get_repo(hub.name).get_commit(str(head)).get_statuses()
    assert next(each.state for each in statuses if each.context == "gandalf") == "error"
    # Of all that was said, nothing is done again.
    assert house.care() == []


@pytest.mark.parametrize("status", [429, 502])
def test_a_merge_during_which_git_is_away_is_done_a_moment_later_and_not_refused(
    house: House, status: int
) -> None:
    hub = house.hub
    number = hub.pull()
    hub.site.review("yossi", hub.name, number)
    hub.site.comment("dana", hub.name, number, "@gandalf merge")
    hub.site.fault("GET", "info/refs", status, retry_after=1)
    house.care()
    assert house.queue.open() == []
    assert house.comments(number) == []
    house.clock.advance(minutes=1)
    house.care()
    assert [each.pr for each in house.queue.open()] == [number]


def test_a_merge_that_git_keeps_from_being_done_is_told_why_and_is_not_done_when_it_is_old(
    house: House,
) -> None:
    hub = house.hub
    number = hub.pull()
    hub.site.review("yossi", hub.name, number)
    hub.site.comment("dana", hub.name, number, "@gandalf merge")
    hub.site.fault("GET", "info/refs", 502, times=TROUBLE)
    for _ in range(TROUBLE):
        assert house.comments(number) == []
        house.care()
        house.clock.advance(seconds=45)
    [told] = house.comments(number)
    assert "could not do that yet" in told
    assert "returned error: 502" in told
    house.clock.advance(seconds=STALE.total_seconds())
    house.care()
    assert "it could not be done until now" in house.comments(number)[-1]
    assert house.queue.of_pull(number) == []


def test_what_waits_stays_while_github_says_that_it_is_not_there_and_git_has_it(house: House) -> None:
    """As when the token lost its access for a while: no word about the pull request."""
    hub = house.hub
    number = hub.pull()
    hub.site.review("yossi", hub.name, number)
    hub.site.comment("dana", hub.name, number, "@gandalf merge")
    house.care()
    hub.site.fault("GET", "pulls/*", 404)
    assert not any(line.startswith("stale entries") for line in house.care())
    [entry] = house.queue.open()
    assert entry.pr == number
    # Once that is over what changed is seen again.
    hub.site.label("dana", hub.name, number, "do-not-merge")
    assert any("has the label 'do-not-merge'" in line for line in house.care())


def test_a_comment_that_comes_after_it_was_written_again_is_deleted(house: House) -> None:
    """Its answer was lost, it was looked for and not there; then it was written once more, and came."""
    hub, number = house.hub, house.hub.pull("late")
    hub.site.review("yossi", hub.name, number)
    hub.site.comment("dana", hub.name, number, "@gandalf merge")
    hub.site.fault("POST", "*/comments", 502, delay=8)
    house.care()
    assert house.comments(number) == []
    house.clock.advance(minutes=3)
    house.care()
    [first] = house.comments(number)
    hub.site.settled()
    assert house.comments(number) == [first, first]
    house.clock.advance(minutes=3)
    assert "missed comments: 1 said twice and deleted" in house.care()
    house.queue.end(number, E.CANCELLED, by="dana", code="cancelled", message="by dana")
    house.care()
    [told] = house.comments(number)
    assert "cancelled" in told


def test_what_is_asked_for_in_airflow_has_its_page_and_whom_to_tell_as_by_a_comment(
    hub: Hub, sqlite_registry: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = ({"name": "dana", "github": "Dana"}, {"name": "noa", "airflow": "noa.k"})
    house = House(hub, sqlite_registry, tmp_path / "home", *people)
    monkeypatch.setattr(connections, "github", lambda _: Access(hub.client()))
    merge = connections.merge(house.installation)
    # Whoever asked is told; of a bot's runs the author is.
    for branch, user, told in (("one", "noa.k", "noa"), ("two", "bot", "dana")):
        number = hub.pull(branch)
        hub.site.review("yossi", hub.name, number)
        entry = merge.resolve(Conf.of({"pr": number}), user, f"manual__{branch}")
        assert (entry.title, entry.author, entry.person) == (f"Add {branch}", "dana", told)
        assert entry.url == hub.client().pull(number).url
        [post] = landed(Card(replace(entry, state=E.LANDED, ended_at=entry.queued_at))).sections[0].links
        assert (post.label, post.url) == ("Pull request", entry.url)


def ask(house: House, conf: dict[str, object], run_id: str, *, by: str = "noa.k") -> str:
    """What the task `resolve` of a run does; why it is refused."""
    merge = connections.merge(house.installation)
    with pytest.raises((NotReady, UsageError)) as refused, answered(merge, conf, by, run_id):
        merge.resolve(Conf.of(conf), by, run_id)
    return str(refused.value)


def test_what_is_refused_in_airflow_is_answered_on_the_pull_request_once_for_each_run(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = house.hub
    monkeypatch.setattr(connections, "github", lambda _: Access(hub.client()))
    said = unlandable(hub)
    for number, why in said.items():
        # Tried again, as after a worker that was killed.
        for _ in range(2):
            assert why in ask(house, {"pr": number}, f"manual__{number}")
    for _ in range(2):
        house.care()
        house.clock.advance(minutes=1)
    for number, why in said.items():
        [told] = house.comments(number)
        assert told.startswith(f"noa.k: {words(f'#{number}')} ")
        assert why in told
        assert house.queue.of_pull(number) == []
    assert [ref for ref in hub.site.refs(hub.name) if "daybreak" in ref] == []

    # Another run is another question; the same one, asked of what changed since, has its answer edited.
    number = list(said)[-1]
    ask(house, {"pr": number, "by": "@eli", "mode": "land", "sprint": 12}, "manual__conf")
    house.care()
    unapproved, told = house.comments(number)
    assert told.startswith(f"{words('@eli')}: conf: no such field: sprint; there are: pr")
    hub.site.label("dana", hub.name, number, "do-not-merge")
    ask(house, {"pr": number}, f"manual__{number}")
    house.clock.advance(minutes=1)
    house.care()
    labelled, other = house.comments(number)
    assert other == told
    assert "0 of 1 approvals" in unapproved
    assert words("has the label 'do-not-merge'") in labelled


def test_a_refusal_is_answered_though_git_is_away_in_that_moment(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = house.hub
    monkeypatch.setattr(connections, "github", lambda _: Access(hub.client()))
    number = hub.pull()
    hub.site.fault("GET", "info/refs", 502)
    assert "no such field" in ask(house, {"pr": number, "sprint": 12}, "manual__1")
    house.care()
    [told] = house.comments(number)
    assert "no such field: sprint" in told


def test_a_run_that_finds_another_commit_leaves_the_entry_that_was_asked_for_meanwhile(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = house.hub
    monkeypatch.setattr(connections, "github", lambda _: Access(hub.client()))
    number = hub.pull("one")
    hub.site.review("yossi", hub.name, number)
    merge = connections.merge(house.installation)

    def pushed_and_asked_for_again(_: Entry) -> str:
        later = hub.branch("one", {"later": "1"})
        hub.site.review("yossi", hub.name, number)
        hub.site.comment("dana", hub.name, number, "@gandalf merge")
        house.care()
        return f"its head is {later[:12]} now"

    early = replace(merge, approved=pushed_and_asked_for_again)
    with pytest.raises(UsageError, match="its head is"):
        early.resolve(Conf(number), "noa", "manual__1")
    [entry] = house.queue.open()
    assert entry.sha == hub.ref(f"refs/pull/{number}/head")


def test_what_a_comment_asked_for_or_no_page_is_there_for_gets_no_answer_of_a_run(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = house.hub
    monkeypatch.setattr(connections, "github", lambda _: Access(hub.client()))
    number, other = hub.pull("one"), hub.pull("two")
    hub.site.review("yossi", hub.name, number)
    hub.site.comment("dana", hub.name, number, "@gandalf merge")
    house.care()
    [entry] = house.queue.open()
    assert "no pull request #999" in ask(house, {"pr": 999}, "manual__999")
    assert "is #1's, not #2's" in ask(house, {**conf_of(entry), "pr": other}, run_id_of(entry))
    # Queued, and stale in the moment between two looks: the entry's own comment says so.
    house.queue.end(number, E.CANCELLED, by="dana", code="cancelled", message="by dana")
    merge = connections.merge(house.installation)
    stale = replace(merge, approved=lambda _: "its reviews were taken back")
    with pytest.raises(UsageError, match="taken back"), answered(stale, {"pr": number}, "noa", "manual__1"):
        stale.resolve(Conf(number), "noa", "manual__1")
    house.clock.advance(minutes=1)
    house.care()
    assert house.comments(other) == []
    [told] = house.comments(number)
    assert "stale" in told
    assert house.installation.outbox.standing("failed", "waiting") == []
    # Without a GitHub nobody could send it.
    settings = house.installation.settings.model_copy(update={"github": None})
    alone = Merge(replace(house.installation, settings=settings))
    with pytest.raises(UsageError), answered(alone, {"pr": other, "x": 1}, "noa", "manual__2"):
        Conf.of({"pr": other, "x": 1})
    assert house.installation.outbox.standing("waiting") == []


def test_what_cannot_be_read_or_merged_is_rejected_before_the_lane_and_the_comment_names_the_file(
    house: House,
) -> None:
    hub, queue = house.hub, house.queue
    hub.work.commit({"resources.py": RESOURCES, "left/value.txt": "old\n"})
    hub.push("main")
    wrong = f"{RESOURCES}\nRIGHT = Resource(\n"
    said = {
        hub.pull("broken", {"resources.py": wrong}): ("catalog", "resources.py"),
        hub.pull("dangling", {"resources.py": RESOURCES.replace('["right"]', '["no-such-folder"]')}): (
            "catalog", "no-such-folder",
        ),
        hub.pull("rival", {"left/value.txt": "mine\n"}): ("conflict", "left/value.txt"),
    }  # fmt: skip
    for number in said:
        hub.site.review("yossi", hub.name, number)
        hub.site.comment("dana", hub.name, number, "@gandalf merge")
    house.care()
    assert [each.pr for each in queue.open()] == list(said)
    # What landed meanwhile.
    hub.work.commit({"left/value.txt": "theirs\n"})
    hub.push("main")
    gates = Gates.of(house.installation.settings, hub.client())
    for entry in queue.open():
        merge, run_id = Merge(house.installation, gates.approved), run_id_of(entry)
        assert merge.resolve(Conf.of(conf_of(entry)), "gandalf", run_id).id == entry.id
        with pytest.raises((CatalogError, MergeConflict)):
            merge.pin_entry(run_id, entry, "gandalf")
        assert merge.settle(run_id, "gandalf") is None
    house.clock.advance(minutes=1)
    house.care()
    for number, (code, named) in said.items():
        [entry] = queue.of_pull(number)
        assert (entry.state, entry.reason_code) == (E.REJECTED, code)
        [told] = house.comments(number)
        assert "rejected" in told
        assert named in told.replace("\\", "")
    assert house.installation.runs.unfinished() == []
    assert [ref for ref in hub.site.refs(hub.name) if "daybreak" in ref] == []
