"""The doctor looks at GitHub: token, role, pushing, and how it is reached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daybreak.doctor.finding import Finding
from daybreak.doctor.github import github as check
from daybreak.errors import UsageError
from daybreak.settings import Settings
from examples.standins.github.server import BOT
from tests.fixtures.github import Hub


def settings(hub: Hub, home: Path, login: str = BOT, **more: Any) -> Settings:
    return Settings.model_validate(
        {
            "home": home,
            "monorepo": {"url": hub.url(login)},
            "github": {"repository": hub.name, "base_url": hub.site.api, **more},
        }
    )


def look(chosen: Settings) -> dict[str, Finding]:
    return {each.area: each for each in check(chosen)}


def test_a_token_that_may_land_is_ok_and_an_open_main_is_a_warning(hub: Hub, tmp_path: Path) -> None:
    chosen = settings(hub, tmp_path, token=hub.site.token(BOT))
    found = look(chosen)
    assert found["github"].said == f"{BOT} in {hub.name}, by the settings"
    assert (found["github role"].state, found["github role"].said) == ("ok", "maintain")
    assert "main is not protected" in found["github pushing"].said
    assert found["github webhook"].state == "warn"
    hub.site.hosting.repo(hub.name).protected.add("main")
    guarded = look(chosen)["github pushing"]
    assert (guarded.state, "must let daybreak-bot bypass" in guarded.said) == ("ok", True)
    assert set(hub.site.refs(hub.name)) == {"refs/heads/main"}, "looking moves nothing"


def test_what_may_only_read_or_is_wrong_is_a_failure_that_keeps_the_token(hub: Hub, tmp_path: Path) -> None:
    token = hub.site.token("noa")
    found = look(settings(hub, tmp_path, "noa", token=token))
    assert found["github role"].state == "fail"
    assert "its role is read" in found["github role"].said
    assert found["github pushing"].state == "fail"
    assert token not in str(found)
    [wrong] = look(settings(hub, tmp_path, token="ghp_wrong")).values()
    assert (wrong.state, "put a good one" in wrong.said) == ("fail", True)
    [hidden] = look(settings(hub, tmp_path, token=hub.site.token("mallory"))).values()
    assert (hidden.state, "have access to the repository" in hidden.said) == ("fail", True)


def test_another_repository_than_the_monorepo_is_said(hub: Hub, tmp_path: Path) -> None:
    chosen = settings(hub, tmp_path, token=hub.site.token(BOT))
    away = chosen.model_copy(
        update={"monorepo": chosen.monorepo.model_copy(update={"url": str(hub.work.path)})}
    )
    areas = [each for each in check(away) if each.area == "github pushing"]
    assert "does not look like" in areas[0].said


def test_the_connection_brings_the_webhooks_secret(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [none] = check(Settings.model_validate({"home": tmp_path}))
    assert (none.state, "docs/github.md" in none.next) == ("warn", True)
    chosen = settings(hub, tmp_path, connection="github_here")
    [unknown] = check(chosen)
    assert (unknown.state, "github_here" in unknown.said) == ("warn", True)
    said = {"conn_type": "github", "password": hub.site.token(BOT), "host": hub.site.api}
    monkeypatch.setenv("AIRFLOW_CONN_GITHUB_HERE", json.dumps(said))
    assert look(chosen)["github webhook"].state == "fail"
    said["extra"] = json.dumps({"webhook_secret": hub.site.secret})
    monkeypatch.setenv("AIRFLOW_CONN_GITHUB_HERE", json.dumps(said))
    found = look(chosen)
    assert found["github"].said == f"{BOT} in {hub.name}, by Airflow's connection 'github_here'"
    assert found["github webhook"].state == "ok"
    monkeypatch.setenv("AIRFLOW_CONN_GITHUB_HERE", json.dumps({**said, "host": "ghe.acme.example"}))
    with pytest.raises(UsageError, match=r"'ghe\.acme\.example': it must be the API's URL"):
        list(check(chosen))
    monkeypatch.setenv("AIRFLOW_CONN_GITHUB_HERE", json.dumps({"conn_type": "github"}))
    with pytest.raises(UsageError, match="Its password is a token"):
        list(check(chosen))
