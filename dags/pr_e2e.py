"""### PR-E2E: a pull request reaches main as it was tested, or not at all

**When** Gandalf is told `merge`, or somebody triggers it: with the form, or over the REST API with conf
`{"pr": 7}` (and `sha`, `mode`, `priority`, see docs/merge-queue.md).

**What** it does not need the lane for is built first. Then it waits, deferred, until its entry is next; its
candidate (main and the entries of its batch) is deployed to the merge environment, tested and pushed to main
by one atomic push. `mode: try` does the same and never lands: `land` is skipped. Groups of resources without
work are skipped, too; `deployed` shows what the attempt brought to run, and what stayed as it was.

**When it fails** `settle` says why, and its text is the run's note: a test that failed twice, a conflict, a
head that moved. The merge environment runs main again, also when somebody marked the run. An entry that is
not to blame goes on in a run of its own with the next number. If `settle` itself fails, `lane_care` does its
work within minutes; an environment that cannot prove that it runs main is FAULTED and nothing enters.
"""

from datetime import timedelta

from airflow.sdk import dag

from daybreak.orchestration import builds, merge
from daybreak.settings import Limits, load

limits = Limits(load().build)


@dag(
    dag_id=merge.DAG,
    schedule=None,
    catchup=False,
    # More than ever wait: a run that waits is active, and whoever is next must never be kept out by those
    # behind. What they build is bounded by a pool.
    max_active_runs=10_000,
    # A paused DAG would queue what people trigger for ever.
    is_paused_upon_creation=False,
    default_args={
        "owner": "daybreak",
        # A killed worker is tried again at once: each step finds what the try before left.
        "retries": 2,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2.0,
    },
    # Longer than anybody waits for the lane. It skips teardowns, so the lane is never left to it.
    dagrun_timeout=limits.pull_request,
    doc_md=__doc__,
    tags=["daybreak", "merge"],
    params=merge.params(),
)
def pull_request() -> None:
    """One pull request, one attempt."""
    resolve = merge.Resolve(task_id="resolve", execution_timeout=timedelta(minutes=10))
    built = builds.artifacts()
    builds.groups(resolve, built)
    # all_done: what could not be built is rejected here, with its reason.
    gate = merge.Gate(task_id="gate", execution_timeout=timedelta(minutes=10), trigger_rule="all_done")
    lane = merge.TakeLane(task_id="take_lane", execution_timeout=timedelta(minutes=15), pool="merge_lane")
    # Beside the deploy and the tests, and nothing depends on how it ends.
    ahead = merge.build_ahead()
    # In no pool: whoever has the lane waits for nobody else's deploys and tests.
    deploy = merge.Deploy(task_id="deploy", execution_timeout=timedelta(hours=2))
    e2e = merge.e2e.override(execution_timeout=limits.lane_task)
    shown, tested, landed = merge.deployed(), e2e(), merge.land()
    # The only leaf, and a teardown that counts: it runs whatever happened, also when somebody marks the run,
    # and the run's state is its own. No setup: it has work to do also where `take_lane` was killed.
    ended = merge.settle().as_teardown(on_failure_fail_dagrun=True)
    built >> gate >> lane >> deploy >> tested >> landed
    deploy >> shown >> ended
    lane >> ahead >> ended
    # After each of them, not only the last: what is skipped lets nobody settle too soon.
    [resolve, built, gate, lane, deploy, tested, landed] >> ended


pull_request()
