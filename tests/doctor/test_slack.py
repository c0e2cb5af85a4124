"""The doctor looks at Slack's app: token, scopes, and how it is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daybreak.doctor.finding import Finding
from daybreak.doctor.slack import slack as check
from daybreak.settings import Settings
from examples.standins.slack.server import SlackStandin, workspace


def look(home: Path, app: SlackStandin, **more: Any) -> dict[str, Finding]:
    slack = {"channel": "#dev-envs", "base_url": app.api, "token": app.workspace.app.token, **more}
    return {each.area: each for each in check(Settings.model_validate({"home": home, "slack": slack}))}


def test_a_good_app_is_ok_and_one_without_a_door_is_a_warning(tmp_path: Path) -> None:
    with SlackStandin() as app:
        found = look(tmp_path, app)
        assert (found["slack"].said, found["slack scopes"].state) == ("bobby in Acme, by the settings", "ok")
        assert found["slack requests"].state == "warn"
        good = look(tmp_path, app, app_token=app.workspace.app.app_token)
        assert good["slack sockets"].state == "ok"
        bad = look(tmp_path, app, app_token="xapp-no")
        assert (bad["slack sockets"].state, "connections:write" in bad["slack sockets"].next) == (
            "fail",
            True,
        )
        refused = look(tmp_path, app, token="xoxb-no")["slack"]
        assert (refused.state, "invalid_auth" in refused.said, "xoxb" in refused.said) == (
            "fail",
            True,
            False,
        )


def test_a_missing_scope_is_named_with_what_it_is_for(tmp_path: Path) -> None:
    with SlackStandin(workspace(scopes=["chat:write", "commands"])) as app:
        found = look(tmp_path, app)["slack scopes"]
    assert found.state == "fail"
    assert "users:read.email to know whose address it is" in found.said
    assert "chat:write" not in found.said


def test_without_slack_and_without_a_readable_connection_it_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [none] = check(Settings.model_validate({"home": tmp_path}))
    assert (none.state, "docs/slack.md" in none.next) == ("warn", True)
    with SlackStandin() as app:
        chosen = Settings.model_validate(
            {"home": tmp_path, "slack": {"channel": "#x", "connection": "slack_here"}}
        )
        [unknown] = check(chosen)
        assert (unknown.state, "slack_here" in unknown.said) == ("warn", True)
        secret = app.workspace.app.signing_secret
        monkeypatch.setenv(
            "AIRFLOW_CONN_SLACK_HERE",
            f'{{"conn_type": "slack", "password": "{app.workspace.app.token}", '
            f'"extra": {{"base_url": "{app.api}", "signing_secret": "{secret}"}}}}',
        )
        found = {each.area: each for each in check(chosen)}
    assert found["slack"].said == "bobby in Acme, by Airflow's connection 'slack_here'"
    assert found["slack requests"].state == "ok"
