"""Deploys by hand of which nobody works any more: ended, so that no lock and no half state outlives them."""

from __future__ import annotations

import logging
from collections.abc import Callable

from daybreak.environment.bcd.records import BcdRun, BcdRuns
from daybreak.environment.bcd.report import Report
from daybreak.environment.bcd.settle import abandoned
from daybreak.environment.installation import Installation
from daybreak.settings import Limits

log = logging.getLogger(__name__)

#: Why a run is over, or nothing while it goes on; ``None`` where nobody but we knows it.
Over = Callable[[str], str | None]


def settle_dead(installation: Installation, over: Over) -> list[Report]:
    """End every run that is over without having ended itself.

    :param over: by run id, what Airflow says. What Airflow does not know (`daybreak bcd --here`) is over when
        it holds no live op and is older than any lock of such a run.
    """
    found = []
    for run in BcdRuns(installation.engine, installation.clock).unfinished():
        said = over(run.run_id)
        why = _silent(installation, run) if said is None else said
        if why:
            log.info("%s: %s: %s", run.environment, run.run_id, why)
            found.append(abandoned(installation, run.run_id, why))
    return found


def _silent(installation: Installation, run: BcdRun) -> str:
    now = installation.clock()
    env = installation.environments.find(run.environment)
    alive = env is not None and env.op_alive(now) and env.op_holder == f"bcd/{run.run_id}"
    over = now - run.began_at > Limits(installation.settings.build).bcd
    return "nobody was heard of" if over and not alive else ""
