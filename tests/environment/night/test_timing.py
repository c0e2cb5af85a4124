"""The figures of a night: no schedule beats its critical path or its pools, and all of its time is found."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.environment.night.timing import Load, Span, Task, Timing, measure, spans

POOLS = {"aws": 3, "builds": 1, "e2e": 2}
LENGTHS = st.integers(0, 50).map(float)


@st.composite
def schedules(draw: st.DrawFn) -> list[Task]:
    """What a scheduler with these pools made of a random graph, dawdling where it liked."""
    count = draw(st.integers(1, 12))
    free = {pool: [0.0] * slots for pool, slots in POOLS.items()}
    done: list[Task] = []
    for at in range(count):
        pool = draw(st.sampled_from(sorted(POOLS)))
        needs = tuple(task.name for task in done if draw(st.booleans()))
        ready = max([0.0, *(task.ended for task in done if task.name in needs)])
        began = max(ready, heapq.heappop(free[pool])) + draw(LENGTHS)
        ended = began + draw(LENGTHS)
        heapq.heappush(free[pool], ended)
        done.append(Task(f"t{at}", pool, began, ended, needs))
    return draw(st.permutations(done))


@st.composite
def accidents(draw: st.DrawFn) -> list[Task]:
    """Tasks that were done in any order, also against their needs."""
    found: list[Task] = []
    for at in range(draw(st.integers(1, 10))):
        began = draw(LENGTHS)
        needs = tuple(task.name for task in found if draw(st.booleans()))
        found.append(Task(f"t{at}", "aws", began, began + draw(LENGTHS), needs))
    return found


def measured(tasks: list[Task], morning: float | None = None, ended: float = 0.0) -> Timing:
    return measure(tasks, spans(tasks, 0.0, ended, morning), POOLS)


def longest_chain(tasks: list[Task]) -> float:
    """The slow way: try every chain."""
    by_name = {task.name: task for task in tasks}

    def until(task: Task) -> float:
        return task.seconds + max((until(by_name[need]) for need in task.needs), default=0.0)

    return max(until(task) for task in tasks)


@given(schedules())
def test_the_critical_path_is_the_longest_chain_and_no_schedule_beats_it(tasks: list[Task]) -> None:
    timing = measured(tasks)
    assert timing.critical_path == pytest.approx(longest_chain(tasks))
    assert timing.makespan >= timing.critical_path - 1e-6
    assert timing.critical_path >= max(task.seconds for task in tasks) - 1e-6


@given(schedules())
def test_no_schedule_beats_its_pools_and_its_slots_are_those_of_the_settings(tasks: list[Task]) -> None:
    timing = measured(tasks)
    for load in timing.loads:
        assert load.slots == POOLS[load.pool]
        assert load.seconds == pytest.approx(sum(task.seconds for task in tasks if task.pool == load.pool))
        assert timing.makespan >= load.bound - 1e-6


@given(st.one_of(schedules(), accidents()), LENGTHS, st.one_of(st.none(), LENGTHS))
def test_whatever_happened_the_chain_and_the_waits_beside_it_are_the_makespan(
    tasks: list[Task], ended: float, morning: float | None
) -> None:
    timing = measured(tasks, morning, ended)
    waited = sum(link.waited for link in timing.chain) + timing.after
    assert timing.critical_path + waited == pytest.approx(timing.makespan)
    assert min([timing.after, *(link.waited for link in timing.chain)]) >= 0
    if timing.ratio is not None:
        assert timing.ratio >= 1 - 1e-6


@given(accidents(), LENGTHS, LENGTHS)
def test_spans_hold_every_task_and_leave_out_only_what_was_idle(
    tasks: list[Task], ended: float, morning: float
) -> None:
    found = spans(tasks, 0.0, ended, morning)
    for task in tasks:
        assert any(span.began <= task.began <= task.ended <= span.ended for span in found)
    assert found[0].began == 0.0
    assert found[-1].ended == max([ended, *(task.ended for task in tasks)])


@given(st.one_of(schedules(), accidents()))
def test_the_figures_survive_being_kept(tasks: list[Task]) -> None:
    timing = measured(tasks)
    assert Timing.from_json(timing.to_json()) == timing


def test_the_wait_for_the_morning_is_not_in_the_makespan() -> None:
    tasks = [
        Task("dev-01 quiesce", "aws", 2, 10),
        Task("dev-01 tear_down", "aws", 12, 60, ("dev-01 quiesce",)),
        Task("common build", "builds", 36_005, 36_020, ("dev-01 tear_down",)),
        Task("dev-01 scorch", "aws", 36_030, 36_080, ("common build",)),
    ]
    timing = measured(tasks, morning=36_000, ended=36_100)
    assert timing.spans == (Span("evening", 0, 60), Span("morning", 36_000, 36_100))
    assert timing.makespan == 160
    assert [(link.name, link.waited) for link in timing.chain] == [
        ("dev-01 quiesce", 2),
        ("dev-01 tear_down", 2),
        ("common build", 5),
        ("dev-01 scorch", 10),
    ]
    assert timing.after == 20
    assert (timing.critical_path, timing.ratio) == (121, pytest.approx(160 / 121))


def test_a_run_that_works_through_the_morning_did_not_wait_for_it() -> None:
    tasks = [Task("dev-01 deploy", "aws", 50, 150)]
    assert spans(tasks, 0, 200, 100) == (Span("run", 0, 200),)
    assert spans(tasks, 0, 200, None) == (Span("run", 0, 200),)
    assert spans(tasks, 0, 90, 300) == (Span("run", 0, 150),)


def test_more_at_work_at_once_than_the_settings_say_are_the_slots() -> None:
    tasks = [Task(f"dev-0{n} e2e", "e2e", 0, 10) for n in range(5)]
    (load,) = measured(tasks).loads
    assert load == Load("e2e", 5, 50)
    one_after_another = [Task(f"dev-0{n} e2e", "e2e", n * 10, n * 10 + 10) for n in range(5)]
    (load,) = measured(one_after_another).loads
    assert load == Load("e2e", 2, 50)
    assert load.bound == 25


def test_a_step_that_was_done_again_after_what_needed_it_bounds_nothing() -> None:
    again = [Task("scorch", "aws", 500, 520), Task("infra", "aws", 30, 70, ("scorch",))]
    assert [link.name for link in measured(again).chain] == ["infra"]


def test_nothing_done_has_no_ratio() -> None:
    timing = measured([], ended=30)
    assert (timing.makespan, timing.critical_path, timing.ratio, timing.chain) == (30, 0, None, ())
    assert timing.after == 30
