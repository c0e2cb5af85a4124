"""`daybreak bots`: Bobby over Socket Mode, as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.cli.main import main
from examples.standins.slack.server import SlackStandin


def config(folder: Path, slack: dict | None) -> dict[str, str]:
    """A settings file and what names it; the secrets are in the environment, as docs/slack.md says."""
    account = "123456789012"
    data = {
        "home": str(folder), "aws": {"accounts": {account: {}}},
        "environments": [{"name": "dev-01", "account": account}],
        "people": [{"name": "dana", "email": "dana@acme.example"}],
    }  # fmt: skip
    path = folder / "daybreak.json"
    path.write_text(json.dumps(data | ({"slack": slack} if slack else {})))
    return {"DAYBREAK_CONFIG": str(path)}


def test_it_answers_over_a_socket_says_that_it_lives_and_ends_when_asked(tmp_path: Path) -> None:
    with SlackStandin() as slack:
        app = slack.workspace.app
        env = {
            **os.environ, **config(tmp_path, {"channel": "#dev-envs", "base_url": slack.api}),
            "DAYBREAK_SLACK__TOKEN": app.token, "DAYBREAK_SLACK__APP_TOKEN": app.app_token,
        }  # fmt: skip
        daybreak = str(Path(sys.executable).parent / "daybreak")
        process = subprocess.Popen([daybreak, "bots"], env=env, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout
            assert process.stdout.readline() == "bobby listens; Ctrl-C stops\n"
            slack.say("dana", "#dev-envs", "/bobby status")
            slack.wait("dana", lambda state: any("dev-01 ABSENT" in m["text"] for m in state["messages"]), 30)
            ping = subprocess.run(
                [daybreak, "bots", "--ping"], env=env, capture_output=True, text=True, check=False
            )
            assert (ping.returncode, ping.stdout) == (0, "bots are connected\n")
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0
        finally:
            process.kill()
            process.wait()
    assert not (tmp_path / "bots.alive").exists()


def test_what_is_missing_is_one_line_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for slack, said in ((None, "docs/slack.md"), ({"channel": "#x"}, "set DAYBREAK_SLACK__TOKEN")):
        monkeypatch.setenv("DAYBREAK_CONFIG", config(tmp_path, slack)["DAYBREAK_CONFIG"])
        assert main(["bots"]) == 2
        assert said in capsys.readouterr().err
    assert main(["bots", "--ping"]) == 1
    assert "no bots are connected" in capsys.readouterr().out
