"""Live progress of a night, and the table at its end."""

from __future__ import annotations

import time
from typing import Any

from examples.demo.airflow import Airflow

ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}


def follow(airflow: Airflow, run_id: str, seconds: float = 1800) -> str:
    """Print each task as it ends; returns the run's state."""
    seen: set[tuple[str, int, int]] = set()
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        run = airflow.get(f"/dags/nightly/dagRuns/{run_id}")
        instances = airflow.get(f"/dags/nightly/dagRuns/{run_id}/taskInstances?limit=300")["task_instances"]
        for each in sorted(instances, key=lambda item: item["end_date"] or ""):
            mark = (each["task_id"], each["map_index"], each["try_number"])
            if each["state"] in ENDED and mark not in seen:
                seen.add(mark)
                _say(each, time.monotonic() - started)
        if run["state"] in ("success", "failed"):
            return str(run["state"])
        time.sleep(1)
    raise SystemExit(f"run {run_id} did not end in {seconds:.0f} s; look at {airflow.url}")


def _say(instance: dict[str, Any], at: float) -> None:
    if instance["state"] in ("skipped", "removed"):
        return
    name = instance.get("rendered_map_index") or ""
    seconds = f"{instance['duration']:.1f} s" if instance.get("duration") else ""
    state = "" if instance["state"] == "success" else f"  {instance['state'].upper()}"
    print(f"{at:6.0f} s  {instance['task_id']:<24} {name:<10} {seconds:>8}{state}", flush=True)
