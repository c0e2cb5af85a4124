"""A run of `pr_e2e` for what may not land, by Airflow in one process: what the pull request is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from daybreak.environment.installation import Installation
from daybreak.settings import load
from daybreak.talk.github.access import Access
from daybreak.talk.whole import Talk
from examples.standins.github.server import BOT
from tests.dags.test_bcd import airflow
from tests.dags.test_pr_e2e import RUN, migrate, publish
from tests.fixtures.github import Hub

ACCOUNT = "123456789012"


@pytest.mark.deep
def test_a_run_for_what_may_not_land_fails_at_once_and_the_pull_request_is_told_why(
    hub: Hub, tmp_path: Path
) -> None:
    number = hub.pull()
    home = tmp_path / "home"
    home.mkdir()
    publish(home, ("left", "command", [], ["build", "deploy"]))
    config = tmp_path / "daybreak.yaml"
    config.write_text(yaml.safe_dump({
        "monorepo": {"url": hub.url()}, "home": str(home), "github": {"repository": hub.name},
        "airflow": {"url": "http://127.0.0.1:9", "username": "nobody", "password": "x"},
        "aws": {"accounts": {ACCOUNT: {}}},
        "environments": [{"name": "merge-01", "account": ACCOUNT, "role": "merge"}],
    }))  # fmt: skip
    migrate(home)
    connection = {"conn_type": "github", "host": hub.site.api, "password": hub.site.token(BOT)}
    environ = {"DAYBREAK_CONFIG": str(config), "AIRFLOW_CONN_GITHUB_DEFAULT": json.dumps(connection)}

    [run] = airflow(home, RUN, json.dumps([("pr_e2e", {"pr": number})]), **environ)

    assert (run["state"], run["tasks"]["resolve"], run["tasks"]["gate"]) == ("failed", "failed", "skipped")
    installation = Installation.open(load(config, {}))
    Talk.open(installation, None, Access(hub.client())).sender.flush()
    issue = hub.client().github.get_repo(hub.name).get_issue(number)
    [told] = [each.body for each in issue.get_comments()]
    assert "has 0 of 1 approvals" in told
    assert (
        f"(http://127.0.0.1:9/dags/pr_e2e/runs/{run['run_id'].replace(':', '%3A').replace('+', '%2B')})"
        in told
    )
