"""Live progress of a night, and the table at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from daybreak.errors import UsageError
from daybreak.orchestration.rest import AirflowUnreachable, Rest, TaskInstance

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation

DAG = "nightly"
#: What nobody did is not told.
QUIET = ("skipped", "removed", "upstream_failed")


def follow(rest: Rest, run_id: str, tend: Callable[[], None], seconds: float = 1800) -> str:
    """Print each task when it ended, and meanwhile, on a terminal, what is at work; the run's state.

    :param tend: called each second.
    """
    from rich.console import Console

    told: set[tuple[str, int, int, str]] = set()
    started = time.monotonic()
    with Console().status("the run is queued") as status:
        while (at := time.monotonic() - started) < seconds:
            tend()
            try:
                run = rest.run(DAG, run_id)
                instances = rest.task_instances(DAG, run_id)
            except AirflowUnreachable:  # its api-server is being started again
                time.sleep(1)
                continue
            for each in instances:
                mark = (each.task_id, each.map_index, each.try_number, each.state)
                if (each.ended or each.state == "up_for_retry") and mark not in told:
                    told.add(mark)
                    _tell(each, at)
            status.update(f"{at:.0f} s  {_at_work(instances) or 'between two tasks'}")
            if run.ended:
                return run.state
            time.sleep(1)
    raise SystemExit(f"run {run_id} did not end in {seconds:.0f} s; look at {rest.url}")


def _tell(instance: TaskInstance, at: float) -> None:
    if instance.state in QUIET:
        return
    length = f"{instance.seconds:.1f} s"
    state = {"success": "", "up_for_retry": "  failed, and is tried again"}.get(
        instance.state, f"  {instance.state.upper()}"
    )
    print(f"{at:6.0f} s  {instance.task_id:<24} {instance.name:<10} {length:>8}{state}", flush=True)


def _at_work(instances: Iterable[TaskInstance]) -> str:
    names: dict[str, list[str]] = {}
    for each in instances:
        if each.state == "running":
            names.setdefault(each.task_id, []).append(each.name)
    return ", ".join(f"{task} {' '.join(filter(None, who))}".strip() for task, who in names.items())


def table(installation: Installation, run_id: str) -> list[str]:
    """How each environment ended: decision, commit, verdict, time; and why, where there is more to say."""
    from daybreak.cli.table import table as columns

    header = ("environment", "decision", "commit", "verdict", "time", "state", "")
    rows = []
    for row in _status(installation):
        steps = installation.nights.steps(run_id, environment=row["name"])
        seconds = sum(step.seconds or 0.0 for step in steps)
        more = row["fault"]["message"] if row["fault"] else row["decision"]["reason"]
        rows.append(
            (
                row["name"], row["decision"]["action"], (row["commit"] or "-")[:12], row["verdict"],
                f"{seconds:.0f} s", row["state"], more,
            )
        )  # fmt: skip
    return columns(header, rows, right={4})


def not_as_decided(installation: Installation, run_id: str) -> list[str]:
    """One line for each environment that did not end as its decision says."""
    try:
        commit = installation.runs.get(run_id).commit
    except UsageError as error:  # nothing was pinned
        return [str(error)]
    wrong = []
    for row in _status(installation):
        good: dict[str, Any] = {"state": "READY"}
        if row["decision"]["action"] == "rebuild":
            good |= {"verdict": "passed", "commit": commit}
        wrong += [
            f"{row['name']}: {field} is {row[field]}, not {value}"
            for field, value in good.items()
            if row[field] != value
        ]
    return wrong


def _status(installation: Installation) -> list[dict[str, Any]]:
    from daybreak.cli.env import status

    return list(status(installation)["environments"])
