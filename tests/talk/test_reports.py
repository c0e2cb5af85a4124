"""How landing goes, as people see it: one comment edited in place, a check, Slack; told with the change."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.environment.failures import plain
from daybreak.merge.attempts import Attempts
from daybreak.merge.effects import Write
from daybreak.merge.findings import Findings
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from daybreak.registry.outbox import Outbox
from daybreak.settings import MergeSettings
from daybreak.talk.gandalf import digest
from daybreak.talk.gandalf.delivery import GithubDelivery
from daybreak.talk.gandalf.desk import GithubDesk
from daybreak.talk.gandalf.reconcile import reconcile
from daybreak.talk.gandalf.reports import Reports
from daybreak.talk.github.checks import Check
from daybreak.talk.github.client import Reaction, Review
from daybreak.talk.github.deliveries import Changed, Commented, comment_key, to_json, written
from daybreak.talk.github.errors import GithubUnreachable, NotThere, RateLimited
from daybreak.talk.markdown import code, words
from daybreak.talk.outbox import Flushed, Sender
from tests.environment.test_failures import FLASK
from tests.talk.test_gandalf import SHA, Court, court

__all__ = ["court"]


@dataclass
class Page:
    """A repository's pages: what Daybreak wrote there."""

    comments: dict[tuple[int, str], str] = field(default_factory=dict)
    checks: dict[tuple[str, str], Check] = field(default_factory=dict)
    reactions: list[tuple[int, Reaction]] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)

    def comment(self, number: int, body: str, *, marker: str, known: int | None = None) -> int:
        self._breaks()
        self.comments[number, marker] = body
        return list(self.comments).index((number, marker)) + 100

    def check(self, commit: str, check: Check) -> None:
        self._breaks()
        self.checks[commit, check.name] = check

    def react(self, comment: int, reaction: Reaction) -> None:
        self._breaks()
        self.reactions.append((comment, reaction))

    def add_label(self, number: int, label: str) -> None:
        self._breaks()
        self.labels[number] = label

    def close(self, number: int) -> None:
        self._breaks()
        self.closed.append(number)

    def _breaks(self) -> None:
        if self.trouble:
            raise self.trouble.pop(0)


class Street:
    """People who comment on pull requests, and what they see."""

    def __init__(self, court: Court) -> None:
        self.court, self.page, self.number = court, Page(), 0
        installation = court.installation
        self.sender = Sender(installation.outbox, [GithubDelivery(self.page, Reports(installation))])
        self.desk = GithubDesk(installation, court.gandalf)
        self.attempts = Attempts(installation.engine, installation.clock)

    def say(self, login: str, body: str, pull: int = 1, *, again: bool = False, **more: Any) -> None:
        self.number += not again
        event = Commented(pull, self.number, login, body, **more)
        self.court.installation.inbox.record(comment_key(self.number), "github", to_json(event))
        self.work()

    def work(self) -> Flushed:
        self.desk.work()
        return self.sender.flush()

    def go(self, run_id: str, *states: A, said: tuple[str, str] | None = None) -> None:
        """An attempt as the lane writes it."""
        token = self.attempts.find(run_id)
        assert token is not None
        for to in states:
            present = self.attempts.find(run_id)
            assert present is not None
            write = Write(present.state, to, said=said if to is states[-1] else None)
            assert self.attempts.write(run_id, present.token, write, actor="pr_e2e")

    def begin(self, run_id: str) -> None:
        queue = self.court.queue
        queue.begin(run_id, queue.choose(), actor="gandalf")  # type: ignore[arg-type]
        self.attempts.claim(run_id, token="t", fence=1, actor="gandalf", enters=True)

    @property
    def comment(self) -> str:
        return self.page.comments[1, "merge"]


@pytest.fixture
def street(court: Court) -> Street:
    return Street(court)


LANE = (A.PREPARED, A.DEPLOYING, A.DEPLOYED, A.TESTING)
FOUND = {
    "affected": {"trips": ("src/trips.py changed",), "geo": ("its tests changed",)},
    "deployed": {"trips": "k" * 64}, "skipped": {"fleet": ("f" * 64, "night-7")}, "suites": "trips",
    "tests": 4, "seconds": 72.0,
}  # fmt: skip


def test_from_merge_to_main_there_is_one_comment_one_check_and_a_thumb(street: Street) -> None:
    street.say("dana-l", "@gandalf merge")
    assert street.comment.startswith(f"**`{SHA[:12]}`: number 1 of 1 in the queue**")
    assert street.page.reactions == [(1, "+1")]
    assert street.page.checks[SHA, "gandalf"].outcome == "pending"
    street.begin("r1")
    street.work()
    assert "in the lane, merging it with main" in street.comment
    street.go("r1", *LANE)
    street.work()
    assert "in the lane, testing" in street.comment
    Findings("r1", SHA, "passed", **FOUND, flaky=("test_slow",)).keep(street.court.installation.store)  # type: ignore[arg-type]
    street.court.clock.advance(minutes=7)
    street.go("r1", A.PASSED, A.LANDING, A.LANDED)
    street.work()
    assert "landed, 7 min 0 s after it was asked for" in street.comment
    assert "| deployed | `trips` | `kkkkkkkkkkkk` | src/trips.py changed |" in street.comment
    assert "| tested | `geo` |  | its tests changed |" in street.comment
    assert "Skipped: 1" in street.comment
    assert "| `fleet` | `ffffffffffff` | last green in night\\-7 |" in street.comment
    assert "4 e2e tests ran \\(trips\\); testing took 1 min 12 s." in street.comment
    assert "Flaky, passed when tried again: `test_slow`." in street.comment
    assert street.page.checks[SHA, "gandalf"].outcome == "success"
    assert len(street.page.comments) == 1
    told = street.court.installation.outbox.claim(to=("person:", "merges"))
    replies = [Reports(street.court.installation).reply(each.payload) for each in told]
    assert [each.recipient for each in told] == ["merges", "person:dana"]
    assert replies[0].text == (
        "#1 Change 1 by Dana-L landed, 7 min 0 s after it was asked for.\nDeployed: trips.\n"
        "Flaky, passed when tried again: test_slow."
    )
    assert [link.url for link in replies[0].parts[0].links] == ["https://github.example/acme/pull/1"]
    assert "#1 Change 1: landed" in replies[1].text


def test_a_rejection_names_the_tests_and_keeps_what_was_before(street: Street) -> None:
    street.say("dana-l", "@gandalf merge")
    street.begin("r1")
    failures = (("e2e/test_trip.py::test_total", "assert 3 == 4 @dana <!-- x -->"), ("e2e::test_b", "no"))
    Findings("r1", SHA, "failed", **FOUND, failures=failures).keep(street.court.installation.store)  # type: ignore[arg-type]
    street.go("r1", *LANE, A.FAILED, said=("tests_failed", "2 tests failed, twice"))
    street.go("r1", A.REVERTING, A.REVERTED)
    street.work()
    assert "rejected, 2 tests failed: e2e/test\\_trip.py::test\\_total, e2e::test\\_b**" in street.comment
    assert "- `e2e/test_trip.py::test_total`: assert 3 == 4 @\N{ZERO WIDTH SPACE}dana &lt;" in street.comment
    check = street.page.checks[SHA, "gandalf"]
    assert (check.outcome, len(check.description) <= 140) == ("failure", True)
    street.say("dana-l", "@gandalf retry")
    assert "number 1 of 1" in street.comment
    assert f"- `{SHA[:12]}` REJECTED: 2 tests failed, twice" in street.comment
    assert len(street.page.comments) == 1


def test_who_is_rejected_reads_which_tests_failed_why_and_what_to_do_once_each(street: Street) -> None:
    """What a person sees of a service that answers with a page of its own: on the pull request, in Slack, at
    the command line.
    """
    street.say("dana-l", "@gandalf merge")
    street.begin("r1")
    why = plain(f"AssertionError: {FLASK}\nassert 500 == 200\n +  where 500 = <Response [500]>.status_code")
    failures, reason = (("trips.test_trips::test_a_trip", why),), f"trips.test_trips::test_a_trip: {why}"
    found = Findings("r1", SHA, "failed", **FOUND, failures=failures, flaky=("fleet.test_fleet::test_slow",))  # type: ignore[arg-type]
    found.keep(street.court.installation.store)
    street.go("r1", *LANE, A.FAILED, said=("tests_failed", reason))
    street.go("r1", A.REVERTING, A.REVERTED)
    street.work()
    assert street.comment.split("\n\n| | resource")[0].split("\n") == [
        f"**`{SHA[:12]}`: rejected, 1 test failed: trips.test\\_trips::test\\_a\\_trip**",
        "",
        "Failed, twice:",
        '- `trips.test_trips::test_a_trip`: AssertionError: web page "500 Internal Server Error" '
        "\\(assert 500 == 200\\)",
        "",
        "Main is as it was. Push a mended commit and say `@gandalf merge`; where this change is not to "
        "blame, `@gandalf retry` tests the same commit again.",
    ]
    assert "Flaky, passed when tried again: `fleet.test_fleet::test_slow`." in street.comment
    told = [
        "#1 Change 1: rejected, 1 test failed: trips.test_trips::test_a_trip.",
        f"• trips.test_trips::test_a_trip: {why}",
        "Flaky, passed when tried again: fleet.test_fleet::test_slow.",
    ]
    [sent] = street.court.installation.outbox.claim(to=("person:",))
    reply = Reports(street.court.installation).reply(sent.payload)
    assert reply.text.splitlines() == told
    assert [each.label for part in reply.parts for each in part.buttons] == ["Retry"]
    assert street.court.hub_says("gil", "status").text.splitlines() == [
        told[0].replace("#1 Change 1", f"#1 at {SHA[:12]}"),
        *told[1:],
        "A mended commit is queued by `merge #1`, the same one by `retry #1`.",
    ]


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        ("conflict", "#1 conflicts with main in a.py", "it conflicts with main"),
        ("build_failed", "trips: its build ended with exit code 1", "it cannot be built"),
        ("does_not_deploy", "trips: was not healthy", "it does not come up on the merge environment"),
        ("catalog", "resources.py:3: no such path", "its resources cannot be read"),
        ("no_verdict", "3 attempts ended without a verdict", "its tests came to no end, again and again"),
    ],
)
def test_what_no_test_rejects_says_so_in_its_first_line_and_beside_the_commit(
    street: Street, code: str, reason: str, said: str
) -> None:
    street.say("dana-l", "@gandalf merge")
    street.court.queue.end(1, E.REJECTED, by="gandalf", code=code, message=reason)
    street.work()
    assert street.comment.startswith(f"**`{SHA[:12]}`: rejected, {said}**\n\n{words(reason)}\n\nMain is as")
    assert street.page.checks[SHA, "gandalf"].description == f"rejected, {said}"


def test_who_is_tested_together_with_others_reads_with_whom_and_that_a_failure_is_halved(
    street: Street,
) -> None:
    street.court.hub.open(2)
    street.say("dana-l", "@gandalf merge")
    street.say("dana-l", "@gandalf merge", 2)
    street.begin("r1")
    street.work()
    assert "in the lane, merging it with main \\(together with \\#\N{ZERO WIDTH SPACE}2\\)" in street.comment
    Findings("r1", SHA, "failed", **FOUND, failures=(("test_total", "no"),)).keep(  # type: ignore[arg-type]
        street.court.installation.store
    )
    street.go("r1", *LANE, A.FAILED, said=("tests_failed", "test_total: no"))
    street.go("r1", A.REVERTING, A.REVERTED)
    street.work()
    assert "number 1 of 2 in the queue" in street.comment
    assert "It failed together with others, and is tested again with fewer of them." in street.comment
    assert "Main is as it was" not in street.comment


def test_a_paused_queue_says_how_it_goes_on(street: Street) -> None:
    street.say("noa", "@gandalf pause incident 42")
    assert street.court.hub_says("gil", "queue").text.splitlines() == [
        "The queue is paused by noa: incident 42. Nothing enters the lane until an admin says `resume`.",
        "The queue is empty.",
    ]


def test_what_is_refused_or_asked_gets_one_answer_however_often_it_comes(street: Street) -> None:
    street.say("gil", "@gandalf merge")
    for _ in range(3):
        street.say("gil", "@gandalf merge", again=True)
    answers = {key: body for key, body in street.page.comments.items() if key[1] != "merge"}
    assert list(answers) == [(1, "answer:answer/github/comment/1")]
    assert "gil has `read`" in next(iter(answers.values()))
    assert street.page.reactions == [(1, "confused")]
    street.say("gil", "@gandalf mrege")
    assert "Did you mean `merge`?" in street.page.comments[1, "answer:answer/github/comment/2"]
    assert street.court.queue.open() == []


@pytest.mark.parametrize(
    "body",
    ["> @gandalf merge", "```\n@gandalf merge\n```", "    @gandalf merge", "I think @gandalf merge is due"],
)
def test_what_is_quoted_code_or_talk_about_him_does_nothing_and_gets_no_answer(
    street: Street, body: str
) -> None:
    street.say("dana-l", body)
    assert street.court.queue.open() == []
    assert street.page == Page()


def test_five_thousand_characters_and_two_commands_are_refused_in_a_few(street: Street) -> None:
    street.say("noa", "@gandalf pause " + "x" * 5000)
    street.say("noa", "@gandalf merge\n@gandalf pause x")
    answers = list(street.page.comments.values())
    assert "characters" in answers[0]
    assert "more than one command" in answers[1]
    assert max(map(len, answers)) < 1000
    assert not street.court.gandalf.control.standing().paused


def test_nobody_is_called_and_nothing_is_marked_up_by_other_peoples_words(street: Street) -> None:
    street.court.hub.change(1, title="@acme/everyone [x](https://evil.example) <!channel> `#7` | & -->")
    street.say("dana-l", "@gandalf hold -- @channel")
    street.say("dana-l", "@gandalf merge")
    street.say("dana-l", "@gandalf hold -- see <!channel> @acme/all #7 --> <script>")
    street.say("dana-l", "@gandalf queue")
    seen = "\n".join(street.page.comments.values())
    assert not re.search(r"(?<!\w)@\w|(?<!\\)<|-->|\]\(https://evil|(?<!\\)#\d", _outside_code(seen))


def _outside_code(text: str) -> str:
    return re.sub(r"`[^`]*`", "", text)


def test_github_is_waited_for_and_given_up_only_where_it_says_so(street: Street) -> None:
    street.page.trouble = [RateLimited("later", timedelta(seconds=90))]
    street.say("dana-l", "@gandalf merge")
    assert street.page.comments == {}
    street.court.clock.advance(seconds=91)
    assert street.work().sent == 3
    assert len(street.page.comments) == 1
    street.page.trouble = [GithubUnreachable("away")]
    street.say("dana-l", "@gandalf hold")
    street.court.clock.advance(minutes=1)
    street.work()
    assert "held by dana" in street.comment
    street.page.trouble = [NotThere("the comment is gone")]
    street.say("dana-l", "@gandalf unhold")
    assert "held by dana" not in street.comment


def test_an_api_that_lags_is_asked_again_and_the_command_is_done_then(street: Street) -> None:
    street.court.hub.heads[1] = "c" * 40
    street.say("dana-l", "@gandalf merge")
    assert street.court.queue.open() == []
    street.court.hub.change(1, head="c" * 40)
    street.court.hub.said[1] = [Review("eli", "APPROVED", "c" * 40)]
    street.court.clock.advance(seconds=10)
    street.work()
    assert [each.sha for each in street.court.queue.open()] == ["c" * 40]


def test_what_was_pushed_after_merge_was_said_is_not_landed_by_it(street: Street) -> None:
    """A comment carries no commit; the push is in the inbox when Gandalf comes to the comment."""
    inbox, court = street.court.installation.inbox, street.court
    court.gates = replace(court.gates, policy=MergeSettings(required_reviews=0))
    court.gandalf.gates = court.gates
    court.hub.heads[1] = "c" * 40
    court.hub.change(1, head="c" * 40)
    inbox.record(comment_key(9), "github", to_json(Commented(1, 9, "dana-l", "@gandalf merge")))
    court.clock.advance(seconds=1)
    pushed = to_json(Changed(1, "synchronize", "eve", "c" * 40, SHA))
    inbox.record("github/delivery/push", "github", pushed)
    street.work()
    assert court.queue.open() == []
    assert (
        f"is at {'c' * 12} now, not at {SHA[:12]}"
        in street.page.comments[1, "answer:answer/github/comment/9"]
    )
    court.clock.advance(seconds=1)
    street.say("dana-l", "@gandalf merge")
    assert [each.sha for each in court.queue.open()] == ["c" * 40]


def test_a_push_is_after_a_comment_by_githubs_clock_however_both_arrive(street: Street) -> None:
    """A comment without its webhook is heard after the push that it did not know; another push came late."""
    inbox, court = street.court.installation.inbox, street.court
    court.gates = replace(court.gates, policy=MergeSettings(required_reviews=0))
    court.gandalf.gates = court.gates
    court.hub.heads[1] = "c" * 40
    court.hub.change(1, head="c" * 40)
    now = court.clock()
    seen, later = (written(now + timedelta(seconds=each)) for each in (0, 5))
    pushed = Changed(1, "synchronize", "eve", "c" * 40, SHA, at=later)
    inbox.record("github/delivery/push", "github", to_json(pushed))
    court.clock.advance(seconds=30)
    for comment, at, queued in ((9, seen, []), (10, later, ["c" * 40])):
        event = Commented(1, comment, "dana-l", "@gandalf merge", at=at)
        inbox.record(comment_key(comment), "github", to_json(event))
        street.work()
        assert [each.sha for each in court.queue.open()] == queued


def test_without_reviews_nobody_guesses_which_commit_was_meant_some_minutes_ago(street: Street) -> None:
    inbox, court = street.court.installation.inbox, street.court
    said = written(court.clock())
    court.clock.advance(minutes=3)
    for reviews, queued in ((0, []), (1, [SHA])):
        court.gates = replace(court.gates, policy=MergeSettings(required_reviews=reviews))
        court.gandalf.gates = court.gates
        event = Commented(1, 9 + reviews, "dana-l", "@gandalf merge", at=said)
        inbox.record(comment_key(9 + reviews), "github", to_json(event))
        street.work()
        assert [each.sha for each in court.queue.open()] == queued
    answer = street.page.comments[1, "answer:answer/github/comment/9"]
    assert "no review says which commit of" in answer
    assert f"`merge {SHA[:7]}`" in answer


def test_what_landed_as_other_commits_is_closed_with_a_label(street: Street) -> None:
    installation = street.court.installation
    merge = installation.settings.merge.model_copy(update={"style": "squash"})
    object.__setattr__(installation, "settings", installation.settings.model_copy(update={"merge": merge}))
    street.say("dana-l", "@gandalf merge")
    street.begin("r1")
    street.go("r1", *LANE, A.PASSED, A.LANDING)
    street.work()
    assert street.page.closed == []
    street.go("r1", A.LANDED)
    street.work()
    assert (street.page.closed, street.page.labels) == ([1], {1: "merged-by-gandalf"})
    assert "as another commit" in street.comment


def test_what_was_said_while_nobody_was_there_is_not_done_any_more(street: Street) -> None:
    event = Commented(1, 9, "dana-l", "@gandalf merge")
    street.court.installation.inbox.record(comment_key(9), "github", to_json(event))
    street.court.clock.advance(minutes=16)
    street.work()
    assert street.court.queue.open() == []
    assert "say it again" in street.page.comments[1, "answer:answer/github/comment/9"]


def test_what_somebody_redelivers_hours_later_is_not_done_any_more(street: Street) -> None:
    """By GitHub's clock it is as old as it is, whenever it comes."""
    said = written(street.court.clock())
    street.court.clock.advance(hours=3)
    street.say("noa", "@gandalf pause incident 42", at=said)
    assert not street.court.gandalf.control.standing().paused
    assert "say it again" in street.page.comments[1, "answer:answer/github/comment/1"]


def test_a_command_about_another_pull_request_is_about_what_that_one_was_then(street: Street) -> None:
    court, inbox = street.court, street.court.installation.inbox
    court.gandalf.gates = replace(court.gates, policy=MergeSettings(required_reviews=0))
    court.hub.open(2, "d" * 40)
    # A review is of a commit of its own pull request alone.
    review = Commented(2, None, "dana-l", "@gandalf merge #1", "d" * 40)
    inbox.record("github/review/1", "github", to_json(review))
    street.work()
    assert [(each.pr, each.sha) for each in court.queue.open()] == [(1, SHA)]
    street.say("dana-l", "@gandalf cancel")
    # A push to #1 while somebody says it on #2; one to #2 changes nothing about #1.
    court.hub.heads[1] = "c" * 40
    court.hub.change(1, head="c" * 40)
    for number, head, before, queued in ((2, "e" * 40, "d" * 40, ["c" * 40]), (1, "c" * 40, SHA, [])):
        seen = written(court.clock())
        court.clock.advance(seconds=5)
        pushed = Changed(number, "synchronize", "eve", head, before, at=written(court.clock()))
        inbox.record(f"github/delivery/push-{number}", "github", to_json(pushed))
        street.say("dana-l", "@gandalf merge #1", pull=2, at=seen)
        assert [each.sha for each in court.queue.open()] == queued
        street.say("dana-l", "@gandalf cancel")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"labels": frozenset({"do-not-merge"})}, "has the label"),
        ({"draft": True}, "is a draft"),
        ({"base": "release"}, "is against release"),
        ({"state": "closed"}, "is closed"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_not_any_more_what_was_approved_is_stale_by_webhook_or_without(
    street: Street, change: dict, why: str
) -> None:
    street.court.hub.open(2)
    for number in (1, 2):
        street.say("dana-l", "@gandalf merge", number)
    for number in (1, 2):
        street.court.hub.change(number, **change)
    delivery = to_json(Changed(1, "labeled", "eli", SHA))
    street.court.installation.inbox.record("github/delivery/x", "github", delivery)
    street.work()
    assert [each.pr for each in street.court.queue.open()] == [2]
    [ended] = reconcile(street.court.queue, street.court.gates)
    assert (ended.pr, ended.reason_code) == (2, "stale")
    assert why in str(ended.reason)
    assert reconcile(street.court.queue, street.court.gates) == []
    street.work()
    assert "stale" in street.page.comments[2, "merge"]


def test_a_push_or_a_dismissed_review_makes_it_stale_and_trouble_at_github_does_not(street: Street) -> None:
    street.say("dana-l", "@gandalf merge")
    reads = street.court.hub.pull
    street.court.hub.pull = lambda number: (_ for _ in ()).throw(GithubUnreachable("away"))  # type: ignore[method-assign]
    assert reconcile(street.court.queue, street.court.gates) == []
    street.court.hub.pull = reads  # type: ignore[method-assign]
    street.court.hub.said[1] = [Review("eli", "DISMISSED", SHA)]
    [ended] = reconcile(street.court.queue, street.court.gates)
    assert "0 of 1 approvals" in str(ended.reason)


def test_the_week_is_told_once_on_monday_with_what_was_rejected_and_why(street: Street) -> None:
    installation, clock = street.court.installation, street.court.clock
    street.say("dana-l", "@gandalf merge")
    street.begin("r1")
    found = Findings("r1", SHA, "failed", **FOUND, failures=(("test_total", "no"),), flaky=("test_slow",))  # type: ignore[arg-type]
    found.keep(installation.store)
    street.go("r1", *LANE, A.FAILED, said=("tests_failed", "1 test failed, twice"))
    street.go("r1", A.REVERTING, A.REVERTED)
    assert digest.due(installation) is None, "of the week before, in which nothing ended"
    clock.advance(days=3)
    clock.now = clock.now.replace(hour=6)  # Sunday; Monday 09:00 in Jerusalem is Monday 07:00 UTC
    assert digest.due(installation) is None
    clock.advance(days=1, hours=1)
    told = digest.due(installation)
    assert told is not None
    assert Outbox(installation.engine, clock).put(told)
    assert not Outbox(installation.engine, clock).put(told)
    assert digest.render(told.payload).text.splitlines() == [
        "Merges, 2026-03-02 to 2026-03-08: 0 landed, 1 rejected.",
        "• #1 Change 1 (Dana-L) was rejected: test_total",
        "Flaky, passed when tried again: test_slow (1×).",  # noqa: RUF001
    ]


@given(st.text())
def test_code_is_one_line_that_nothing_in_it_ends(text: str) -> None:
    assert re.fullmatch(r"`[^`|\n]+`", code(text))
