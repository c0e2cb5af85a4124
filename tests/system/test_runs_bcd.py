"""An engineer's deploy on the running Airflow: asked for, done, accounted for; and one that is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.system.conftest import Demo

pytestmark = pytest.mark.system

ENVIRONMENT = "dev-01"
FILE = "services/telemetry/src/acme_telemetry/__init__.py"


@dataclass(frozen=True)
class Deploy:
    """What `daybreak bcd --wait --json` answered, and what was said to whom came too late."""

    report: dict[str, Any]
    refused: subprocess.CompletedProcess[str]
    status: dict[str, Any]


@pytest.fixture(scope="module")
def deploy(demo: Demo) -> Iterator[Deploy]:
    """A branch with one service changed goes to an environment; then to one that somebody has."""
    demo.git("checkout", "-q", "-b", "my-fix")
    path = demo.folder / "acme" / FILE
    path.write_text('"""Positions, newest first."""\n')
    demo.git("-c", "user.name=Dana", "-c", "user.email=dana@acme.test", "commit", "-qam", "Newest first")
    demo.git("push", "-q", "origin", "my-fix")
    demo.git("checkout", "-q", "main")
    said = demo.daybreak("bcd", ENVIRONMENT, "my-fix", "--wait", "--json", "--run-id", "my-fix")
    status = demo.status()[ENVIRONMENT]
    demo.slack.say("yossi", "#dev-envs", f"/bobby lock {ENVIRONMENT} for 1h -- load test")
    demo.slack.wait(
        "yossi", lambda _: (demo.status()[ENVIRONMENT]["lease"] or {}).get("owner") == "yossi", 20
    )
    refused = demo.run("bcd", ENVIRONMENT, "my-fix", "--all")
    yield Deploy(json.loads(said), refused, status)
    demo.slack.say("yossi", "#dev-envs", f"/bobby release {ENVIRONMENT}")
    demo.slack.wait("yossi", lambda _: demo.status()[ENVIRONMENT]["lease"] is None, 20)


def test_only_what_the_environment_does_not_run_is_built_and_deployed(demo: Demo, deploy: Deploy) -> None:
    assert deploy.report["ok"], deploy.report
    ended = {line["resource"]: line["ended"] for line in deploy.report["lines"]}
    # The service that changed, and the one that calls it.
    assert {name for name, end in ended.items() if end == "deployed"} == {"telemetry", "trips"}
    assert ended["fleet"] == "unchanged"
    assert deploy.report["commit"] == demo.git("rev-parse", "my-fix")
    assert (deploy.status["state"], deploy.status["verdict"]) == ("READY", "not_run")
    assert deploy.status["lease"] is None


def test_the_grid_shows_what_was_built_and_what_was_skipped(demo: Demo, deploy: Deploy) -> None:
    tasks = {each.task_id: each.state for each in demo.tasks("my-fix", dag="bcd")}
    assert (tasks["telemetry.build"], tasks["telemetry.test"]) == ("success", "success")
    assert (tasks["fleet.build"], tasks["geo.build"]) == ("skipped", "skipped")
    assert (tasks["deploy"], tasks["report"]) == ("success", "success")


def test_an_environment_that_somebody_has_is_refused_with_name_and_time(deploy: Deploy) -> None:
    assert deploy.refused.returncode == 73
    assert f"{ENVIRONMENT} is locked by yossi until" in deploy.refused.stderr
    assert "(load test)" in deploy.refused.stderr
