"""`daybreak night report`: what a run did, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daybreak.cli.main import main
from daybreak.cli.table import table
from daybreak.environment.calendar import tonight
from daybreak.environment.decision import Decision, NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.night.report import summarise
from daybreak.environment.nights import NightStatus
from daybreak.environment.steps import StepStatus
from daybreak.settings import load

ACCOUNT = "111122223333"
FAULT = {"code": "marker_missing", "message": "scorch: no marker\nin dev_02_fleet"}


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    config = tmp_path / "daybreak.yaml"
    config.write_text(
        f'home: {tmp_path}/home\naws: {{accounts: {{"{ACCOUNT}": {{}}}}}}\n'
        f'environments: [{{name: dev-01, account: "{ACCOUNT}"}}, {{name: dev-02, account: "{ACCOUNT}"}}]\n'
    )
    monkeypatch.setenv("DAYBREAK_CONFIG", str(config))
    return Installation.open(load())


def run(installation: Installation, run_id: str) -> None:
    """dev-01 is rebuilt, e2e fails; dev-02 is refused by its scorch on the second try."""
    nights = installation.nights
    night = tonight(installation.settings.night, installation.clock()).key
    nights.open(night, run_id)
    for name in ("dev-01", "dev-02"):
        decision = Decision(name, NightAction.REBUILD, "asked for", rebuild=True)
        nights.claim(night, name, run_id, decision.to_json())
    failures = [["test_trips", "boom"]]
    for stage, seconds, detail in (
        ("scorch", 12.5, {}),
        ("e2e", 30.0, {"verdict": "failed", "tests": 9, "failures": failures}),
    ):
        step = nights.step_started(night, "dev-01", "rebuild", stage, run_id)
        nights.step_finished(step, StepStatus.DONE, seconds=seconds, detail=detail)
    for _ in range(2):
        step = nights.step_started(night, "dev-02", "rebuild", "scorch", run_id)
    nights.step_finished(step, StepStatus.FAILED, seconds=2.0, detail=FAULT)
    nights.mark(night, "dev-01", run_id, NightStatus.DONE, {"verdict": "failed"})
    nights.mark(night, "dev-02", run_id, NightStatus.FAULTED, FAULT)


def test_the_report_says_decision_verdict_fault_and_seconds_of_each_stage(
    installation: Installation, capsys
) -> None:
    run(installation, "first")
    summary = summarise(installation, "first")
    run(installation, "second")

    assert main(["night", "report", "first"]) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[0] == summary.headline
    assert said[1].startswith("run first, no commit pinned; ")
    assert "dev-01       rebuild   rebuilt  failed, 9 tests  asked for" in said
    fault = (
        "dev-02       rebuild   faulted  -                marker_missing: scorch: no marker in dev_02_fleet"
    )
    assert fault in said
    assert "dev-01: failed in e2e: test_trips" in said
    assert any(line.startswith("dev-02: next, that database is not known to be ours") for line in said)
    at = next(number for number, line in enumerate(said) if line.startswith("seconds of"))
    assert [line.split() for line in said[at : at + 3]] == [
        ["seconds", "of", "scorch", "e2e", "together"],
        ["dev-01", "12.5", "30.0", "42.5"],
        ["dev-02", "2.0", "failed", "(try", "2)", "-", "2.0"],
    ]
    for figure in ("makespan", "critical path", "task seconds ÷ slots"):
        assert any(line.startswith(figure) for line in said)


def test_without_a_run_it_reports_the_one_that_decided_last(installation: Installation, capsys) -> None:
    run(installation, "first")
    run(installation, "second")
    assert main(["night", "report", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["run_id"] == "second"
    assert answer["finished_at"] is None
    # The second took both over from the first.
    assert [each["name"] for each in answer["environments"]] == ["dev-01", "dev-02"]
    assert answer["timing"]["target"] == 1.5


def test_before_the_first_night_it_says_what_to_do(installation: Installation, capsys) -> None:
    assert main(["night", "report"]) == 2
    assert "`daybreak night plan`" in capsys.readouterr().err
    assert main(["night", "report", "nope"]) == 2
    assert "no night's run 'nope'" in capsys.readouterr().err


def test_columns_are_as_wide_as_their_widest_cell_and_the_last_one_ends_with_its_words() -> None:
    rows = [["dev-01", "7.5", "long\nreason"], ["d", "12.0", ""]]
    assert table(["name", "s", "why"], rows, right=(1,)) == [
        "name       s  why",
        "dev-01   7.5  long reason",
        "d       12.0",
    ]
