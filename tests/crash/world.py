"""A small company with one environment, whose nights are short enough to be killed hundreds of times.

acme with fewer resources: one of each kind that a night changes. Builds, virtual environments and the host
are shared by all worlds of a session; account, databases and registry are each world's own.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import boto3
from sqlalchemy import create_engine, make_url, text

from daybreak.aws import session as aws_session
from daybreak.aws.retry import Policy
from daybreak.deploy.host import HostClient, HostDown
from daybreak.environment.installation import Installation
from daybreak.environment.night.engine import run_night
from daybreak.environment.night.prepare import Request
from daybreak.settings import Settings
from examples.acme_history import create_repository
from tests.crash.points import Points
from tests.monorepo import Monorepo

#: A schedule that stays overnight, so that the morning has one to switch on again.
_AUDIT = """Resources:
  DailyAudit:
    Type: AWS::Events::Rule
    Properties: {Name: !Sub "${Environment}-daily-audit", ScheduleExpression: rate(1 day), State: ENABLED}
"""
_DROPPED = ("TELEMETRY", "TRIPS", "BILLING", "MOBILITY")


def small_monorepo(folder: Path) -> tuple[str, str]:
    """acme without most of its packages and services; the ids of yesterday and today."""
    create_repository(folder)
    monorepo = Monorepo(folder)
    declared = (folder / "resources.py").read_text()
    for name in _DROPPED:
        declared = re.sub(rf"^{name} = Resource\(.*?\n\)(  # fmt: skip)?\n", "", declared, flags=re.M | re.S)
    suites = [each for each in (folder / "e2e").iterdir() if each.is_dir() and each.name != "fleet"]
    for suite in suites:
        monorepo.remove(f"e2e/{suite.name}")
    base = (folder / "infra/base/template.yaml").read_text()
    changes = {"resources.py": declared, "infra/base/template.yaml": base.replace("Resources:\n", _AUDIT)}
    yesterday = monorepo.commit(changes)
    today = monorepo.commit({"packages/common/src/acme_common/today.py": '"""New."""\n'})
    return yesterday, today


@dataclass(frozen=True)
class Shared:
    """What all worlds of a session have in common."""

    folder: Path
    endpoint: str
    server: str
    yesterday: str
    today: str

    @property
    def home(self) -> Path:
        """One home: artifacts, virtual environments, host."""
        return self.folder / "h"

    @contextmanager
    def host(self) -> Iterator[None]:
        """The host of the services while the block runs."""
        process = subprocess.Popen([sys.executable, "-m", "daybreak.deploy.host", "--home", str(self.home)])
        try:
            while True:
                try:
                    HostClient(self.home).ping()
                    break
                except HostDown:
                    time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


class World:
    """One account with one environment, dirty as after a day of use."""

    def __init__(self, shared: Shared, account: str = "") -> None:
        self.shared = shared
        self.account = account or str(10**11 + secrets.randbelow(9 * 10**11))
        self.name = f"dev-{self.account}"
        self.registry = shared.folder / "registries" / f"{self.account}.db"
        self.registry.parent.mkdir(parents=True, exist_ok=True)
        self.settings = Settings.model_validate(
            {
                "monorepo": {"url": str(shared.folder / "acme")},
                "home": str(shared.home),
                "registry": f"sqlite:///{self.registry}",
                "aws": {
                    "endpoint_url": shared.endpoint,
                    "accounts": {self.account: {"workload": {"access_key_id": self.account,
                                                             "secret_access_key": "x"}}},
                },
                "environments": [{"name": self.name, "account": self.account, "sql": self._sql()}],
            }
        )  # fmt: skip
        self.installation = self.open()
        self.installation.register()
        self.installation.switches.arm(self.account, "test")

    def _sql(self) -> str:
        url = make_url(self.shared.server).set(database="DATABASE")
        return url.render_as_string(hide_password=False).replace("DATABASE", "{database}")

    def open(self) -> Installation:
        """A new installation with clients and connections of its own."""
        session = boto3.Session(self.account, "x", region_name="us-east-1")
        aws_session.prepare(session, Policy(attempts=3))
        return Installation.open(self.settings, lambda _: session)

    def client(self, service: str) -> Any:
        """A plain client, which no point knows."""
        session = boto3.Session(self.account, "x", region_name="us-east-1")
        return session.client(service, endpoint_url=self.shared.endpoint)

    def night(
        self, run_id: str, ref: str | None = None, installation: Installation | None = None
    ) -> list[str]:
        """Run a night of the environment in this process; returns what it said."""
        said: list[str] = []
        request = Request(environments=(self.name,), wait=False, ref=ref)
        run_night(installation or self.installation, run_id, request, actor="test", say=said.append)
        return said

    def yesterday(self) -> None:
        """Build it from yesterday's main, use it, leave things lying about."""
        self.night("yesterday", self.shared.yesterday)
        self.client("dynamodb").put_item(TableName=f"{self.name}-reference", Item={"id": {"S": "left over"}})
        lake = f"{self.name}-lake-{self.account}"
        self.client("s3").put_object(Bucket=lake, Key="tmp/export.csv", Body=b"stale")
        with self.database().begin() as connection:
            connection.execute(text("CREATE TABLE scratch (note VARCHAR(9))"))

    def database(self) -> Any:
        """The environment's database."""
        return create_engine(self.settings.environment(self.name).database_url("fleet_db"))

    def started(self, run_id: str, **environ: str) -> BaseProcess:
        """The night in a process of its own that knows the points."""
        process = _FORKSERVER.Process(target=_night, args=(self.shared, self.account, run_id, environ))
        process.start()
        return process

    def told(self, run_id: str) -> dict[str, list[str]]:
        """What a forked night that came to its end wrote: its points and what it said."""
        found: dict[str, list[str]] = json.loads(
            (self.shared.folder / f"{self.account}.{run_id}.json").read_text()
        )
        return found

    def close(self) -> None:
        """Stop its services and drop its database."""
        HostClient(self.shared.home).remove(self.name)
        self.installation.engine.dispose()


def _night(shared: Shared, account: str, run_id: str, environ: dict[str, str]) -> None:
    world = World(shared, account)
    points = Points.of(environ)
    points.install(world.installation.engine)
    said = world.night(run_id)
    told = shared.folder / f"{account}.{run_id}.json"
    told.write_text(json.dumps({"path": points.path, "said": said}))


def ended(process: BaseProcess) -> int:
    """Wait for a night that was started: 0, or minus the signal that ended it."""
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def stopped(process: BaseProcess) -> bool:
    """Wait until a night that was started stands still; false when it ended before."""
    while process.is_alive():
        if Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return True
        time.sleep(0.02)
    return False


#: Forked from a clean process that has imported all this: what is open here does not survive a fork.
_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["tests.crash.world"])
