"""### Prebuild: artifacts, before the lane needs them

**When** an attempt takes the lane, and when a pull request comes while it is there, `pr_e2e` triggers it:
`{"after": "pr-7-1a2b3c4-1", "lands": true}` is what may be in the lane once that run has landed, with `false`
once it has failed. Or a pull request is expected to be merged soon: conf `{"pr": 7}`, over the REST API or
with the form.

**What** changes against the candidate, or against main as it is now, is built and unit-tested. Nothing is
deployed and nobody is in the queue for it. Keys are by content: what it built, `pr_e2e` and the lane find.

**When it fails** `report` names what was not built; the group of that resource has the log. Nothing follows
from it: whoever merges the pull request anyway meets the same error there. Where the attempt is over before
it began, all is skipped.
"""

from datetime import timedelta

from airflow.sdk import dag

from daybreak.orchestration import builds
from daybreak.orchestration import prebuild as building


@dag(
    dag_id=building.DAG,
    schedule=None,
    catchup=False,
    max_active_runs=8,
    is_paused_upon_creation=False,
    # A broken build breaks again; a killed worker does not.
    default_args={"owner": "daybreak", "retries": 1, "retry_delay": timedelta(seconds=5)},
    dagrun_timeout=timedelta(hours=3),
    doc_md=__doc__,
    tags=["daybreak", "merge"],
    params=building.params(),
)
def prebuild() -> None:
    """One commit that may be on main."""
    pin = building.Prebuild(task_id="pin", execution_timeout=timedelta(minutes=10))
    built = builds.artifacts()
    builds.groups(pin, built)
    # all_done: it says what is missing, and so decides the run's colour.
    built >> building.prebuilt.override(task_id="report")()


prebuild()
