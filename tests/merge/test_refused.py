"""A remote that does not take what Daybreak pushes: told once, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from daybreak.errors import DaybreakError
from daybreak.merge import protocol as p
from daybreak.merge.announce import MERGES
from daybreak.merge.control import Control
from daybreak.merge.remote import LEASE_REF
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from daybreak.registry.outbox import Outbox
from tests.merge.conftest import MAIN, World


def protect(world: World, ref: str) -> Path:
    """Whoever pushes to it is refused, until the file that this gives is gone."""
    hook = Path(world.url, "hooks", "update")
    hook.write_text(f'#!/bin/sh\n[ "$1" != {ref} ]\n')
    hook.chmod(0o755)
    return hook


def told(world: World) -> list[Any]:
    """What is new in the merges channel."""
    outbox = Outbox(world.environments.engine, world.clock)
    claimed = outbox.claim(100)
    assert all(outbox.sent(each, None) for each in claimed)
    return [each.payload for each in claimed if each.recipient == MERGES]


def test_a_protected_main_is_no_landing_and_says_so(world: World) -> None:
    entry = world.pull_request(7)
    protect(world, MAIN)
    world.go(world.begin("pr-7-1"), p.enter, p.deploy, p.test)
    assert world.go("pr-7-1", p.land, p.settle) is A.REVERTED
    found = world.queue.get(entry.id)
    assert (found.state, found.reason_code) == (E.QUEUED, "landing_refused")
    assert "may Daybreak push to that branch?" in str(found.reason)
    world.idle()


def test_a_main_that_refuses_the_push_stops_the_queue_once_until_somebody_resumes_it(world: World) -> None:
    control = Control(world.environments.engine, world.clock)
    first, second = world.pull_request(7, solo=True), world.pull_request(8, solo=True)
    hook = protect(world, MAIN)

    assert world.go(world.begin("pr-7-1")) is A.REVERTED
    assert world.queue.choose() is None
    [said] = told(world)
    assert (said["kind"], said["by"]) == ("merge_stopped", "gandalf")
    assert said["reason"].startswith("#7 passed and did not land: the remote does not move main")
    assert control.standing().pause_reason == said["reason"]
    # Whoever comes again for the same attempt stops nothing.
    world.caretaker("pr-7-1")
    assert told(world) == []
    # Nor does an emergency go round and round.
    control.emergency(world.queue.get(second.id), "prod is down", by="noa")
    assert world.go(world.begin("pr-8-1")) is A.REVERTED
    assert world.queue.choose() is None
    [again] = told(world)
    assert again["reason"].startswith("#8 passed and did not land")
    assert "It was paused before, by noa: emergency #8: prod is down" in again["reason"]
    hook.unlink()
    control.resume(by="noa")
    assert world.go(world.begin("pr-8-2")) is A.CONFIRMED
    assert world.go(world.begin("pr-7-2")) is A.CONFIRMED
    assert {world.queue.get(each.id).state for each in (first, second)} == {E.LANDED}
    assert told(world)[-1]["kind"] == "merge_landed"
    world.idle()


def test_a_lease_that_is_refused_stops_the_queue_once_until_somebody_resumes_it(world: World) -> None:
    control = Control(world.environments.engine, world.clock)
    first, second = world.pull_request(7, solo=True), world.pull_request(8, solo=True)
    hook = protect(world, LEASE_REF)
    world.begin("pr-7-1")
    for step in (p.enter, p.settle):
        with pytest.raises(p.LeaseRefused, match="may Daybreak push there"):
            world.go("pr-7-1", step)
    [said] = told(world)
    assert (said["kind"], said["by"]) == ("merge_stopped", "gandalf")
    assert said["reason"].startswith("#7 cannot go on: the remote does not take refs/heads/daybreak/lease")
    assert control.standing().pause_reason == said["reason"]
    assert world.queue.choose() is None
    # Whoever comes again finds the same, and says nothing.
    with pytest.raises(p.LeaseRefused):
        world.caretaker("pr-7-1")
    assert told(world) == []
    # An emergency would be in vain, too; and who resumes it too early is told anew, once.
    control.emergency(world.queue.get(second.id), "prod is down", by="noa")
    with pytest.raises(p.LeaseRefused):
        world.caretaker("pr-7-1")
    [again] = told(world)
    assert "It was paused before, by noa: emergency #8: prod is down" in again["reason"]
    control.resume(by="noa")
    for _ in range(2):
        with pytest.raises(p.LeaseRefused):
            world.caretaker("pr-7-1")
    assert [each["reason"] for each in told(world)] == [said["reason"]]
    hook.unlink()
    assert world.caretaker("pr-7-1") is A.REVERTED
    world.idle()
    assert world.queue.choose() is None
    control.resume(by="noa")
    assert world.go(world.begin("pr-8-1")) is A.CONFIRMED
    assert world.go(world.begin("pr-7-2")) is A.CONFIRMED
    assert {world.queue.get(each.id).state for each in (first, second)} == {E.LANDED}
    world.idle()


def test_what_passed_when_the_lease_was_refused_lands_as_it_was_tested_once_it_is_taken(world: World) -> None:
    entry = world.pull_request(7)
    world.go(world.begin("pr-7-1"), p.enter, p.deploy, p.test)
    hook = protect(world, LEASE_REF)
    for step in (p.land, p.settle):
        with pytest.raises(p.LeaseRefused):
            world.go("pr-7-1", step)
    assert (world.main, world.queue.get(entry.id).state) == (world.base, E.LANDING)
    hook.unlink()
    assert world.caretaker("pr-7-1") is A.CONFIRMED
    assert world.main == world.queue.attempt("pr-7-1").candidate
    assert world.place.tested == [world.main]
    world.idle()


def ended(answers: Sequence[tuple[str, p.Answer]]) -> str | DaybreakError | None:
    """Of an attempt that takes the lane: the lease that it has then, or the error.

    :param answers: the lease that is there at each look, and the answer to the push that follows.
    """
    program, result, left = p.enter(), None, list(answers)
    lease: str | None = None
    try:
        while left or lease is None:
            match program.send(result):
                case p.Claim():
                    result = p.View("pr-7-1", A.LEASED, fence=1)
                case p.ReadRefs():
                    result = p.Refs("m0", left[0][0])
                case p.FenceOf():
                    result = 0
                case p.NewLease():
                    result = "fresh"
                case p.Push():
                    result = left.pop(0)[1]
                    lease = "fresh" if result is p.Answer.DONE else None
    except DaybreakError as error:
        return error
    return lease


def test_only_a_clear_no_to_a_lease_that_stayed_where_it_was_counts() -> None:
    no, done, unclear = p.Answer.REFUSED, p.Answer.DONE, p.Answer.UNCLEAR
    assert ended([("a", no), ("a", no), ("a", done)]) == "fresh"
    assert isinstance(ended([("a", no), ("a", no), ("a", no), ("a", done)]), p.LeaseRefused)
    assert ended([("a", no), ("a", no), ("b", no), ("b", no), ("c", done)]) == "fresh"
    # Nobody knows how these went: one may be carried out late.
    assert ended([*[("a", unclear)] * 19, ("a", done)]) == "fresh"
    assert isinstance(ended([("a", unclear)] * 20), p.MainTooBusy)
