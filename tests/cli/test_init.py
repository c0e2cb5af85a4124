"""``daybreak init``: a file that can be read at once; nothing overwritten or half written, no password."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.cli import saying
from daybreak.cli.main import main
from daybreak.settings import load
from tests.monorepo import Monorepo

SECRETS = {"REGISTRY_PASSWORD": "r", "AIRFLOW_BOT_PASSWORD": "b"}
FLAGS = ("--account", "111122223333", "--yes")


@pytest.fixture
def monorepo(tmp_path: Path) -> Monorepo:
    made = Monorepo(tmp_path / "acme")
    made.commit({"tests/e2e/test_it.py": "", "services/a/pyproject.toml": "[project]\nname = 'a'\n"})
    return made


def test_what_it_writes_are_valid_settings_from_the_repository(tmp_path: Path, monorepo: Monorepo) -> None:
    monorepo.git("remote", "add", "origin", "https://user:s3cret@git.example/acme.git")
    monorepo.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    output = tmp_path / "new" / "daybreak.yaml"
    more = (
        "--zone",
        "Asia/Jerusalem",
        "--workweek",
        "sun,mon,tue,wed,thu",
        "--slack",
        "#dev",
        "--airflow",
        "http://a",
    )
    assert main(["init", "--repo", str(monorepo.path), "--output", str(output), *FLAGS, *more]) == 0
    assert "s3cret" not in output.read_text()
    found = load(output, SECRETS)
    assert (found.monorepo.url, found.monorepo.branch) == ("https://git.example/acme.git", "trunk")
    assert found.monorepo.e2e == "tests/e2e"
    assert [(each.name, each.role) for each in found.environments] == [
        ("dev-01", "dev"), ("dev-02", "dev"), ("merge-01", "merge"),
    ]  # fmt: skip
    assert (found.night.zone, found.night.workweek[0]) == ("Asia/Jerusalem", "sun")
    assert found.schedule == "off"
    assert found.airflow is not None
    assert found.slack is not None


def test_a_clone_without_a_remote_is_its_own_monorepo(tmp_path: Path, monorepo: Monorepo) -> None:
    output = tmp_path / "daybreak.yaml"
    assert main(["init", "--repo", str(monorepo.path), "--output", str(output), *FLAGS]) == 0
    found = load(output, SECRETS)
    assert (found.monorepo.url, found.monorepo.branch) == (str(monorepo.path), "main")


def test_whoever_writes_it_is_its_first_admin_and_is_told_how_it_is_read(
    tmp_path: Path, monorepo: Monorepo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "daybreak.yaml"
    words = ["init", "--repo", str(monorepo.path), "--output", str(output), *FLAGS, "--force"]
    monkeypatch.setattr(saying, "login", lambda: "dana")
    assert main(words) == 0
    assert f"1. export DAYBREAK_CONFIG={output}" in capsys.readouterr().out
    assert [(each.name, each.admin) for each in load(output, SECRETS).people] == [("dana", True)]

    # A login that is no name of ours, and a shell that reads the file already.
    monkeypatch.setattr(saying, "login", lambda: "ACME Dana")
    monkeypatch.setenv("DAYBREAK_CONFIG", str(output))
    assert main(words) == 0
    assert "export" not in capsys.readouterr().out
    assert load(output, SECRETS).people == ()


def test_a_file_with_environments_is_not_overwritten_without_force(
    tmp_path: Path, monorepo: Monorepo, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "daybreak.yaml"
    words = ["init", "--repo", str(monorepo.path), "--output", str(output), *FLAGS]
    output.write_text("environments: []\n")
    assert main(words) == 0
    before = output.read_text()
    assert main(words) == 2
    assert "--force" in capsys.readouterr().err
    assert output.read_text() == before
    assert main([*words, "--force", "--region", "eu-west-1"]) == 0
    assert load(output, SECRETS).environments[0].region == "eu-west-1"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--yes",), "--account is needed: the AWS account"),
        ((*FLAGS, "--zone", "Mars/Olympus"), "--zone: 'Mars/Olympus' is not an IANA zone"),
        ((*FLAGS, "--environments", "Dev_1"), "--environments: 'Dev_1' is not a list"),
        ((*FLAGS, "--evening", "late"), "--evening: 'late' is not a time"),
        ((*FLAGS, "--repo", "/nowhere"), "is not a git repository; --repo names a clone of the monorepo"),
    ],
)
def test_a_wrong_answer_is_named_and_nothing_is_written(
    tmp_path: Path, monorepo: Monorepo, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], said: str
) -> None:
    output = tmp_path / "daybreak.yaml"
    assert main(["init", "--repo", str(monorepo.path), "--output", str(output), *flags]) == 2
    assert said in capsys.readouterr().err
    assert not output.exists()


def test_at_a_terminal_it_asks_and_asks_again_what_was_wrong(tmp_path: Path, monorepo: Monorepo) -> None:
    output = tmp_path / "daybreak.yaml"
    keyboard, terminal = pty.openpty()
    answers = ["", "12", "111122223333", "", "Mars", "Asia/Kolkata", "", "", "", "", ""]
    os.write(keyboard, "".join(f"{answer}\n" for answer in answers).encode())
    done = subprocess.run(
        [str(Path(sys.executable).parent / "daybreak"), "init", "--repo", monorepo.path, "--output", output],
        stdin=terminal, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    os.close(keyboard)
    os.close(terminal)
    assert done.returncode == 0, done.stderr
    assert "'12' is not 12 digits" in done.stderr
    assert "'Mars' is not an IANA zone" in done.stderr
    assert load(output, SECRETS).night.zone == "Asia/Kolkata"
    assert "daybreak doctor" in done.stdout
