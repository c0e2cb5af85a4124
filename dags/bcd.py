"""### BCD: build, create and deploy a revision into one environment

**When** an engineer triggers it: with the form, by `daybreak bcd dev-01 my-branch`, in Slack, or over the
REST API with conf `{"environment": "dev-01", "ref": "my-branch"}`.

**What** is built and deployed is what the environment does not run yet, by content; or the named resources;
or everything. The environment is locked for whoever asked until the run is over.

**When it fails** `prepare` says that somebody else has the environment and until when, or which field is
wrong; `report` names each resource that is not there, with the reason. Nothing is rolled back: the
environment is DEGRADED until it is complete. Clear the failed task to try again what is missing, or trigger
another run: a BCD of `main` over the whole environment heals it.
"""

from datetime import timedelta

from airflow.sdk import dag

from daybreak.orchestration import bcd, builds
from daybreak.settings import Limits, load

settings = load()
limits = Limits(settings.build)


@dag(
    dag_id=bcd.DAG,
    schedule=None,
    catchup=False,
    # Runs for one environment are kept apart by its lease and its op.
    max_active_runs=8,
    # A paused DAG would queue what people trigger for ever.
    is_paused_upon_creation=False,
    default_args={
        "owner": "daybreak",
        # Somebody waits: a killed worker or a throttled call is tried again at once, a broken build is not.
        "retries": 1,
        "retry_delay": timedelta(seconds=5),
    },
    # No longer than the environment is locked for.
    dagrun_timeout=limits.bcd,
    doc_md=__doc__,
    tags=["daybreak", "bcd"],
    params=bcd.params(settings),
)
def build_create_deploy() -> None:
    """One revision, one environment."""
    prepare = bcd.Prepare(task_id="prepare", execution_timeout=timedelta(minutes=10))
    built = builds.artifacts()
    builds.groups(prepare, built)
    # A teardown runs whatever happened, also when somebody marks the run failed; and it says how it ended.
    ended = bcd.report().as_teardown(on_failure_fail_dagrun=True)
    tested = bcd.e2e.override(execution_timeout=limits.e2e_task)()
    built >> (deployed := bcd.deploy()) >> tested
    # After each of them, not only the last: what is skipped lets nobody report too soon.
    [built, deployed, tested] >> ended


build_create_deploy()
