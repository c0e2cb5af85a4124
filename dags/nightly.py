"""### Nightly: clean environments every morning

**When** every evening in the policy's zone; `decide` knows weekends and holidays. Created paused, and until
an admin ran `daybreak arm ACCOUNT`, nothing in that account is deleted.

**By hand** trigger it with `environments`, `phases`, `wait`, `dry_run`, `ref`, `reason`, `by`; a rebuild of
one environment now is `{"environments": ["dev-03"], "wait": false, "dry_run": false}`.

**When it fails** look at `report`: it names the environments that are FAULTED, and `daybreak env status`
says why. The others are ready. Clear the failed step of one environment to try it again, or trigger a rebuild
of it alone; a step that was done is not done twice.
"""

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, Param, dag, task_group

from daybreak.orchestration import builds, night, notify
from daybreak.settings import Limits, load

settings = load()
policy = settings.night
every_evening = CronTriggerTimetable(
    f"{policy.evening.minute} {policy.evening.hour} * * *", timezone=policy.zone
)


@dag(
    schedule=every_evening if settings.schedule == "on" else None,
    catchup=False,
    # What must not overlap is kept apart by the registry, so a rebuild by hand runs while a night waits.
    max_active_runs=8,
    is_paused_upon_creation=settings.schedule == "on",
    default_args={
        "owner": "daybreak",
        # One environment after another is finished, rather than all of them begun.
        "weight_rule": "upstream",
        # A killed worker or a throttled call; what no retry can heal fails at once.
        "retries": policy.step_attempts - 1,
        "retry_delay": timedelta(seconds=policy.retry_seconds),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=5),
    },
    dagrun_timeout=timedelta(hours=20),
    doc_md=__doc__,
    tags=["daybreak", "night"],
    deadline=notify.deadline(policy),
    params={
        "environments": Param(None, type=["null", "array"], items={"type": "string"},
                              description="Only these; empty: all of them, by the calendar"),
        "phases": Param(["teardown", "rebuild"], type="array",
                        items={"type": "string", "enum": ["teardown", "rebuild"]}),
        "wait": Param(True, type="boolean", description="Wait for the morning before rebuilding"),
        "dry_run": Param(False, type="boolean", description="Decide and say so; touch nothing"),
        "ref": Param(None, type=["null", "string"], description="Revision; empty: the latest main"),
        "reason": Param("", type="string"),
        "by": Param("", type="string", description="Whom a bot made this run for"),
    },
)  # fmt: skip
def nightly() -> None:
    """Evening to morning, every environment."""

    @task_group
    def evening(decision: dict) -> None:
        night.quiesce(decision) >> night.tear_down(decision)

    @task_group
    def environment(decision: dict) -> None:
        stages = [
            night.Stage(task_id=name, decision=decision)
            for name in ("scorch", "infra", "data", "deploy", "seed", "schedules")
        ]
        # Red suites fail no task: what is tried again is a worker that was killed, or an AWS that went away.
        limit = Limits(settings.build).e2e_task
        e2e = night.Stage(task_id="e2e", decision=decision, pool="e2e", execution_timeout=limit)
        # all_done: an environment that broke on the way still gets its verdict.
        ended = night.verdict(decision)
        for one, next_one in zip([*stages, e2e], [*stages[1:], e2e, ended], strict=True):
            one >> next_one

    decisions = night.decide()
    morning = night.WaitForMorning(
        task_id="wait_for_morning", trigger_rule="all_done", execution_timeout=timedelta(minutes=5)
    )
    main = night.PinMain(task_id="pin_main", execution_timeout=timedelta(minutes=10))
    built = builds.artifacts()
    builds.groups(main, built)
    evening.expand(decision=decisions) >> morning >> main
    built >> environment.expand(decision=decisions) >> night.report()


nightly()
