"""A wrong `daybreak.yaml` and the night: nothing begins, and the line to mend is named where people look."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """home: {home}
aws: {{accounts: {{"111122223333": {{}}}}}}
environments: [{{name: dev-01, account: "111122223333"}}]
night:
  evening: teatime
"""
WRONG = "daybreak.yaml:5: night.evening: "


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config = tmp_path / "daybreak.yaml"
    config.write_text(SETTINGS.format(home=tmp_path / "home"))
    monkeypatch.setenv("DAYBREAK_CONFIG", str(config))
    return tmp_path / "home"


@pytest.mark.parametrize("words", [["night", "plan"], ["env", "rebuild", "dev-01"], ["env", "status"]])
def test_the_command_line_names_the_line_and_does_nothing(home: Path, capsys, words: list[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert WRONG in said.err
    assert said.out == ""
    # Not even a registry was made.
    assert not home.exists()


def test_airflow_shows_the_line_instead_of_the_dag(home: Path) -> None:
    # What the DAG processor shows as import error is what the file raises.
    done = subprocess.run(
        [sys.executable, ROOT / "dags" / "nightly.py"],
        env={**os.environ, "AIRFLOW_HOME": str(home.parent / "airflow")},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert WRONG in done.stderr.strip().splitlines()[-1]
    assert not home.exists()
