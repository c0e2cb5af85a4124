"""### Base images: the dependency layer of each service, before anybody waits for it

**When** every Sunday at 03:00 UTC, and whenever main moved. A landing that changed no lock finds every
base there and is done in seconds.

**What** builds the bases of main's services that are missing, in parallel; services with the same closure
share one. On Sundays, and by hand, the images that they and the services' Dockerfiles start from are pulled
first, so that their security updates arrive. Then images go that no environment runs and no revert may
need (docs/docker.md).

**When it fails** the log of that service's `base` has the end of the build. Nothing stops for it: the
service's next build uses its previous base and the difference, marked degraded. The log of `prune` has
each engine that could not be pruned, with its reason; the others were.
"""

from datetime import timedelta

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, dag

from daybreak.orchestration import images
from daybreak.settings import load

weekly = AssetOrTimeSchedule(
    timetable=CronTriggerTimetable("0 3 * * 0", timezone="UTC"), assets=[images.MAIN]
)


@dag(
    schedule=None if load().build.images is None else weekly,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    # A broken base breaks again; a registry that was away does not.
    default_args={"owner": "daybreak", "retries": 1, "retry_delay": timedelta(seconds=30)},
    dagrun_timeout=timedelta(hours=3),
    doc_md=__doc__,
    tags=["daybreak", "images"],
)
def base_images() -> None:
    """See the module."""
    images.prune(images.base.expand(service=images.find()))


base_images()
