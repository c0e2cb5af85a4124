"""Inbox and outbox: once in, once out, whatever dies in between; on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from daybreak.registry import work
from daybreak.registry.inbox import Inbox
from daybreak.registry.outbox import CHANNEL, PATIENCE, Notice, Outbox, person, put
from tests.fixtures.registry import ManualClock


@pytest.fixture
def inbox(registry: Engine, clock: ManualClock) -> Inbox:
    return Inbox(registry, clock)


@pytest.fixture
def outbox(registry: Engine, clock: ManualClock) -> Outbox:
    return Outbox(registry, clock)


def notice(key: str = "k", **payload: object) -> Notice:
    return Notice(key, person("dana"), {"kind": "turn", **payload})


def test_a_request_that_is_delivered_four_times_at_once_is_worked_on_once(inbox: Inbox) -> None:
    barrier = threading.Barrier(4)

    def deliver(number: int) -> bool:
        barrier.wait(30)
        return inbox.record("slack/T1/1", "slack", {"n": 1})

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(deliver, range(4))) == [False, False, False, True]
    [received] = inbox.claim(source="slack")
    assert (received.key, received.source, received.payload) == ("slack/T1/1", "slack", {"n": 1})
    assert inbox.done(received)
    assert not inbox.record("slack/T1/1", "slack", {"n": 1})
    assert inbox.claim(source="slack") == []


def test_a_worker_takes_only_the_requests_of_its_own_source(inbox: Inbox) -> None:
    inbox.record("k", "github", {})
    assert inbox.claim(source="slack") == []
    assert [received.key for received in inbox.claim(source="github")] == ["k"]


def test_workers_that_claim_at_once_never_share_a_request(inbox: Inbox) -> None:
    for number in range(20):
        inbox.record(f"k{number:02}", "slack", {})
    barrier = threading.Barrier(8)

    def claim(_: int) -> list[str]:
        barrier.wait(30)
        return [received.key for received in inbox.claim(20, source="slack")]

    with ThreadPoolExecutor(8) as pool:
        claimed = [key for keys in pool.map(claim, range(8)) for key in keys]
    assert sorted(claimed) == [f"k{number:02}" for number in range(20)]


def test_what_a_dead_worker_had_is_claimed_again_and_its_late_word_is_void(
    inbox: Inbox, clock: ManualClock
) -> None:
    inbox.record("k", "slack", {})
    [dead] = inbox.claim(source="slack")
    assert inbox.claim(source="slack") == []
    clock.now += work.ABANDONED
    [again] = inbox.claim(source="slack")
    assert not inbox.done(dead)
    assert not inbox.failed(dead, "late")
    assert inbox.done(again)


def test_failures_wait_longer_each_time() -> None:
    longest = [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
    for attempts, seconds in enumerate(longest):
        waits = [work.backoff(attempts).total_seconds() for _ in range(50)]
        assert seconds / 2 <= min(waits) <= max(waits) <= seconds


def test_what_fails_for_ever_ends_with_its_error_and_is_forgotten(inbox: Inbox, clock: ManualClock) -> None:
    inbox.record("k", "slack", {})
    for attempt in range(work.ATTEMPTS):
        [received] = inbox.claim(source="slack")
        assert received.attempts == attempt
        inbox.failed(received, "no answer")
        assert inbox.claim(source="slack") == []
        clock.now += work.LONGEST_WAIT
    assert inbox.claim(source="slack") == []
    assert inbox.prune() == 0
    clock.advance(days=8)
    assert inbox.prune() == 1


@pytest.mark.parametrize("away_first", [True, False])
def test_what_the_other_side_does_not_take_waits_by_the_clock_and_what_fails_by_itself_by_a_count(
    outbox: Outbox, clock: ManualClock, away_first: bool
) -> None:
    """A night's report outlives a Slack that is away over a weekend; a message without words does not."""
    outbox.put(notice())
    began, tries = clock.now, 0
    if not away_first:
        for _ in range(work.ATTEMPTS - 1):
            [failing] = outbox.claim()
            outbox.failed(failing, "no words for it")
            clock.now += work.LONGEST_WAIT
        began = clock.now
    while outgoings := outbox.claim():
        outbox.away(outgoings[0], "HTTP 503")
        tries += 1
        clock.now += timedelta(hours=2)  # more than the longest wait
    assert began + PATIENCE == clock.now - timedelta(hours=2)
    assert tries > 2 * work.ATTEMPTS
    [given_up] = outbox.standing(work.FAILED)
    assert (given_up.key, given_up.error) == ("k", "HTTP 503")

    # Somebody mended it: all of its patience is there again.
    assert outbox.again() == 1
    [outgoing] = outbox.claim()
    assert (outgoing.attempts, outgoing.away_since) == (0, None)
    outbox.sent(outgoing, None)
    assert outbox.standing(work.WAITING, work.FAILED) == []
    assert outbox.again() == 0


def test_a_notice_is_told_once_and_only_with_its_change(outbox: Outbox, clock: ManualClock) -> None:
    with outbox.engine.connect() as connection, connection.begin() as change:
        assert put(connection, notice(), clock.now)
        change.rollback()
    assert outbox.claim() == []
    assert outbox.put(notice(environment="dev-01"))
    assert not outbox.put(notice(environment="dev-02"))
    [outgoing] = outbox.claim()
    assert outgoing.payload == {"kind": "turn", "environment": "dev-01"}
    assert (outgoing.recipient, outgoing.sent_version) == ("person:dana", 0)
    assert outbox.sent(outgoing, {"ts": "1.2"})
    assert not outbox.put(notice(environment="dev-03"))
    assert [each.status for each in outbox.standing()] == ["done"]


def test_an_update_is_sent_in_place_and_an_equal_one_is_not(outbox: Outbox) -> None:
    outbox.put(Notice("run/1", CHANNEL, {"state": "running"}), replace=True)
    [first] = outbox.claim()
    outbox.sent(first, {"ts": "1.2"})
    assert not outbox.put(Notice("run/1", CHANNEL, {"state": "running"}), replace=True)
    assert outbox.put(Notice("run/1", CHANNEL, {"state": "done"}), replace=True)
    [second] = outbox.claim()
    assert (second.payload, second.reference, second.sent_version) == ({"state": "done"}, {"ts": "1.2"}, 1)


def test_a_change_while_it_is_sent_is_sent_after_it(outbox: Outbox) -> None:
    outbox.put(Notice("run/1", CHANNEL, {"state": "running"}), replace=True)
    [sending] = outbox.claim()
    assert outbox.put(Notice("run/1", CHANNEL, {"state": "done"}), replace=True)
    assert outbox.claim() == [], "two senders of one message would cross"
    assert outbox.sent(sending, {"ts": "1.2"})
    [newer] = outbox.claim()
    assert (newer.payload, newer.reference) == ({"state": "done"}, {"ts": "1.2"})
    outbox.sent(newer, {"ts": "1.2"})
    assert outbox.claim() == []


def test_a_message_waits_as_long_as_the_other_side_asks(outbox: Outbox, clock: ManualClock) -> None:
    outbox.put(notice())
    [outgoing] = outbox.claim()
    assert outbox.away(outgoing, "rate_limited", after=timedelta(hours=1))
    clock.advance(minutes=59)
    assert outbox.claim() == []
    clock.advance(minutes=1)
    [again] = outbox.claim()
    assert outbox.failed(again, "channel_not_found", final=True)
    clock.advance(days=1)
    assert outbox.claim() == []
    assert [each.error for each in outbox.standing(work.FAILED)] == ["channel_not_found"]


def test_what_is_not_worth_telling_any_more_is_left_and_forgotten(outbox: Outbox, clock: ManualClock) -> None:
    outbox.put(Notice("k", CHANNEL, {"kind": "x"}, expires_at=clock.now + timedelta(hours=1)))
    clock.advance(hours=1)
    assert outbox.claim() == []
    clock.advance(days=15)
    assert outbox.prune() == 1
    assert outbox.standing() == []
