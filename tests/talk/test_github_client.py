"""What we ask and tell GitHub over HTTP, with PyGithub: whatever is lost or late, it is there once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from github import Auth, Github

from daybreak.talk.github.checks import Check
from daybreak.talk.github.client import COMMENT, Client, Review, marker_of, on_pull
from daybreak.talk.github.errors import (
    GithubRefused,
    GithubUnreachable,
    NotPermitted,
    NotThere,
    RateLimited,
)
from examples.standins.github.server import APP, BOT
from tests.fixtures.github import Hub

ENTRY = "entry:12"


def bodies(hub: Hub, number: int) -> list[str]:
    return [each["body"].partition("\n\n<!--")[0] for each in hub.site.comments(hub.name, number)]


def test_a_pull_request_is_read_as_it_is(hub: Hub) -> None:
    number, client = hub.pull(), hub.client()
    pull = client.pull(number)
    assert (pull.author, pull.base, pull.branch, pull.head) == (
        "dana", "main", "feature", hub.ref("refs/heads/feature"),
    )  # fmt: skip
    assert (pull.state, pull.draft, pull.fork, pull.merged, pull.files, pull.labels) == (
        "open", False, False, False, 1, frozenset(),
    )  # fmt: skip
    hub.site.draft(hub.name, number)
    hub.site.label("dana", hub.name, number, "wip")
    assert (client.pull(number).draft, client.pull(number).labels) == (True, {"wip"})
    hub.site.edit("dana", hub.name, number, state="closed")
    assert client.pull(number).state == "closed"
    with pytest.raises(NotThere, match="pull request #99"):
        client.pull(99)


def test_the_last_decision_of_each_reviewer_counts_for_the_commit_that_they_saw(hub: Hub) -> None:
    number, client = hub.pull(), hub.client()
    first = hub.ref("refs/heads/feature")
    assert first is not None
    hub.site.review("yossi", hub.name, number, "REQUEST_CHANGES")
    hub.site.review("yossi", hub.name, number, "APPROVE")
    again = hub.site.review("noa", hub.name, number, "APPROVE")
    hub.branch("feature", {"more": "1\n"}, start="feature")
    hub.site.review("yossi", hub.name, number, "COMMENT")
    assert client.reviews(number) == [
        Review("yossi", "APPROVED", first), Review("noa", "APPROVED", first),
    ]  # fmt: skip
    hub.site.ask("dana", "PUT", f"{hub.name}/pulls/{number}/reviews/{again}/dismissals", {"message": "x"})
    assert {each.author: each.verdict for each in client.reviews(number)} == {
        "yossi": "APPROVED", "noa": "DISMISSED",
    }  # fmt: skip


def test_permissions_are_exact_and_a_stranger_has_none(hub: Hub) -> None:
    client = hub.client()
    asked = ("dana", "Yossi", "noa", BOT, "mallory", "no-such-user", "../dana")
    assert [client.permission(login) for login in asked] == [
        "admin", "write", "read", "maintain", "none", "none", "none",
    ]  # fmt: skip
    assert (client.role(), client.me()) == ("maintain", BOT)


def test_one_comment_is_written_once_edited_in_place_and_found_again_by_its_marker(hub: Hub) -> None:
    number, client = hub.pull(), hub.client()
    hub.site.comment("noa", hub.name, number, f"copied\n\n<!-- daybreak:{ENTRY} -->")
    known = client.comment(number, "queued", marker=ENTRY)
    assert client.comment(number, "testing", marker=ENTRY, known=known) == known
    assert hub.client().comment(number, "landed", marker=ENTRY) == known
    assert bodies(hub, number) == ["copied", "landed"], "what somebody else wrote is left alone"
    sent = len(hub.site.calls("PATCH"))
    assert hub.client().comment(number, "landed", marker=ENTRY) == known
    assert len(hub.site.calls("PATCH")) == sent, "what is there already is not sent"
    hub.site.ask(BOT, "DELETE", f"{hub.name}/issues/comments/{known}")
    anew = client.comment(number, "landed", marker=ENTRY, known=known)
    assert anew != known
    assert bodies(hub, number) == ["copied", "landed"]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_comment_whose_answer_was_lost_is_there_once(hub: Hub, status: int) -> None:
    number = hub.pull()
    hub.site.fault("POST", "*/comments", status, after=True)
    known = hub.client().comment(number, "queued", marker=ENTRY)
    assert [each["id"] for each in hub.site.comments(hub.name, number)] == [known]
    assert len(hub.site.calls("POST", f"{number}/comments")) == 1


def test_a_comment_that_comes_late_is_found_by_whoever_sends_it_again(hub: Hub) -> None:
    number = hub.pull()
    hub.site.fault("POST", "*/comments", delay=1.0)
    with pytest.raises(GithubUnreachable, match="looked for before it is sent again"):
        hub.client().comment(number, "queued", marker=ENTRY)
    hub.site.settled()
    hub.client().comment(number, "landed", marker=ENTRY)
    assert bodies(hub, number) == ["landed"]


def test_a_comment_that_is_there_twice_for_a_late_effect_is_one_again(hub: Hub) -> None:
    number, client = hub.pull(), hub.client()
    for _ in range(2):
        hub.site.comment(BOT, hub.name, number, f"queued\n\n<!-- daybreak:{ENTRY} -->")
    client.comment(number, "landed", marker=ENTRY)
    assert bodies(hub, number) == ["landed"]


def test_of_what_was_said_twice_the_known_one_stays_and_nothing_else_goes(hub: Hub) -> None:
    number, client = hub.pull(), hub.client()
    body = f"queued\n\n<!-- daybreak:{ENTRY} -->"
    assert marker_of(body) == ENTRY
    assert marker_of(f"{body}\n> quoted") is None
    hub.site.comment("noa", hub.name, number, body)
    _, known = (hub.site.comment(BOT, hub.name, number, body) for _ in range(2))
    assert client.only(number, marker=ENTRY, known=known + 99) == 0
    assert client.only(number, marker=ENTRY, known=known) == 1
    assert [each["user"]["login"] for each in hub.site.comments(hub.name, number)] == ["noa", BOT]


def test_reads_and_edits_are_tried_again_and_given_up_in_the_end(hub: Hub) -> None:
    number, client = hub.pull(), hub.client()
    hub.site.fault("GET", f"pulls/{number}", 502, times=3)
    assert client.pull(number).number == number
    known = client.comment(number, "queued", marker=ENTRY)
    hub.site.fault("PATCH", "issues/comments/*", 502, times=2, after=True)
    client.comment(number, "landed", marker=ENTRY, known=known)
    assert bodies(hub, number) == ["landed"]
    hub.site.fault("GET", f"pulls/{number}", 502, times=99)
    with pytest.raises(GithubUnreachable, match=f"cannot read pull request #{number}"):
        client.pull(number)


def test_a_short_limit_is_waited_for_and_a_long_one_is_the_callers(hub: Hub) -> None:
    number, client = hub.pull(), hub.client()
    hub.site.fault("POST", "*/comments", 403, retry_after=1)
    client.comment(number, "queued", marker=ENTRY)
    assert bodies(hub, number) == ["queued"]
    for limit in ({"status": 403, "retry_after": 900}, {"status": 429, "reset_in": 900},
                  {"status": 403, "reset_in": 900}):  # fmt: skip
        hub.site.fault("*", "*", **limit)
        with pytest.raises(RateLimited, match="may be asked again in 90") as caught:
            client.pull(number)
        assert timedelta(seconds=890) < caught.value.after <= timedelta(seconds=902)


@pytest.mark.parametrize("fault", [{"after": True}, {}], ids=["lost", "not carried out"])
def test_labels_reactions_statuses_and_closing_survive_an_answer_that_is_lost(
    hub: Hub, fault: dict[str, Any]
) -> None:
    number, client = hub.pull(), hub.client()
    head = client.pull(number).head
    comment = hub.site.comment("dana", hub.name, number, "/gandalf merge")
    checked = Check("daybreak", "pending", "x" * 200, url="http://airflow.example/run")
    for path, send in (
        ("POST */labels", lambda: client.add_label(number, "area/merged")),
        ("POST */reactions", lambda: client.react(comment, "eyes")),
        ("POST statuses/*", lambda: client.check(head, checked)),
        ("DELETE */labels/*", lambda: client.remove_label(number, "area/merged")),
        ("PATCH issues/*", lambda: client.close(number)),
    ):
        method, _, where = path.partition(" ")
        hub.site.fault(method, where, 502, **fault)
        send()
    client.remove_label(number, "area/merged")
    pull = client.pull(number)
    assert (pull.state, pull.labels) == ("closed", frozenset())
    latest = hub.site.statuses(hub.name, head)[0]
    assert (latest["context"], latest["state"], len(latest["description"])) == ("daybreak", "pending", 140)
    sent = len(hub.site.calls("POST", f"statuses/{head}"))
    client.check(head, checked)
    assert len(hub.site.calls("POST", f"statuses/{head}")) == sent, "what stands there is not sent again"
    [found] = hub.site.hosting.repo(hub.name).comments.values()
    assert list(found.reactions) == [("eyes", BOT)]
    labelled = [each["action"] for each in hub.site.deliveries("pull_request")]
    assert labelled == ["opened", "labeled", "unlabeled", "closed"]


@pytest.mark.parametrize("fault", [None, {"after": True}], ids=["well", "lost"])
def test_an_app_has_one_check_run_with_the_details(hub: Hub, fault: dict[str, Any] | None) -> None:
    number, client = hub.pull(), hub.app()
    head = client.pull(number).head
    if fault is not None:
        hub.site.fault("POST", "check-runs", 502, **fault)
    client.check(head, Check("daybreak", "pending", "in the lane", url="http://airflow.example/run"))
    client.check(head, Check("daybreak", "failure", "test_fleet fails: @all", "- skipped: geofences"))
    [run] = hub.site.hosting.repo(hub.name).runs.values()
    assert (run["status"], run["conclusion"]) == ("completed", "failure")
    assert run["output"] == {
        "title": "test_fleet fails: @all", "summary": "test\\_fleet fails: @\N{ZERO WIDTH SPACE}all",
        "text": "- skipped: geofences",
    }  # fmt: skip
    client.comment(number, "rejected", marker=ENTRY)
    client.comment(number, "queued", marker=ENTRY)
    [comment] = hub.site.comments(hub.name, number)
    assert comment["user"]["login"] == APP


def test_what_a_token_may_not_do_is_said_with_what_to_do(hub: Hub) -> None:
    number = hub.pull()
    head = hub.client().pull(number).head
    with pytest.raises(NotPermitted, match=r"give the token that permission \(docs/github.md\)"):
        hub.client("noa").check(head, Check("daybreak", "pending", "waits"))
    with pytest.raises(NotThere, match="does it have access"):
        hub.client("mallory").pull(number)
    wrong = Client(Github(auth=Auth.Token("ghp_wrong"), base_url=hub.site.api), hub.name, backoff=0.01)
    with pytest.raises(NotPermitted, match="put a good one into the connection") as caught:
        wrong.pull(number)
    assert "ghp_wrong" not in str(caught.value)
    nameless = hub.app()
    nameless._login = None
    with pytest.raises(NotPermitted, match=r"github\.login"):
        nameless.me()
    with pytest.raises(GithubRefused, match="No commit found"):
        hub.client().check("0" * 40, Check("daybreak", "pending", "waits"))


def test_a_comment_too_long_for_github_is_cut_and_keeps_its_marker(hub: Hub) -> None:
    number, client = hub.pull(), hub.client()
    known = client.comment(number, "é" * (COMMENT + 1), marker=ENTRY)
    [comment] = hub.site.comments(hub.name, number)
    assert len(comment["body"]) <= COMMENT
    assert "cut: GitHub takes no more" in comment["body"]
    assert client.comment(number, "short", marker=ENTRY) == known


def test_comments_that_no_webhook_brought_are_found(hub: Hub) -> None:
    number, client = hub.pull(), hub.client()
    written = hub.site.comment("dana", hub.name, number, "/gandalf merge")
    now = datetime.now(UTC)
    [said] = client.commented_since(now - timedelta(minutes=5))
    assert (said.number, said.comment, said.author, said.body) == (number, written, "dana", "/gandalf merge")
    assert now - timedelta(minutes=1) < said.at <= now
    assert client.commented_since(now + timedelta(minutes=5)) == []


@pytest.mark.parametrize(
    ("page", "is_one"),
    [
        ("https://github.com/acme/mono/pull/12#issuecomment-31", True),
        ("https://github.com/acme/mono/issues/12#issuecomment-31", False),
        ("https://github.com/acme/pull/issues/12#issuecomment-31", False),
        ("https://github.com/pull/12/issues/7#issuecomment-31", False),
    ],
)
def test_what_is_said_on_an_issue_is_not_said_on_a_pull_request(page: str, is_one: bool) -> None:
    """As docs.github.com, "List issue comments for a repository", has a comment's `html_url`."""
    assert on_pull(page) is is_one


def test_nobody_there_is_unreachable_and_not_a_bug(hub: Hub) -> None:
    away = Client(Github(auth=Auth.Token("x"), base_url="http://127.0.0.1:1"), hub.name, backoff=0.001)
    with pytest.raises(GithubUnreachable, match="does not answer"):
        away.pull(1)
