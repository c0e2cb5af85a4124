"""Where Daybreak cannot be installed, ``PYTHONPATH=include`` is enough (docs/existing-airflow.md)."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with Airflow and its providers, and without Daybreak: the managed Airflow."""
    folder = tmp_path_factory.mktemp("managed")
    venv.create(folder, with_pip=False, symlinks=True)
    [own] = (folder / "lib").glob("python*/site-packages")
    # The packages of this environment without its .pth files: one of them installs Daybreak.
    (own / "installed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return folder / "bin" / "python"


def run(python: Path, home: Path, script: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "DAYBREAK", "PYTHON"))
    }
    environ |= {
        "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "DAYBREAK_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db", **more,
    }  # fmt: skip
    # Of another folder: nothing is found because it lies in the current one.
    return subprocess.run(
        [python, "-c", script],
        cwd=home,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


PARSE = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
print("ANSWER" + json.dumps({"errors": bag.import_errors, "dags": sorted(bag.dags)}))
"""

#: What each component does: the dag-processor parses, the triggerer calls `nightly`'s callback by Airflow's
#: own trigger, the API server mounts the plugin's app.
EVERYTHING = """
import asyncio, json
from datetime import UTC, datetime, timedelta
from airflow import plugins_manager
from airflow.dag_processing.dagbag import DagBag
from airflow.triggers.callback import CallbackTrigger

bag = DagBag()
alert = bag.dags["nightly"].deadline
alert = alert[0] if isinstance(alert, list) else alert
# A night to come, at whatever hour this runs: that of today may be over.
later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
run = {"dag_id": "nightly", "dag_run_id": "r", "logical_date": later, "run_after": later}

async def called():
    trigger = CallbackTrigger(alert.callback.path, {"context": {"dag_run": run, "deadline": {}}})
    return [event.payload async for event in trigger.run()][-1]

apps, _ = plugins_manager.get_fastapi_plugins()
print("ANSWER" + json.dumps({
    "errors": bag.import_errors, "dags": sorted(bag.dags),
    "parsed": sorted(each.file for each in bag.dagbag_stats),
    "callback": asyncio.run(called()),
    "plugins": plugins_manager._get_plugins()[1],
    "routes": [route.path for app in apps if app["url_prefix"] == "/daybreak" for route in app["app"].routes],
}))
"""


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert found, done.stdout + done.stderr
    return dict(json.loads(found[-1].removeprefix("ANSWER")))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """As MWAA has them: `include` below `dags`."""
    shutil.copytree(ROOT / "dags", tmp_path / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "dags" / "include").symlink_to(ROOT / "include")
    (tmp_path / "dags" / ".airflowignore").write_text("include/\n")
    return tmp_path


def test_without_the_path_the_dags_say_what_is_missing(python: Path, folders: Path) -> None:
    found = answer(run(python, folders, PARSE))
    assert found["dags"] == []
    assert all("No module named 'daybreak'" in error for error in found["errors"].values())


def test_with_the_path_every_component_finds_what_it_needs(python: Path, folders: Path) -> None:
    found = answer(run(python, folders, EVERYTHING, PYTHONPATH=str(folders / "dags" / "include")))
    assert (found["errors"], found["plugins"]) == ({}, {})
    assert found["dags"] == sorted(path.stem for path in (ROOT / "dags").glob("*.py"))
    assert found["parsed"] == sorted(path.name for path in (ROOT / "dags").glob("*.py"))
    assert found["callback"]["state"] == "success"
    assert "not the deadline of night" in found["callback"]["body"]
    assert found["routes"] == ["/slack", "/github"]


def test_without_an_installation_the_command_line_is_a_module(python: Path, tmp_path: Path) -> None:
    script = "import runpy, sys; sys.argv = ['daybreak', '--help']; runpy.run_module('daybreak')"
    done = run(python, tmp_path, script, PYTHONPATH=str(ROOT / "include"))
    assert (done.returncode, done.stdout.startswith("usage: daybreak ")) == (0, True)
