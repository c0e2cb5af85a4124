"""The queue in the registry: one open entry for each pull request, in order, and batches that are halved."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from daybreak.errors import UsageError
from daybreak.merge.queue import PRIORITIES, Ask, Queue, TooLate
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from tests.fixtures.registry import ManualClock
from tests.merge.conftest import World


def ask(pr: int, sha: str = "", **more: object) -> Ask:
    return Ask(pr, sha or f"{pr:040x}", f"Change {pr}", "dana", **more)  # type: ignore[arg-type]


@pytest.fixture
def queue(registry: Engine, clock: ManualClock) -> Queue:
    return Queue(registry, clock)


def test_the_order_is_priority_then_time(queue: Queue, clock: ManualClock) -> None:
    for pr, priority in ((1, "low"), (2, "normal"), (3, "high"), (4, "normal")):
        clock.advance(seconds=1)
        queue.add(ask(pr, priority=PRIORITIES[priority]), by="dana")
    assert [each.pr for each in queue.open()] == [3, 2, 4, 1]


def test_asked_twice_it_is_one_entry_and_another_commit_is_another(queue: Queue) -> None:
    first = queue.add(ask(7), by="dana")
    assert queue.add(ask(7), by="gil") == first
    second = queue.add(ask(7, "f" * 40), by="gil")
    assert second.id != first.id
    old = queue.get(first.id)
    assert (old.state, old.reason_code) == (E.STALE, "superseded")
    assert [each.id for each in queue.open()] == [second.id]


def test_what_is_over_stays_over_and_can_be_asked_for_anew(queue: Queue) -> None:
    first = queue.add(ask(7), by="dana")
    queue.end(7, E.CANCELLED, by="dana", code="cancelled", message="by dana")
    with pytest.raises(UsageError, match="#7 is not in the queue"):
        queue.end(7, E.CANCELLED, by="dana", code="cancelled", message="by dana")
    assert queue.add(ask(7), by="dana").id != first.id
    assert [row[2:4] for row in queue.history(f"entry:{first.id}")] == [
        ("QUEUED", "QUEUED"), ("QUEUED", "CANCELLED"),
    ]  # fmt: skip


def test_sixteen_who_ask_at_once_get_one_entry(queue: Queue) -> None:
    barrier = threading.Barrier(16)

    def run(number: int) -> int:
        barrier.wait(30)
        return queue.add(ask(7, f"{number % 2:040x}"), by=f"u{number}").id

    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(run, range(16)))
    (entry,) = queue.open()
    assert entry.id in ids
    for each in set(ids):
        versions = [row[0] for row in queue.history(f"entry:{each}")]
        assert versions == list(range(1, len(versions) + 1))


def test_an_attempt_and_a_cancel_at_once_have_one_winner(queue: Queue) -> None:
    for number in range(8):
        entry = queue.add(ask(number), by="dana")
        chosen = queue.choose()
        assert chosen is not None
        barrier, lost = threading.Barrier(2), []

        def start(run_id: str = f"r{number}", batch=chosen, barrier=barrier, lost=lost) -> None:
            barrier.wait(30)
            try:
                queue.begin(run_id, batch, actor="gandalf")
            except TooLate:
                lost.append("attempt")

        thread = threading.Thread(target=start)
        thread.start()
        barrier.wait(30)
        queue.end(number, E.CANCELLED, by="dana", code="cancelled", message="by dana")
        thread.join()
        # The cancel comes through in any case; the attempt may have begun before it.
        assert queue.get(entry.id).state is E.CANCELLED
        if lost:
            with pytest.raises(UsageError):
                queue.attempt(f"r{number}")


def test_two_that_break_only_together_the_first_lands_and_the_second_is_rejected(world: World) -> None:
    first, second, third = (world.pull_request(number) for number in (1, 2, 3))
    world.place.bad = [frozenset({"pr-1", "pr-2"})]
    chosen = world.queue.choose()
    assert chosen is not None
    assert [each.pr for each in chosen.members] == [1, 2, 3]
    assert world.go(world.begin("all", chosen)) is A.REVERTED
    assert {each.state for each in world.queue.open()} == {E.QUEUED}  # nobody is blamed for a batch

    runs = 0
    while world.queue.open():
        runs += 1
        world.go(world.begin(f"half-{runs}"))
    assert [world.queue.get(each.id).state for each in (first, second, third)] == [
        E.LANDED, E.REJECTED, E.LANDED,
    ]  # fmt: skip
    assert world.files() == {"pr-1", "pr-3"}
    # {1, 2} fails, 1 lands, 2 fails alone on it, 3 lands: what is known to fail is not tested again.
    assert runs == 4
    world.idle()
