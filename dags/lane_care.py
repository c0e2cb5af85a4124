"""### Lane care: the lane to main when nobody comes back

**When** every three minutes, always.

**It** ends attempts whose run is over, or of which nobody was heard for 15 minutes: finds out whether they
landed, makes the merge environment run main, frees the lane · brings an environment that could not prove
itself back to main, and opens it only when it is read back · makes a new run for entries that wait and have
none. A pause holds up new attempts, not this.

**When it fails** its last line says what it could not do; the next run tries again. While Airflow's API does
not answer, or refuses the login, silence alone tells which runs are over, and all but new runs is done. It is
apart from `caretaker` because taking an attempt back may take longer than people wait for their notices.
"""

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, dag

from daybreak.orchestration.merge_care import take_care


@dag(
    schedule=CronTriggerTimetable("*/3 * * * *", timezone="UTC"),
    # What was due while it was away is still due, once.
    catchup=False,
    # One takes back, the others would only wait for it.
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(hours=2),
    default_args={
        "owner": "daybreak",
        "execution_timeout": timedelta(minutes=90),
        # The next run would be the retry; but a server that is just starting is no red run.
        "retries": 2,
        "retry_delay": timedelta(seconds=20),
        "retry_exponential_backoff": 2.0,
    },
    doc_md=__doc__,
    tags=["daybreak", "merge", "caretaker"],
)
def lane_care() -> None:
    """See the module."""
    take_care()


lane_care()
