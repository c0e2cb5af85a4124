"""Which entries an attempt takes, and how a batch that failed is halved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from daybreak.merge.batch import MOST, USUAL, Batch, cap, choose, halves
from daybreak.merge.rows import LAND, TRY, Entry
from daybreak.merge.rules import EntryState

AT = datetime(2026, 3, 6, 9, tzinfo=UTC)


def entry(number: int, **more: object) -> Entry:
    made = Entry(
        id=number, pr=number, sha=f"{number:040x}", title="t", author="a", mode=LAND, priority=0, solo=False,
        state=EntryState.QUEUED, version=1, by="a", queued_at=AT, changed_at=AT, ended_at=None, attempts=0,
        run_id=None, suspects=None, suspects_fail=False, reason_code=None, reason=None,
    )  # fmt: skip
    return replace(made, **more)


def numbers(batch: Batch | None) -> tuple[list[int], list[int]]:
    assert batch is not None
    return [each.id for each in batch.members], [each.id for each in batch.rest]


def test_the_more_often_one_fails_alone_the_fewer_are_tested_together() -> None:
    assert cap([]) == USUAL
    assert cap([True] * 50) == MOST
    assert cap([True] * 48 + [False] * 2) == 5  # 4 %
    assert cap([True] * 9 + [False]) == 3
    assert cap([True] * 8 + [False] * 2) == 1
    # A few say nothing.
    assert cap([True] * 4 + [False]) == USUAL
    # Only the last ones count.
    assert cap([False] * 100 + [True] * 50) == MOST


def test_a_batch_is_a_prefix_of_one_priority() -> None:
    queue = [entry(1, priority=1), entry(2, priority=1), entry(3), entry(4)]
    assert numbers(choose(queue, 4)) == ([1, 2], [])
    assert numbers(choose(queue[2:], 4)) == ([3, 4], [])
    assert numbers(choose([entry(n) for n in range(1, 7)], 4)) == ([1, 2, 3, 4], [])
    assert choose([], 4) is None


def test_a_try_and_what_asked_to_be_alone_are_alone() -> None:
    assert numbers(choose([entry(1, mode=TRY), entry(2)], 4)) == ([1], [])
    assert numbers(choose([entry(1, solo=True), entry(2)], 4)) == ([1], [])
    assert numbers(choose([entry(1), entry(2, solo=True), entry(3)], 4)) == ([1], [])


def test_what_failed_together_is_halved_without_being_tested_again() -> None:
    queue = [entry(n, suspects="x", suspects_fail=True) for n in (1, 2, 3)] + [entry(4)]
    assert numbers(choose(queue, 4)) == ([1, 2], [3])
    # Not known to fail as a whole: it is tested as a whole.
    unknown = [replace(each, suspects_fail=False) for each in queue]
    assert numbers(choose(unknown, 4)) == ([1, 2, 3], [])
    assert numbers(choose(queue[:1], 4)) == ([1], [])


def test_members_that_touch_nothing_in_common_go_to_different_halves() -> None:
    members = [entry(1), entry(2), entry(3)]
    touched = {1: frozenset({"trips"}), 2: frozenset({"fleet"}), 3: frozenset({"trips", "geo"})}
    low, high = halves(members, touched)
    assert ([each.id for each in low], [each.id for each in high]) == ([1, 3], [2])


@st.composite
def _batches(draw: st.DrawFn) -> tuple[list[Entry], dict[int, frozenset[str]]]:
    members = [entry(n) for n in range(1, draw(st.integers(2, 8)) + 1)]
    touched = st.frozensets(st.sampled_from("abcd"), max_size=3)
    known = draw(st.booleans())
    return members, {each.id: draw(touched) for each in members} if known else {}


@given(_batches())
def test_halves_are_all_of_them_once_in_order_and_neither_is_empty(
    made: tuple[list[Entry], dict[int, frozenset[str]]],
) -> None:
    members, touched = made
    low, high = halves(members, touched)
    assert low
    assert high
    assert sorted(each.id for each in [*low, *high]) == [each.id for each in members]
    assert low[0].id == members[0].id
    for half in (low, high):
        assert [each.id for each in half] == sorted(each.id for each in half)


SOME = st.frozensets(st.frozensets(st.integers(1, 9), min_size=1, max_size=2), max_size=4)


@given(st.integers(1, 9), SOME, SOME)
def test_bisecting_finds_just_those_that_fail_alone_or_with_what_landed(
    count: int, bad: frozenset[frozenset[int]], clashing: frozenset[frozenset[int]]
) -> None:
    """The queue's rules against the definition: in order, each lands unless it fails on, or conflicts with,
    what landed.

    :param clashing: those that do not merge with each other, or with main alone.
    """

    def clashes(number: int, on: set[int]) -> bool:
        return any(number in each and each <= on | {number} for each in clashing)

    queue, landed, rejected, tests = [entry(n) for n in range(1, count + 1)], set(), set(), 0
    while queue:
        batch = choose(queue, MOST)
        assert batch is not None
        tests += 1
        rest = {each.id for each in batch.rest}
        chosen, left = set[int](), set[int]()
        for each in batch.members:
            if clashes(each.id, landed):
                rejected.add(each.id)
                if each is batch.members[0]:
                    break
            else:
                (left if clashes(each.id, landed | chosen) else chosen).add(each.id)
        queue = [each for each in queue if each.id not in rejected]
        # Whoever leaves the half of what failed joins the other one.
        rest |= left if rest else set()
        fails = any(each <= landed | chosen for each in bad)
        label = f"a{tests}"
        queue = [replace(each, suspects=f"{label}+", suspects_fail=False) if each.id in rest else each
                 for each in queue]  # fmt: skip
        if not fails:
            landed |= chosen
            queue = [each for each in queue if each.id not in chosen]
            queue = [replace(each, suspects_fail=bool(chosen)) if each.suspects == f"{label}+" else each
                     for each in queue]  # fmt: skip
        elif len(chosen) == 1:
            rejected |= chosen
            queue = [each for each in queue if each.id not in chosen]
        else:
            queue = [replace(each, suspects=label, suspects_fail=True) if each.id in chosen else each
                     for each in queue]  # fmt: skip
        assert tests <= 4 * count + 4
    expected: set[int] = set()
    for number in range(1, count + 1):
        if not (clashes(number, expected) or any(each <= expected | {number} for each in bad)):
            expected.add(number)
    assert landed == expected
    assert rejected == set(range(1, count + 1)) - expected
