"""The command line: answers on standard output, errors as one line, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daybreak.cli.main import COMMANDS, main
from daybreak.registry import connect, require_current
from examples.acme_history import create_repository

ACCOUNT = "111122223333"


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config = tmp_path / "daybreak.yaml"
    config.write_text(
        f"home: {tmp_path}/home\nmonorepo: {{url: {tmp_path}/acme}}\n"
        f'aws: {{accounts: {{"{ACCOUNT}": {{}}}}}}\n'
        f'environments: [{{name: dev-01, account: "{ACCOUNT}"}}]\n'
    )
    monkeypatch.setenv("DAYBREAK_CONFIG", str(config))
    return tmp_path


def test_status_as_json_has_what_scripts_rely_on(configured: Path, capsys) -> None:
    assert main(["env", "status", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    (row,) = answer["environments"]
    assert row.pop("since")
    assert row == {
        "name": "dev-01", "state": "ABSENT", "verdict": "not_run", "commit": None, "decision": None,
        "lease": None, "op": None, "fault": None,
    }  # fmt: skip


def test_the_plan_says_why_and_what_is_not_armed(configured: Path, capsys) -> None:
    assert main(["night", "plan", "--date", "2026-03-04"]) == 0
    said = capsys.readouterr().out
    assert "absent: rebuilt" in said
    assert f"not armed, so a dry run: {ACCOUNT}" in said
    assert main(["arm", ACCOUNT]) == 0
    capsys.readouterr()
    assert main(["night", "plan", "--date", "2026-03-04"]) == 0
    assert "not armed" not in capsys.readouterr().out


def test_a_freeze_is_in_the_plan_until_the_thaw(configured: Path, capsys) -> None:
    main(["freeze", "--reason", "incident 42"])
    main(["night", "plan"])
    assert "(incident 42)" in capsys.readouterr().out.split("\n", 2)[2]
    main(["thaw"])
    capsys.readouterr()
    main(["night", "plan"])
    assert "frozen" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["arm", "999988887777"], "not on the allow-list"),
        (["env", "status", "dev-1"], "did you mean dev-01?"),
        (["env", "rebuild", "dev-02"], "no environment is called dev-02"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(configured: Path, capsys, words, said) -> None:
    assert main(words) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert "Traceback" not in errors


def test_an_unknown_resource_is_refused_before_anything_is_built(configured: Path, capsys) -> None:
    create_repository(configured / "acme")
    assert main(["build", "trps"]) == 2
    assert "trips" in capsys.readouterr().err
    assert not (configured / "home" / "store").exists() or not list((configured / "home" / "store").iterdir())


def test_the_registry_is_migrated_once_and_can_be_asked_again(configured: Path, capsys) -> None:
    assert main(["registry", "migrate"]) == 0
    first = capsys.readouterr().out
    require_current(connect(f"sqlite:///{configured}/home/registry.db"))
    assert first.endswith(", was empty\n")
    assert main(["registry", "migrate"]) == 0
    assert capsys.readouterr().out == first.replace(", was empty", "")


@pytest.mark.parametrize("command", ["registry migrate", "night plan", "bobby status", "env status"])
def test_a_registry_that_cannot_be_reached_is_one_line_without_its_password(
    configured: Path, capsys, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("DAYBREAK_REGISTRY", "postgresql+psycopg2://daybreak:hush@127.0.0.1:1/daybreak")
    assert main(command.split()) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("daybreak: the registry's database says: connection to server at")
    assert errors.count("\n") == 1
    assert "hush" not in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"daybreak {command}" in capsys.readouterr().out.split("example", 1)[1]
