"""``daybreak bobby``: Slack's grammar word for word, JSON, exit codes, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from daybreak.cli import saying
from daybreak.cli.main import main
from daybreak.registry import connect, tables
from daybreak.talk.verbs import Vocabulary, following

ACCOUNT = "111122223333"


@pytest.fixture
def configured(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config = tmp_path / "daybreak.yaml"
    config.write_text(
        f"home: {tmp_path}/home\n"
        f'aws: {{accounts: {{"{ACCOUNT}": {{}}}}}}\n'
        f'environments: [{{name: dev-01, account: "{ACCOUNT}"}}, {{name: dev-02, account: "{ACCOUNT}"}}]\n'
        "people: [{name: dana}, {name: eli}, {name: noa, os: noab, admin: true}]\n"
    )
    monkeypatch.setenv("DAYBREAK_CONFIG", str(config))
    assert main(["env", "status", "--json"]) == 0  # the rows
    engine = connect(f"sqlite:///{tmp_path}/home/registry.db")
    with engine.begin() as connection:
        connection.execute(update(tables.environments).values(state="READY", verdict="passed"))
    engine.dispose()
    return tmp_path


def say(monkeypatch: pytest.MonkeyPatch, who: str, *words: str) -> int:
    monkeypatch.setattr(saying, "login", lambda: who)
    return main(["bobby", *words])


def test_a_day_at_the_command_line(configured: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    capsys.readouterr()
    assert say(monkeypatch, "dana", "lock", "dev-01", "for", "2h", "--", "load", "test", "--json") == 0
    assert "dev-01 is yours until" in capsys.readouterr().out
    assert say(monkeypatch, "eli", "lock", "dev-01", "--json") == 73
    told = json.loads(capsys.readouterr().out)
    assert told["code"] == "locked"
    assert told["locked"]["owner"] == "dana"
    assert "(load test --json)" in told["text"]
    assert say(monkeypatch, "eli", "lock", "dev-01") == 73
    found = capsys.readouterr()
    assert (found.out, "locked by dana" in found.err) == ("", True)
    assert say(monkeypatch, "eli", "lokc", "dev-01") == 2
    assert "Did you mean `lock dev-01`?" in capsys.readouterr().err
    assert say(monkeypatch, "eli", "freeze", "--", "x") == 77
    assert say(monkeypatch, "stranger", "lock", "dev-02") == 77
    assert say(monkeypatch, "noab", "release!", "dev-01", "--", "on leave") == 0
    assert say(monkeypatch, "eli", "deploy", "dev-01", "main") == 2
    assert "`airflow:` is missing" in capsys.readouterr().err
    assert say(monkeypatch, "dana") == 0
    assert "`lock <env|any>" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "offered"),
    [
        ([], ["deploy", "extend", "fault"]),
        (["lock"], ["dev-01", "dev-02", "any"]),
        (["release", "dev-01"], ["dev-02", "--"]),
        (["lock", "any"], ["for", "until", "--"]),
        (["lock", "any", "for"], ["1h", "2h", "4h"]),
        (["lock", "any", "--"], []),
        (["preserve", "dev-01"], ["tonight", "until", "--"]),
        (["give", "dev-01"], ["@eli", "--"]),
        (["weekend"], ["keep", "drop"]),
        (["nothing"], []),
    ],
)
def test_what_can_follow(said: list[str], offered: list[str]) -> None:
    assert (
        following(said, Vocabulary(["dev-01", "dev-02"]), ["@eli"])[: len(offered) or None][:3] == offered[:3]
    )


def test_the_shell_is_told_what_can_follow(configured: Path) -> None:
    line = "daybreak bobby lock dev-"
    environ = {**os.environ, "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line,
               "COMP_POINT": str(len(line)), "_ARC_DEBUG": ""}  # fmt: skip
    # The shell reads file descriptor 8.
    script = "import os; os.dup2(1, 8); from daybreak.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, close_fds=False
    )
    assert done.stdout.split("\n") == ["dev-01", "dev-02"]


def test_the_shells_code_is_printed(capsys) -> None:
    assert main(["completion", "zsh"]) == 0
    assert "compdef" in capsys.readouterr().out
