"""`daybreak bcd` before anything is triggered: who has the environment, and what is wrong with the words."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from daybreak.cli import saying
from daybreak.cli.main import main
from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.settings import load
from tests.environment.test_state import put

ACCOUNT = "111122223333"


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    config = tmp_path / "daybreak.yaml"
    environments = [{"name": "dev-01", "account": ACCOUNT}, {"name": "dev-02", "account": ACCOUNT}]
    settings = {
        "home": str(tmp_path), "aws": {"accounts": {ACCOUNT: {}}}, "environments": environments,
        "people": [{"name": "dana", "os": "dcohen"}],
    }  # fmt: skip
    config.write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("DAYBREAK_CONFIG", str(config))
    monkeypatch.setattr(saying, "login", lambda: "dcohen")
    found = Installation.open(load())
    found.register()
    put(found.environments, State.READY)
    return found


def test_a_locked_environment_is_exit_code_73_with_who_and_until_when(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    installation.leases.lock("dev-01", by="bob", duration=timedelta(hours=2), reason="load test")
    assert main(["bcd", "dev-01", "main", "--json"]) == 73
    said = capsys.readouterr()
    assert said.out == ""
    assert "dev-01 is locked by bob until 20" in said.err
    assert "(load test)" in said.err


def test_whoever_is_known_by_another_name_here_has_their_own_lease(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    installation.leases.lock("dev-01", by="dana", duration=timedelta(hours=2))
    assert main(["bcd", "dev-01"]) == 2
    assert "daybreak.yaml has no `airflow:` section" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dev-1"], "no environment is called 'dev-1'; did you mean dev-01?"),
        (["dev-02"], "dev-02 is ABSENT, so nothing can be deployed to it; `daybreak env rebuild dev-02`"),
        (["dev-01", "main", "trips", "--all"], "name resources or say everything, not both"),
        (["dev-01", "--only", "seed"], "conf: actions: no such action: seed"),
    ],
)
def test_wrong_words_are_refused_with_what_to_do(
    installation: Installation, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["bcd", *words]) == 2
    assert said in capsys.readouterr().err
