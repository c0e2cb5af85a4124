"""### Caretaker: what is due every few minutes

**When** every three minutes, always; it deletes nothing in any account.

**It** ends leases whose time is over and gives their turn to those who wait · tells people 60 and 15 minutes
before their environment is torn down, and before a lease ends · ends deploys by hand whose run is over, and
the ops of tasks that died, 15 minutes after anybody heard of them · warns once when a morning will be late ·
tells the merges channel on Monday how the week was · answers and sends in Slack and on GitHub what the
process that should have did not, and hears what no webhook brought · ends entries of the merge queue that are
not any more what was approved.

**When it fails** the task's last line names the duty and the reason; the others were done. The next run tries
again, and nothing is done twice. If it is the outbox: `daybreak doctor --only slack`.
"""

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, dag

from daybreak.orchestration.caretaker import take_care


@dag(
    schedule=CronTriggerTimetable("*/3 * * * *", timezone="UTC"),
    # What was due while it was away is still due, once.
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(minutes=15),
    # One task: a process for each duty costs more than the duties.
    default_args={
        "owner": "daybreak",
        "execution_timeout": timedelta(minutes=4),
        # The next run would be the retry; but a run that meets an API server which is just starting is no red
        # one that somebody has to look at.
        "retries": 2,
        "retry_delay": timedelta(seconds=20),
        "retry_exponential_backoff": 2.0,
    },
    doc_md=__doc__,
    tags=["daybreak", "caretaker"],
)
def caretaker() -> None:
    """See the module."""
    take_care()


caretaker()
