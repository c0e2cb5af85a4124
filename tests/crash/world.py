"""A small company with one environment, whose nights are short enough to be killed hundreds of times.

acme with fewer resources: one of each kind that a night changes.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import botocore.loaders
import botocore.session
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from daybreak.aws import session as aws_session
from daybreak.aws.retry import Policy
from daybreak.deploy.host import HostClient, HostDown
from daybreak.environment.installation import Installation
from daybreak.environment.night.engine import run_night
from daybreak.environment.night.prepare import Request
from daybreak.errors import LostOp
from daybreak.settings import Settings
from examples.acme_history import create_repository
from tests.crash.points import Points
from tests.fixtures.aws import new_account
from tests.monorepo import Monorepo

#: A schedule that stays overnight, so that the morning has one to switch on again.
_AUDIT = """Resources:
  DailyAudit:
    Type: AWS::Events::Rule
    Properties: {Name: !Sub "${Environment}-daily-audit", ScheduleExpression: rate(1 day), State: ENABLED}
"""
#: Imports little: it runs in every night.
_E2E = """import json
import os
from urllib.request import urlopen


def test_the_seeded_vehicles_are_there_and_nothing_else():
    found = {each["vin"] for each in json.load(urlopen(os.environ["FLEET_URL"] + "/vehicles"))}
    assert {"1HGCM82633A004352", "5YJSA1E26HF000337"} < found and len(found) == 3
"""
#: Whose unit tests stay, and are new today: building is killed once at each kind of point.
_TESTED = "services/fleet"
_DROPPED = {
    "TELEMETRY": "services/telemetry",
    "TRIPS": "services/trips",
    "BILLING": "packages/billing",
    "MOBILITY": "packages/mobility",
}


def small_monorepo(folder: Path) -> tuple[str, str]:
    """acme without most of its packages and services; the ids of yesterday and today."""
    create_repository(folder)
    monorepo = Monorepo(folder)
    declared = (folder / "resources.py").read_text()
    for name, path in _DROPPED.items():
        monorepo.remove(path)
        declared = re.sub(rf"^{name} = Resource\(.*?\n\)(  # fmt: skip)?\n", "", declared, flags=re.M | re.S)
    for each in sorted((folder / "e2e").iterdir()):
        if each.is_dir() or each.name == "conftest.py":
            monorepo.remove(f"e2e/{each.name}")
    tested = {
        str(each.relative_to(folder)): each.read_text() for each in folder.glob(f"{_TESTED}/tests/*.py")
    }
    for tests in sorted(folder.glob("*/*/tests")):
        monorepo.remove(str(tests.relative_to(folder)))
    base = (folder / "infra/base/template.yaml").read_text()
    changes = {
        "e2e/fleet/test_fleet.py": _E2E,
        "e2e/requirements.txt": files("daybreak.build").joinpath("pytest-lock.txt").read_text(),
        "resources.py": declared,
        "infra/base/template.yaml": base.replace("Resources:\n", _AUDIT),
    }
    yesterday = monorepo.commit(changes)
    return yesterday, monorepo.commit(tested)


@dataclass(frozen=True)
class Shared:
    """What all worlds of a session have in common.

    :param built: artifacts and virtual environments by content key, which others may have filled.
    :param server: the PostgreSQL that has the environment's database, and by default the registry.
    :param sqlite: keep the registry in a file instead.
    """

    folder: Path
    built: Path
    endpoint: str
    server: str
    yesterday: str
    today: str
    account: str = field(default_factory=new_account)
    sqlite: bool = False

    @property
    def home(self) -> Path:
        """One home: local artifacts, host."""
        return self.folder / "h"

    @property
    def registry(self) -> URL:
        """Where the registry is."""
        if self.sqlite:
            return make_url(f"sqlite:///{self.folder / 'registry.db'}")
        return make_url(self.server).set(database=f"registry_{self.account}")

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.built / "store"

    @contextmanager
    def host(self) -> Iterator[None]:
        """The host of the services while the block runs, and a registry."""
        if not self.sqlite:
            administer(self.server, f'CREATE DATABASE "{self.registry.database}"')
        self.home.mkdir()
        (self.home / "runtimes").symlink_to(self.built / "runtimes", target_is_directory=True)
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

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.account = shared.account
        self.name = f"dev-{self.account}"
        self.clients: dict[str, Any] = {}
        self.settings = Settings.model_validate(
            {
                "monorepo": {"url": str(shared.folder / "acme")},
                "home": str(shared.home),
                "store": shared.store.as_uri(),
                "registry": shared.registry.render_as_string(hide_password=False),
                "night": {"retry_seconds": 0.1},
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
        session = _session(self.account)
        aws_session.prepare(session, Policy(attempts=3))
        return Installation.open(self.settings, lambda _: session)

    def client(self, service: str) -> Any:
        """A plain client, which no point knows."""
        if service not in self.clients:
            self.clients[service] = _session(self.account).client(service, endpoint_url=self.shared.endpoint)
        return self.clients[service]

    def night(
        self,
        run_id: str,
        ref: str | None = None,
        installation: Installation | None = None,
        said: list[str] | None = None,
    ) -> list[str]:
        """Run a night of the environment in this process; returns what it said, also if it fails."""
        said = [] if said is None else said
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

    @property
    def database_name(self) -> str:
        """What the environment's database is called."""
        return self.settings.environment(self.name).database_name("fleet_db")

    def database(self) -> Any:
        """The environment's database."""
        return create_engine(self.settings.environment(self.name).database_url("fleet_db"))

    def started(self, run_id: str, **environ: str) -> BaseProcess:
        """The night in a process of its own that knows the points."""
        process = _FORKSERVER.Process(target=_night, args=(self.shared, run_id, environ))
        process.start()
        return process

    def supervised(self, run_id: str) -> tuple[BaseProcess, int]:
        """The night in a child of the process that is returned; the child's id."""
        path = self.shared.folder / f"{run_id}.pid"
        path.unlink(missing_ok=True)
        supervisor = _FORKSERVER.Process(target=_supervise, args=(self.shared, run_id, path))
        supervisor.start()
        while not path.exists() or not path.read_text().endswith("\n"):
            time.sleep(0.01)
        return supervisor, int(path.read_text())

    def told(self, run_id: str) -> dict[str, list[str]]:
        """What a forked night that came to its end wrote: its points and what it said."""
        found: dict[str, list[str]] = json.loads((self.shared.folder / f"{run_id}.json").read_text())
        return found

    def close(self) -> None:
        """Stop its services and drop its database."""
        HostClient(self.shared.home).remove(self.name)
        self.installation.engine.dispose()


def administer(server: str, *statements: str) -> None:
    """Statements on a server, each committed by itself."""
    engine = create_engine(make_url(server), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def _night(shared: Shared, run_id: str, environ: dict[str, str]) -> None:
    world = World(shared)
    points = Points.of(environ)
    points.install(world.installation.engine)
    said: list[str] = []
    try:
        world.night(run_id, said=said)
    except LostOp as lost:
        said.append(f"an orphan: {lost}")
    told = shared.folder / f"{run_id}.json"
    told.write_text(json.dumps({"path": points.path, "said": said}))


def _supervise(shared: Shared, run_id: str, path: Path) -> None:
    """As Airflow's supervisor does: the work is in a child, which outlives a kill of this process."""
    child = os.fork()
    if not child:
        _night(shared, run_id, {})
        os._exit(0)
    path.write_text(f"{child}\n")
    os.waitpid(child, 0)


def ended(process: BaseProcess) -> int:
    """Wait for a night that was started: 0, or minus the signal that ended it."""
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def stopped(process: BaseProcess) -> bool:
    """Wait until a night that was started stands still; false when it ended before."""
    while process.is_alive():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread, or all of them, ended
            states = [each.read_text() for each in Path(f"/proc/{process.pid}/task").glob("*/stat")]
            if states and all(state.rpartition(")")[2].split()[0] == "T" for state in states):
                return True
        time.sleep(0.02)
    return False


def _session(account: str) -> boto3.Session:
    core = botocore.session.Session()
    core.register_component("data_loader", _LOADER)
    return boto3.Session(account, "x", region_name="us-east-1", botocore_session=core)


#: Reading the services' models is what makes clients slow: once, and before the fork.
_LOADER = botocore.loaders.create_loader()
for _service in (
    "cloudformation", "dynamodb", "ec2", "emr", "events", "glue", "lambda", "logs", "s3", "scheduler", "sqs",
    "sts", "resourcegroupstaggingapi",
):  # fmt: skip
    _LOADER.load_service_model(_service, "service-2")
    with contextlib.suppress(botocore.exceptions.UnknownServiceError):
        _LOADER.load_service_model(_service, "endpoint-rule-set-1")
_LOADER.load_data("endpoints")

#: Forked from a clean process that has imported all this: what is open here does not survive a fork.
_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["tests.crash.world"])
