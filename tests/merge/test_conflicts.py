"""Members of one batch that do not merge with each other, on real git and a real registry."""

from __future__ import annotations

import pytest

from daybreak.merge import protocol as p
from daybreak.merge.batch import Batch
from daybreak.merge.queue import other_half
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from tests.merge.conftest import World


def test_who_conflicts_with_a_mate_only_rides_later_and_lands_where_that_does_not(world: World) -> None:
    world.place.bad = [frozenset({"bad"})]
    one, two = world.pull_request(1, {"a": "1", "bad": "x"}), world.pull_request(2, {"a": "2"})
    assert world.go(world.begin("pr-1-1")) is A.REVERTED
    assert world.queue.attempt("pr-1-1").members == (one.id,)
    # It was alone in the end, so it is its own fault.
    assert (world.queue.get(one.id).state, world.queue.get(one.id).reason_code) == (
        E.REJECTED,
        "tests_failed",
    )
    left = world.queue.get(two.id)
    assert (left.state, left.reason_code) == (E.QUEUED, "conflicts_with_mate")
    assert left.reason == "#2 conflicts with main and #1 in a; it waits for how that ends"
    assert world.go(world.begin("pr-2-1")) is A.CONFIRMED
    assert world.queue.get(two.id).state is E.LANDED
    assert "bad" not in world.files()
    world.idle()


def test_where_the_mate_lands_it_is_rejected_and_the_others_land_at_once(world: World) -> None:
    one, two = world.pull_request(1, {"a": "1"}), world.pull_request(2, {"a": "2"})
    three, four = world.pull_request(3), world.pull_request(4, {"a": "4"})
    assert world.go(world.begin("pr-1-1")) is A.CONFIRMED
    assert world.queue.attempt("pr-1-1").members == (one.id, three.id)
    assert {world.queue.get(each.id).state for each in (one, three)} == {E.LANDED}
    # The second of those that conflict is not in the way of the third.
    assert world.queue.get(four.id).reason == (
        "#4 conflicts with main and #1, #3 in a; it waits for how that ends"
    )
    assert world.go(world.begin("pr-2-1")) is A.REVERTED
    found = world.queue.get(two.id)
    assert (found.state, found.reason) == (E.REJECTED, "#2 conflicts with main in a")
    assert world.queue.get(four.id).state is E.QUEUED
    assert world.go(world.begin("pr-4-1")) is A.REVERTED
    assert world.queue.get(four.id).state is E.REJECTED
    assert world.queue.choose() is None
    world.idle()


def test_who_conflicts_with_main_is_rejected_at_once_and_its_mates_land_without_it(world: World) -> None:
    world.pull_request(1, {"a": "1"})
    world.go(world.begin("pr-1-1"))
    fine, late, more = world.pull_request(2), world.pull_request(3, {"a": "3"}), world.pull_request(4)
    assert world.go(world.begin("pr-2-1")) is A.CONFIRMED
    assert {world.queue.get(each.id).state for each in (fine, more)} == {E.LANDED}
    found = world.queue.get(late.id)
    assert (found.state, found.reason) == (E.REJECTED, "#3 conflicts with main in a")
    world.idle()


@pytest.mark.parametrize("taken_back", ["cancelled", "not"])
def test_who_left_is_no_member_any_more_and_keeps_nobody_from_landing(world: World, taken_back: str) -> None:
    one, two = world.pull_request(1, {"a": "1"}), world.pull_request(2, {"a": "2"})
    world.begin("pr-1-1")
    if taken_back == "cancelled":
        world.queue.end(2, E.CANCELLED, by="dana", code="cancelled", message="by dana")
    world.go("pr-1-1", p.enter)
    if taken_back == "not":
        world.queue.end(2, E.CANCELLED, by="dana", code="cancelled", message="by dana")
    assert world.go("pr-1-1", p.deploy, p.test, p.land, p.settle) is A.CONFIRMED
    assert [world.queue.get(each.id).state for each in (one, two)] == [E.LANDED, E.CANCELLED]
    world.idle()


def test_who_leaves_a_half_of_what_failed_joins_the_other(world: World) -> None:
    """Both together are still the whole that is known to fail."""
    one, two, three = (
        world.pull_request(each, {name: str(each)}) for each, name in ((1, "a"), (2, "a"), (3, "b"))
    )
    assert world.go(world.begin("pr-1-1", Batch((one, two), (three,)))) is A.CONFIRMED
    rest = [world.queue.get(each.id) for each in (two, three)]
    assert [(each.suspects, each.suspects_fail) for each in rest] == [(other_half("pr-1-1"), True)] * 2
