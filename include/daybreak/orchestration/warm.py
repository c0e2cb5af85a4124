"""Import once what tasks need, in the process that forks them.

LocalExecutor and Celery's workers fork a process for each task, and what the parent has imported, its
children have. In ``config/airflow_local_settings.py``, which Airflow imports when a component starts::

    from daybreak.orchestration.warm import before_forking

    before_forking()
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence

log = logging.getLogger(__name__)

#: `airflow <component>`: those that fork tasks. To the others it would be time and memory for nothing.
FORKING = ("scheduler", "celery")

#: Nothing in them is done at import: no thread, no connection, which a child could not use.
MODULES = (
    "airflow.dag_processing.dagbag", "airflow.providers.amazon.aws.hooks.base_aws",
    "airflow.providers.github.hooks.github", "airflow.providers.slack.hooks.slack",
    "airflow.providers.standard.operators.empty", "airflow.providers.standard.triggers.temporal",
    "airflow_client.client.api.dag_run_api", "airflow_client.client.api.task_instance_api", "psycopg2",
    "daybreak.aws.session", "daybreak.build.builder", "daybreak.build.checks", "daybreak.build.runner",
    "daybreak.catalog.snapshot", "daybreak.environment.e2e", "daybreak.environment.bcd.dead",
    "daybreak.environment.night.evening", "daybreak.environment.night.morning",
    "daybreak.environment.night.prepare", "daybreak.environment.night.report",
    "daybreak.environment.night.verdict", "daybreak.merge.care", "daybreak.merge.findings",
    "daybreak.orchestration.bcd", "daybreak.orchestration.caretaker", "daybreak.orchestration.connections",
    "daybreak.orchestration.merge", "daybreak.orchestration.merge_care", "daybreak.orchestration.night",
    "daybreak.orchestration.starting", "daybreak.orchestration.timeline", "daybreak.talk.gandalf.gates",
    "daybreak.talk.whole",
)  # fmt: skip


def before_forking(argv: Sequence[str] | None = None) -> list[str]:
    """Import them, where this process is one that forks tasks; returns what was imported.

    What cannot be imported is left to the task that needs it, which says so.

    :param argv: by default this process's.
    """
    words = sys.argv if argv is None else argv
    if not set(words[1:2]) & set(FORKING):
        return []
    done = []
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            log.warning("tasks import it themselves: %s", error)
        else:
            done.append(name)
    return done
