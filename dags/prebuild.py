"""### Prebuild: the artifacts of a pull request, before it has the lane

**When** a pull request is expected to be merged soon, over the REST API or with the form: conf `{"pr": 7}`.

**What** changes against main is built and unit-tested, on main as it is now. Nothing is deployed and nobody
is in the queue for it. Keys are by content: what it built, `pr_e2e` and the lane find.

**When it fails** `report` names what was not built; the group of that resource has the log. Nothing follows
from it: whoever merges the pull request anyway meets the same error there.
"""

from datetime import timedelta

from airflow.sdk import dag

from daybreak.orchestration import builds, merge


@dag(
    dag_id=merge.PREBUILD,
    schedule=None,
    catchup=False,
    max_active_runs=8,
    is_paused_upon_creation=False,
    # A broken build breaks again; a killed worker does not.
    default_args={"owner": "daybreak", "retries": 1, "retry_delay": timedelta(seconds=5)},
    dagrun_timeout=timedelta(hours=3),
    doc_md=__doc__,
    tags=["daybreak", "merge"],
    params=merge.params(),
)
def prebuild() -> None:
    """One pull request on main."""
    pin = merge.Prebuild(task_id="pin", execution_timeout=timedelta(minutes=10))
    built = builds.artifacts()
    builds.groups(pin, built)
    # all_done: it says what is missing, and so decides the run's colour.
    built >> merge.prebuilt.override(task_id="report")()


prebuild()
