"""A run's tasks as Airflow timed them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, BaseOperator, task, task_group

from daybreak.environment.night.timing import Task
from daybreak.errors import DaybreakError
from daybreak.orchestration import timeline
from daybreak.orchestration.rest import TaskInstance

BEGAN = datetime(2026, 3, 6, 18, tzinfo=UTC)


def nightly() -> DAG:
    """Small, but drawn as the night is: mapped groups before and after what is there once."""
    with DAG("night", schedule=None) as dag:

        @task
        def decide() -> list[str]:
            return []

        @task(pool="aws")
        def quiesce(name: str) -> None: ...

        @task(pool="aws")
        def tear_down(name: str) -> None: ...

        @task(pool="aws")
        def scorch(name: str) -> None: ...

        @task_group
        def evening(name: str) -> None:
            quiesce(name) >> tear_down(name)

        @task_group
        def environment(name: str) -> None:
            scorch(name)

        names = decide()
        wait = BaseOperator(task_id="wait")
        built = BaseOperator(task_id="geo.build", pool="builds")
        evening.expand(name=names) >> wait >> built >> environment.expand(name=names)
    return dag


def ran(
    task_id: str, index: int, name: str, began: float | None, seconds: float | None, state: str = "success"
) -> TaskInstance:
    start = None if began is None else BEGAN + timedelta(seconds=began)
    end = None if start is None or seconds is None else start + timedelta(seconds=seconds)
    return TaskInstance(task_id, index, name, state, 1, start, end)


def measured(*instances: TaskInstance) -> dict[str, Task]:
    drawn = timeline.drawn(nightly())
    now = BEGAN + timedelta(seconds=100)
    found = timeline.tasks(drawn, instances, began=BEGAN, now=now, without=("wait",))
    return {each.name: each for each in found}


def test_a_mapped_task_waited_for_its_own_environment_and_a_single_one_for_all() -> None:
    found = measured(
        ran("decide", -1, "", -2, 1.5),
        *(ran("evening.quiesce", n, f"dev-0{n}", 1, 3) for n in (0, 1)),
        *(ran("evening.tear_down", n, f"dev-0{n}", 5, 10) for n in (0, 1)),
        ran("wait", -1, "", 16, 1),
        ran("geo.build", -1, "", 40, 8),
        *(ran("environment.scorch", n, f"dev-0{n}", 50, 5) for n in (0, 1)),
    )
    needs = ("decide", "dev-01 quiesce")  # `decide` too: its answer is what each of them is given
    assert found["dev-01 tear_down"] == Task("dev-01 tear_down", "aws", 5, 15, needs)
    assert found["decide"].began == -2
    # What only waits is not a task; who came after it waited for what it waited for.
    assert "wait" not in found
    assert found["geo build"] == Task("geo build", "builds", 40, 48, ("dev-00 tear_down", "dev-01 tear_down"))
    # Another mapped group: every environment waits for the build.
    assert set(found["dev-00 scorch"].needs) == {"decide", "geo build"}


def test_whoever_came_after_what_was_skipped_waited_for_what_that_waited_for() -> None:
    found = measured(
        ran("decide", -1, "", 0, 1),
        ran("evening.quiesce", 0, "dev-00", 1, 3),
        ran("evening.tear_down", 0, "dev-00", 4, 1),
        # The second one is preserved: its evening was skipped. Nothing was to be built either.
        ran("evening.quiesce", 1, "dev-01", None, None),
        # By a task that goes on after it: Airflow notes one instant for it.
        ran("geo.build", -1, "", 4.5, 0, "skipped"),
        ran("environment.scorch", 0, "dev-00", 9, 2),
    )
    assert found["dev-00 scorch"].needs == ("decide", "dev-00 tear_down")


def test_what_never_began_is_no_task_and_what_is_at_work_ends_now() -> None:
    found = measured(ran("decide", -1, "", None, None), ran("geo.build", -1, "", 90, None))
    assert list(found) == ["geo build"]
    assert found["geo build"].seconds == 10


def test_an_airflow_that_does_not_answer_costs_the_figures_and_nothing_else() -> None:
    class Away:
        def task_instances(self, dag_id: str, run_id: str) -> tuple[TaskInstance, ...]:
            raise DaybreakError("no answer")

    assert timeline.measured(Away(), nightly(), "r", began=BEGAN, now=BEGAN) is None
    assert timeline.measured(None, nightly(), "r", began=BEGAN, now=BEGAN) is None
