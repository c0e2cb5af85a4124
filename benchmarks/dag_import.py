"""Parsing ``dags/nightly.py``: the DAG processor does it every few seconds, and each task process once more.

Compared with Airflow alone: the same process with an empty DAG folder. `parse s` is what the file cost
after Airflow itself was imported, in processor seconds. Target: with 200 resources at most 1 s. The last
line is the whole folder in one process, which Airflow never does: it has a process for each file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.harness import Benchmark, Target

ROOT = Path(__file__).resolve().parent.parent
SIZES = (0, 50, 200)
CHILD = """
import json, logging, sys, time
logging.disable(logging.CRITICAL)
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import CronTriggerTimetable, Param, dag, task, task_group
imported = time.process_time()
bag = DagBag(sys.argv[1])
parsed = time.process_time()
assert not bag.import_errors, bag.import_errors
tasks = sum(len(each.tasks) for each in bag.dags.values())
print(json.dumps({"parse s": parsed - imported, "tasks": tasks}))
"""


def graph(size: int) -> Mapping[str, object]:
    """A graph as ``catalog.publish`` writes it: each resource needs up to three of the ten before it."""
    resources = [
        {
            "name": f"resource_{number}",
            "type": "package",
            "dependencies": sorted({f"resource_{number - back}" for back in (1, 4, 10) if number >= back}),
            "actions": ["build", "test"],
            "has_tests": True,
        }
        for number in range(size)
    ]
    return {"schema": 1, "commit": "0" * 40, "digest": "", "resources": resources}


def parse(dags: Path, home: Path) -> Mapping[str, float]:
    """Parse ``dags`` in a new process, as a task process does."""
    environment = {
        **os.environ, "DAYBREAK_HOME": str(home), "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }  # fmt: skip
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(dags)], env=environment, capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def benchmark(work: Path) -> Benchmark:
    """An empty folder, then the night with 0, 50 and 200 resources."""
    empty = work / "dags"
    empty.mkdir()
    cases: dict[str, Callable[[], Mapping[str, float]]] = {"Airflow alone": partial(parse, empty, work)}
    for size in SIZES:
        home = work / str(size)
        home.mkdir()
        (home / "graph.json").write_text(json.dumps(graph(size)))
        cases[f"{size} resources"] = partial(parse, ROOT / "dags" / "nightly.py", home)
    cases[f"all DAGs, {size} resources"] = partial(parse, ROOT / "dags", home)
    beyond = Target(
        "200 resources cost beyond Airflow's own import, seconds", 1.0,
        lambda result: result.count("200 resources", "parse s"),
    )  # fmt: skip
    return Benchmark("dag_import", (__doc__ or "").strip(), cases, [beyond])
