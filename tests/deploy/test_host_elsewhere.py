"""A host on another machine: tasks reach it over TCP, its services by its name, and share no disk with it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from daybreak.build.artifact import Artifacts
from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.host import HostClient, HostDown, ServiceUnhealthy
from daybreak.deploy.process import ProcessDriver
from daybreak.errors import DaybreakError
from daybreak.settings import HostSettings
from daybreak.store import Store
from tests.deploy.conftest import SERVICE, Deploys, eventually
from tests.deploy.test_process import CRASH, package

TRIPS = CatalogResource("trips", ResourceType.SERVICE, options={"healthy_seconds": 30})
TOKEN = "a token of the tests"


@dataclass
class Elsewhere:
    """A machine with a home of its own, at an address of its own; all that is shared is the store."""

    settings: HostSettings
    config: Path
    home: Path
    store: Store
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "daybreak.cli.main", "host"]
        self.process = subprocess.Popen(
            command, env={"PATH": "/usr/bin:/bin", "DAYBREAK_CONFIG": str(self.config)}
        )
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the host ended"
        try:
            return self.client().ping() == self.process.pid
        except HostDown:
            return False

    def client(self, **other: str) -> HostClient:
        said = {"address": self.settings.address, "token": TOKEN, **other}
        return HostClient(Path("/nowhere"), HostSettings(**said))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("elsewhere")
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        address = f"127.0.0.2:{probe.getsockname()[1]}"
    settings = {
        "home": str(folder / "home"), "store": (folder / "store").as_uri(),
        "host": {"address": address, "token": TOKEN},
    }  # fmt: skip
    (folder / "daybreak.yaml").write_text(yaml.safe_dump(settings))
    made = Elsewhere(
        HostSettings(address=address, token=TOKEN), folder / "daybreak.yaml", folder / "home",
        Store(settings["store"]),
    )  # fmt: skip
    made.start()
    yield made
    assert made.process is not None
    made.process.terminate()
    made.process.wait(30)


@pytest.fixture
def worker(deploys: Deploys, elsewhere: Elsewhere) -> Target:
    return Target(**{**vars(deploys.target(SAY="hello")), "host": elsewhere.settings})


def built(deploys: Deploys, elsewhere: Elsewhere, key: str, program: str = SERVICE) -> Package:
    """An artifact as a build on some worker leaves it: in the store."""
    made = package(deploys, key, program)
    Artifacts(elsewhere.store).save(made.resource, key, made.commit, made.folder, {})
    return made


def test_a_worker_deploys_on_it_and_reaches_the_service_by_its_name(
    deploys: Deploys, elsewhere: Elsewhere, worker: Target
) -> None:
    driver = ProcessDriver()
    provided = driver.deploy(TRIPS, built(deploys, elsewhere, "k1"), worker)

    url = provided["TRIPS_URL"]
    assert url.startswith("http://127.0.0.2:")
    with urllib.request.urlopen(f"{url}/env", timeout=5) as answer:
        seen = json.load(answer)
    assert seen["SAY"] == "hello"
    assert seen["PATH"].startswith(f"{elsewhere.home}/runtimes/k1/bin:")
    assert not (deploys.home / "runtimes").exists(), "the worker made what only the host needs"
    assert driver.provides(TRIPS, worker) == provided

    # Another worker, whose disk is empty, sees and replaces the same service.
    shutil.rmtree(deploys.home)
    assert driver.observe(TRIPS, worker) == "k1"
    with pytest.raises(ServiceUnhealthy, match=r"(?s)no database at.*trips k1 runs again"):
        driver.deploy(TRIPS, built(deploys, elsewhere, "bad", CRASH), Target(
            **{**vars(worker), "variables": {"DATABASE_URL": "postgresql://u:secret@h/d"}}
        ))  # fmt: skip

    # A killed host revives it under the same address.
    elsewhere.kill()
    with pytest.raises(HostDown, match="no daybreak host answers at"):
        elsewhere.client().ping()
    elsewhere.start()
    eventually(lambda: driver.observe(TRIPS, worker) == "k1")
    assert driver.provides(TRIPS, worker) == provided

    driver.destroy(TRIPS, worker)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/env", timeout=5)


def test_who_does_not_know_the_token_gets_nothing(elsewhere: Elsewhere) -> None:
    with pytest.raises(DaybreakError, match="does not know this token") as caught:
        elsewhere.client(token="another of some length").list()
    assert caught.value.code == "forbidden"
    with socket.create_connection(elsewhere.settings.address.split(":"), 5) as bare:
        bare.sendall(b'{"op": "list"}\n')
        assert b"forbidden" in bare.makefile("rb").readline()


def test_what_the_store_does_not_have_is_said_by_its_code(elsewhere: Elsewhere) -> None:
    with pytest.raises(DaybreakError, match="trips/k9") as caught:
        elsewhere.client().prepare("dev-01", "trips", "k9")
    assert caught.value.code == "not_in_store"
    with pytest.raises(DaybreakError, match="no content key"):
        elsewhere.client().prepare("dev-01", "trips", "../../etc")


def test_a_host_on_a_machine_that_the_settings_do_not_name_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / "daybreak.yaml").write_text(
        yaml.safe_dump(
            {"home": str(tmp_path / "home"), "host": {"address": "192.0.2.7:8970", "token": TOKEN}}
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "daybreak.cli.main", "host"], capture_output=True, text=True, timeout=60,
        env={"PATH": "/usr/bin:/bin", "DAYBREAK_CONFIG": str(tmp_path / "daybreak.yaml")},
    )  # fmt: skip
    assert done.returncode == 2
    assert "'192.0.2.7' is no name of this machine" in done.stderr
