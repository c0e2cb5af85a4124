"""The demo's world: a monorepo, PostgreSQL, an AWS account in the emulator, four environments."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

ACCOUNT = "210987654321"
ENVIRONMENTS = (("dev-01", "dev"), ("dev-02", "dev"), ("dev-03", "dev"), ("merge-01", "merge"))


@dataclass(frozen=True)
class Layout:
    """Everything that the demo writes, under ``.demo/<port>/``."""

    folder: Path

    @property
    def home(self) -> Path:
        """``$DAYBREAK_HOME``."""
        return self.folder / "home"

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.folder / "daybreak.yaml"

    def environ(self) -> dict[str, str]:
        """What a ``daybreak`` command needs to work in this world."""
        return {
            "DAYBREAK_CONFIG": str(self.config),
            "DAYBREAK_HOME": str(self.home),
            "AWS_CONFIG_FILE": str(self.folder / "aws.ini"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "aws-credentials.ini"),
            "GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig"),
        }


def waiting(now: datetime) -> dict[str, str]:
    """A night (``zone`` is UTC) that has just begun, whose morning is to be waited for."""
    hours = {"evening": 0, "teardown_cutoff": 4, "morning": 10, "ready": 13, "build_cutoff": 14}
    began = now.replace(microsecond=0) - timedelta(minutes=1)
    return {name: (began + timedelta(hours=after)).time().isoformat() for name, after in hours.items()}


def write_settings(
    layout: Layout,
    *,
    database: Any,
    endpoint: str,
    monorepo: str,
    airflow: Mapping[str, str],
    slack: Mapping[str, Any],
    github: Mapping[str, Any],
    night: Mapping[str, str],
    sql: str,
    engine: str | None,
) -> None:
    """Write ``daybreak.yaml``, and the AWS profile that it names.

    :param airflow: ``url``, ``username`` and ``password`` of the bot.
    :param slack: the sections `slack` and `people`.
    :param github: the sections `github` and `merge`.
    :param night: when it begins and ends, where the time of day matters.
    :param sql: URL of the environments' databases.
    :param engine: URL of the Docker Engine that services run on, where they are containers.
    """
    connection = {
        "conn_type": "aws",
        "login": ACCOUNT,
        "password": "demo",
        "extra": {"region_name": "us-east-1", "endpoint_url": endpoint},
    }
    (layout.folder / "connections.json").write_text(json.dumps({"aws_demo": connection}))
    (layout.folder / "aws.ini").write_text("[profile demo]\nregion = us-east-1\n")
    (layout.folder / "aws-credentials.ini").write_text(
        f"[demo]\naws_access_key_id = {ACCOUNT}\naws_secret_access_key = demo\n"
    )
    at = {"engine": {"url": engine}} if engine else {}
    runtime = {"runtime": "docker", **at} if engine else {}
    # A RUN in the network of the machine reaches what the machine reaches.
    images = {"images": {**at, "network": "host"}} if engine else {}
    settings = {
        "monorepo": {"url": monorepo, "branch": "main"},
        "home": str(layout.home),
        "airflow": dict(airflow),
        **slack,
        **github,
        "registry": database("daybreak"),
        "scorch": {"forbidden": [database("airflow")]},
        # A demo that is left open does not fire at night.
        "schedule": "off",
        "aws": {
            "endpoint_url": endpoint,
            "accounts": {
                ACCOUNT: {
                    "connection": "aws_demo",
                    "profile": "demo",
                    "workload": {"access_key_id": ACCOUNT, "secret_access_key": "demo"},
                }
            },
        },
        # Every day is a working day, so that the demo rebuilds whatever day it is.
        "night": {"workweek": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "retry_seconds": 5, **night},
        "build": {"workers": os.cpu_count() or 2, "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
                  "pass_environment": ["UV_CACHE_DIR"], **images},
        "environments": [
            {"name": name, "account": ACCOUNT, "role": role, "sql": sql, **runtime}
            for name, role in ENVIRONMENTS
        ],
    }  # fmt: skip
    layout.config.touch(mode=0o600)
    layout.config.write_text(yaml.safe_dump(settings, sort_keys=False))


def aws_connection(layout: Layout) -> dict[str, str]:
    """Airflow's connection to the emulator's account, as the variable that Airflow reads."""
    connections = json.loads((layout.folder / "connections.json").read_text())
    return {"AIRFLOW_CONN_AWS_DEMO": json.dumps(connections["aws_demo"])}
