"""Where Daybreak cannot be installed, ``PYTHONPATH=include`` is enough (docs/existing-airflow.md)."""

from __future__ import annotations

import json
import os
import site
import subprocess
import venv
from pathlib import Path

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


BAG = f"""
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(ROOT / "dags")!r})
print("BAG" + json.dumps({{"errors": bag.import_errors, "dags": sorted(bag.dags)}}))
"""

#: What the triggerer does with the deadline of `nightly`: it imports the callback by its name.
CALLBACK = f"""
import json
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.module_loading import import_string
alert = DagBag({str(ROOT / "dags")!r}).dags["nightly"].deadline
alert = alert[0] if isinstance(alert, list) else alert
print("CALLBACK" + json.dumps(callable(import_string(alert.callback.path))))
"""


def answer(done: subprocess.CompletedProcess[str], mark: str) -> object:
    found = [line for line in done.stdout.splitlines() if line.startswith(mark)]
    assert found, done.stdout + done.stderr
    return json.loads(found[-1].removeprefix(mark))


def test_without_the_path_the_dags_say_what_is_missing(python: Path, tmp_path: Path) -> None:
    found = answer(run(python, tmp_path, BAG), "BAG")
    assert isinstance(found, dict)
    assert found["dags"] == []
    assert all("No module named 'daybreak'" in error for error in found["errors"].values())


def test_with_the_path_every_dag_is_there(python: Path, tmp_path: Path) -> None:
    found = answer(run(python, tmp_path, BAG, PYTHONPATH=str(ROOT / "include")), "BAG")
    assert isinstance(found, dict)
    assert found["errors"] == {}
    assert found["dags"] == sorted(path.stem for path in (ROOT / "dags").glob("*.py"))


def test_with_the_path_the_triggerer_finds_what_it_calls_at_the_deadline(
    python: Path, tmp_path: Path
) -> None:
    assert answer(run(python, tmp_path, CALLBACK, PYTHONPATH=str(ROOT / "include")), "CALLBACK") is True
