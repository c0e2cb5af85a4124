"""The process driver on a real host: virtual environment by key, health, and the way back."""

from __future__ import annotations

import json
import textwrap
import urllib.request
from pathlib import Path

import pytest

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.driver import Package
from daybreak.deploy.host import Health, HostDown, ServiceUnhealthy
from daybreak.deploy.process import ProcessDriver
from daybreak.errors import LostOp
from tests.deploy.conftest import SERVICE, Deploys, RunningHost

TRIPS = CatalogResource("trips", ResourceType.SERVICE, options={"healthy_seconds": 30})
DRIVER = ProcessDriver()
CRASH = "import os, sys; print('no database at', os.environ['DATABASE_URL'], flush=True); sys.exit(3)"


@pytest.fixture
def here(deploys: Deploys, host: RunningHost) -> Deploys:
    assert host.home == deploys.home
    return deploys


def package(deploys: Deploys, key: str, program: str = SERVICE) -> Package:
    runtime = {
        "schema": 1, "python": "3.11", "command": ["python", "-S", "-c", textwrap.dedent(program)],
        "health": "/healthz", "wheels": [],
    }  # fmt: skip
    files = {"runtime.json": json.dumps(runtime), "requirements.txt": "", "wheels/.keep": ""}
    return deploys.package(files, key, "trips")


def environment_of(url: str) -> dict[str, str]:
    with urllib.request.urlopen(f"{url}/env", timeout=5) as answer:
        return dict(json.loads(answer.read()))


def test_a_service_runs_in_its_own_virtual_environment_with_the_contract(here: Deploys) -> None:
    target = here.target(DAYBREAK_ENVIRONMENT="dev-01", DATABASE_URL="postgresql://u:secret@h/d")

    provided = DRIVER.deploy(TRIPS, package(here, "k1"), target)

    variables = environment_of(provided["TRIPS_URL"])
    runtime = here.home / "runtimes" / "k1"
    assert variables["DAYBREAK_ENVIRONMENT"] == "dev-01"
    assert variables["DATABASE_URL"] == "postgresql://u:secret@h/d"
    assert variables["PATH"].startswith(f"{runtime / 'bin'}:")
    assert (runtime / "bin" / "python").exists()
    assert set(variables) - {"LC_CTYPE"} == {"DAYBREAK_ENVIRONMENT", "DATABASE_URL", "PORT", "PATH", "LANG"}


def test_it_is_observed_by_its_key_while_it_is_healthy(here: Deploys, host: RunningHost) -> None:
    target = here.target()
    assert DRIVER.observe(TRIPS, target) is None
    first = DRIVER.deploy(TRIPS, package(here, "k1"), target)
    assert DRIVER.observe(TRIPS, target) == "k1"
    assert DRIVER.observe(TRIPS, here.target("dev-02")) is None

    second = DRIVER.deploy(TRIPS, package(here, "k2"), target)

    assert second == first
    assert DRIVER.observe(TRIPS, target) == "k2"
    DRIVER.destroy(TRIPS, target)
    assert DRIVER.observe(TRIPS, target) is None
    host.end()
    assert DRIVER.observe(TRIPS, target) is None


def test_one_that_never_becomes_healthy_gives_way_to_what_ran_before(
    here: Deploys, host: RunningHost
) -> None:
    target = here.target(DATABASE_URL="postgresql://u:topsecret@h/d")
    DRIVER.deploy(TRIPS, package(here, "good"), target)

    with pytest.raises(
        ServiceUnhealthy, match=r"(?s)keeps crashing.*no database at.*trips good runs again"
    ) as caught:
        DRIVER.deploy(TRIPS, package(here, "bad", CRASH), target)

    assert "topsecret" not in str(caught.value)
    assert host.client.wait_healthy("dev-01", "trips", 20).health is Health.HEALTHY
    assert DRIVER.observe(TRIPS, target) == "good"


def test_without_a_host_nothing_is_built_for_it(deploys: Deploys) -> None:
    with pytest.raises(HostDown, match="daybreak host --home"):
        DRIVER.deploy(TRIPS, package(deploys, "k1"), deploys.target())
    assert not (deploys.home / "runtimes").exists()


def test_who_lost_the_op_does_not_start_anything(here: Deploys, host: RunningHost) -> None:
    here.lost = LostOp("another try works here")
    with pytest.raises(LostOp):
        DRIVER.deploy(TRIPS, package(here, "k1"), here.target())
    assert host.client.list() == ()


def test_it_works_in_a_folder_of_its_own_not_in_the_shared_environment(
    here: Deploys, host: RunningHost
) -> None:
    writes = "open('state', 'w').close()\n" + SERVICE
    for environment in ("dev-01", "dev-02"):
        DRIVER.deploy(TRIPS, package(here, "k1", writes), here.target(environment))
    written = sorted(path.relative_to(here.home) for path in here.home.rglob("state"))
    assert written == [Path(f"host/work/dev-{n}/trips/state") for n in ("01", "02")]
