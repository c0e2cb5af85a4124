"""Pause, emergency, hold, delegate, reset: compare-and-set with their event, and each request once."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, select

from daybreak.environment.rows import AlreadyDone
from daybreak.errors import LostOp, UsageError
from daybreak.merge import protocol as p
from daybreak.merge.batch import Standing, waiting
from daybreak.merge.control import HIGH, Control
from daybreak.merge.queue import Ask, Queue, TooLate
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from daybreak.registry import tables
from tests.fixtures.registry import ManualClock
from tests.merge.conftest import World
from tests.merge.test_batch import entry as made
from tests.merge.test_queue import ask


@pytest.fixture
def queue(registry: Engine, clock: ManualClock) -> Queue:
    return Queue(registry, clock)


@pytest.fixture
def control(queue: Queue) -> Control:
    return Control(queue.engine, queue.clock)


def chosen(queue: Queue) -> list[int]:
    found = queue.choose()
    return [each.pr for each in found.members] if found else []


def told(queue: Queue) -> dict[str, dict]:
    with queue.engine.connect() as connection:
        rows = connection.execute(select(tables.outbox.c.key, tables.outbox.c.payload)).all()
    return {key: payload for key, payload in rows if key.startswith("merge/")}


def test_what_is_held_or_paused_waits_and_an_emergency_does_not() -> None:
    queue = [made(1), made(2, held_by="dana"), made(3)]
    assert [each.id for each in waiting(queue)] == [1, 3]
    assert waiting(queue, Standing(paused=True)) == []
    assert [each.id for each in waiting(queue, Standing(paused=True, emergency=3))] == [3]
    assert waiting(queue, Standing(paused=True, emergency=2)) == []


def test_a_pause_lets_nothing_in_until_it_is_taken_back(queue: Queue, control: Control) -> None:
    queue.add(ask(1), by="dana")
    planned = queue.choose()
    assert planned is not None
    control.pause("incident 42", by="noa", request="r1")
    assert chosen(queue) == []
    with pytest.raises(TooLate, match="paused"):
        queue.begin("r", planned, actor="gandalf")
    with pytest.raises(AlreadyDone):
        control.pause("incident 42", by="noa", request="r1")
    assert control.resume(by="noa").pause_reason == "incident 42"
    with pytest.raises(UsageError, match="not paused"):
        control.resume(by="noa")
    assert chosen(queue) == [1]
    assert [row[1:] for row in queue.history("queue")] == [
        ("noa", "MOVING", "PAUSED", "incident 42"), ("noa", "PAUSED", "MOVING", "resumed"),
    ]  # fmt: skip
    assert control.carried_out("r1")


def test_an_emergency_goes_alone_and_first_and_the_rest_waits(queue: Queue, control: Control) -> None:
    for number in (1, 2, 3):
        queue.add(ask(number), by="dana")
    entry = queue.of(3)
    assert entry is not None
    entry = control.emergency(entry, "checkout is down", by="noa", request="r1")
    assert (entry.priority, entry.solo, entry.reason) == (
        HIGH, True, "emergency, by noa: checkout is down",
    )  # fmt: skip
    assert chosen(queue) == [3]
    with pytest.raises(TooLate, match="#3 is an emergency already"):
        control.emergency(queue.of(1), "me too", by="noa")  # type: ignore[arg-type]
    with pytest.raises(AlreadyDone):
        control.emergency(entry, "checkout is down", by="noa", request="r1")
    queue.end(3, E.CANCELLED, by="noa", code="cancelled", message="over")
    assert chosen(queue) == [], "people say when it goes on"
    control.resume(by="noa")
    assert chosen(queue) == [1, 2]


def test_hold_keeps_the_place_and_is_asked_for_once(queue: Queue, control: Control) -> None:
    for number in (1, 2):
        queue.add(ask(number), by="dana")
    control.hold(1, by="dana", reason="until noon", request="r1")
    assert chosen(queue) == [2]
    with pytest.raises(AlreadyDone):
        control.hold(1, by="dana", request="r1")
    control.unhold(1, by="dana")
    assert chosen(queue) == [1, 2]
    with pytest.raises(UsageError, match="#9 is not in the queue"):
        control.hold(9, by="dana")
    assert [row[4] for row in queue.history("entry:1")][1:] == ["held by dana: until noon", ""]


def test_what_is_held_in_the_lane_does_not_land_and_goes_back_to_its_place(world: World) -> None:
    entry = world.pull_request(1)
    run = world.begin("r1")
    world.go(run, p.enter, p.deploy, p.test)
    control = Control(world.queue.engine, world.clock)
    control.hold(1, by="noa", reason="wait")
    with pytest.raises(LostOp):
        world.go(run, p.land)
    assert world.go(run, p.settle) is A.REVERTED
    found = world.queue.get(entry.id)
    assert (found.state, found.reason_code, found.reason) == (E.QUEUED, "held", "held by noa: wait")
    assert world.files() == set()
    control.unhold(1, by="noa")
    assert world.go(world.begin("r2")) is A.CONFIRMED


def test_a_delegation_is_of_one_pull_request_whatever_the_case_and_reset_takes_it_back(
    queue: Queue, control: Control
) -> None:
    control.delegate(7, "Gil-L", by="dana", request="r1")
    control.delegate(7, "gil-l", by="noa")
    assert control.delegated(7, "gil-L")
    assert not control.delegated(8, "gil-l")
    assert control.reset(7, by="noa") is None
    assert not control.delegated(7, "gil-l")
    entry = queue.add(ask(7), by="dana")
    ended = control.reset(7, by="noa", reason="stuck", request="r2")
    assert ended is not None
    assert (ended.id, ended.state, ended.reason) == (entry.id, E.CANCELLED, "reset by noa: stuck")
    control.delegate(7, "gil-l", by="dana")
    assert [row[4] for row in queue.history("pr:7")] == [
        "delegated to gil-l", "reset", "reset stuck", "delegated to gil-l",
    ]  # fmt: skip


def test_a_request_puts_into_the_queue_once_even_after_it_was_taken_back(queue: Queue) -> None:
    queue.add(ask(1), by="dana", request="r1")
    queue.end(1, E.CANCELLED, by="dana", code="cancelled", message="by dana", request="r2")
    for again in ("r1", "r2"):
        with pytest.raises(AlreadyDone):
            queue.add(ask(1), by="dana", request=again)
    assert queue.open() == []


def test_asked_again_with_another_priority_it_moves_and_keeps_its_time(queue: Queue) -> None:
    for number in (1, 2):
        queue.add(ask(number), by="dana")
    moved = queue.add(ask(2, priority=1, solo=True), by="noa")
    assert [each.pr for each in queue.open()] == [2, 1]
    assert (moved.solo, moved.id) == (True, 2)
    assert chosen(queue) == [2]


def test_the_settings_bound_a_batch(queue: Queue) -> None:
    for number in (1, 2, 3):
        queue.add(ask(number), by="dana")
    assert chosen(queue) == [1, 2, 3]
    queue.most = 2
    assert chosen(queue) == [1, 2]


def test_people_are_told_in_the_transaction_of_each_change(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.add(Ask(1, "a" * 40, "t", "dana", person="dana"), by="dana")
    with monkeypatch.context() as broken:
        broken.setattr("daybreak.registry.outbox.put", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            queue.end(1, E.CANCELLED, by="dana", code="cancelled", message="by dana")
    assert queue.of(1) is not None, "what cannot be told did not happen"
    queue.begin("r1", queue.choose(), actor="gandalf")  # type: ignore[arg-type]
    rows = told(queue)
    assert set(rows) == {"merge/pr/1", "merge/1/check", "merge/1/person"}
    assert rows["merge/pr/1"] == {
        "kind": "merge_comment", "entry": 1, "version": 2, "phase": "PLANNED", "pr": 1, "place": 0,
    }  # fmt: skip


def test_those_behind_learn_their_new_place_and_no_telephone_rings(queue: Queue) -> None:
    for number in range(1, 13):
        queue.add(Ask(number, f"{number:040x}", "t", "dana", person="dana"), by="dana")
    before = told(queue)
    places = [before[f"merge/pr/{number}"]["place"] for number in range(1, 13)]
    assert places == [1, 2, 3, 4, 5, 10, 10, 10, 10, 10, 15, 15]
    queue.end(1, E.CANCELLED, by="dana", code="cancelled", message="by dana")
    after = told(queue)
    places = [after[f"merge/pr/{number}"]["place"] for number in range(2, 13)]
    assert places == [1, 2, 3, 4, 5, 10, 10, 10, 10, 10, 15]
    changed = {key for key in after if after[key] != before.get(key)}
    assert {key for key in changed if key.endswith(("person", "check"))} == {
        "merge/1/person",
        "merge/1/check",
    }


def test_each_landing_is_one_post_and_every_end_edits_what_was_said(world: World) -> None:
    world.pull_request(1, person="dana")
    world.place.bad = [frozenset({"pr-2"})]
    world.go(world.begin("r1"))
    world.pull_request(2, person="dana")
    world.go(world.begin("r2"))
    rows = told(world.queue)
    assert [key for key in rows if key.endswith("landed")] == ["merge/1/landed"]
    assert {key for key in rows if "/pr/" in key} == {"merge/pr/1", "merge/pr/2"}
    for number in (1, 2):
        entry = world.queue.get(number)
        assert rows[f"merge/pr/{number}"]["version"] == entry.version
        assert rows[f"merge/{number}/check"]["version"] == entry.version
