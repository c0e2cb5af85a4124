"""Every step of a night on another machine: they share the registry, the store and AWS, never a disk."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml

from daybreak.build.artifact import Artifacts
from daybreak.build.runner import Outcome, build_all
from daybreak.catalog.snapshot import stored
from daybreak.environment.calendar import Phase
from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.environment.night import evening, morning
from daybreak.environment.night.prepare import Request, decide_night, pin
from daybreak.environment.night.verdict import verdict
from daybreak.environment.night.work import Work, run
from daybreak.settings import HostSettings
from tests.fixtures.night import World

pytestmark = pytest.mark.deep

Machine = Callable[[], Installation]


@pytest.fixture
def host(tmp_path: Path, built: Path) -> Iterator[HostSettings]:
    """The machine on which services run: 127.0.0.2, with a home of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        said = {"address": f"127.0.0.2:{probe.getsockname()[1]}", "token": "a token of the tests"}
    home = tmp_path / "services"
    home.mkdir()
    (home / "runtimes").symlink_to(built / "runtimes", target_is_directory=True)
    config = tmp_path / "services.yaml"
    config.write_text(yaml.safe_dump({"home": str(home), "store": (built / "store").as_uri(), "host": said}))
    process = subprocess.Popen(
        [sys.executable, "-m", "daybreak.cli.main", "host"], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "DAYBREAK_CONFIG": str(config)},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert "answers at" in process.stderr.readline()
        yield HostSettings.model_validate(said)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def machine(tmp_path: Path, world: World, host: HostSettings) -> Machine:
    """Each call is a machine that was never seen before, with an empty disk; the last one's is gone."""
    numbers = itertools.count()

    def new() -> Installation:
        number = next(numbers)
        shutil.rmtree(tmp_path / f"machine-{number - 1}", ignore_errors=True)
        changed = {"home": tmp_path / f"machine-{number}", "host": host}
        return replace(world.installation, settings=world.settings.model_copy(update=changed))

    return new


def test_each_step_of_a_night_goes_on_where_another_machine_ended(world: World, machine: Machine) -> None:
    name = world.names[0]
    world.installation.switches.arm(world.account, "test")

    def begun(run_id: str, *phases: Phase) -> Callable[[], Work]:
        request = Request(environments=(name,), wait=False, phases=frozenset(phases))
        night, (decision,) = decide_night(machine(), run_id, request)
        return lambda: Work(machine(), run_id, night, decision, "test", last_try=True)

    work = begun("morning", Phase.REBUILD)
    plan = pin(machine(), Request(environments=(name,), wait=False), "morning")
    keys = {step.name: step.key for step in plan.steps}
    builder = machine()
    catalog, artifacts = stored(builder.store, plan.commit), Artifacts(builder.store)
    built = list(build_all(
        builder.mirror(), catalog, list(keys), keys, artifacts, builder.home, builder.settings.build, print
    ))  # fmt: skip
    assert Outcome.FAILED not in {each.outcome for each in built}
    for stage in morning.STAGES:
        here = work()
        run(here, morning.stage_for(here, stage))
    assert verdict(work())["verdict"] == "passed"

    row = world.environment(name)
    assert (row.state, row.verdict, row.commit) == (State.READY, "passed", world.today)
    (url,) = {each.url for each in machine().host.list(name) if each.service == "trips"}
    assert url.startswith("http://127.0.0.2:")
    assert httpx.get(f"{url}/healthz").json() == {"environment": name, "commit": world.today}

    work = begun("evening", Phase.TEARDOWN)
    evening.quiesce(work())
    assert machine().host.list(name) == ()
    evening.tear_down(work())
    assert world.environment(name).state is State.ABSENT
    # Nothing of it was done where the world itself is at home.
    assert not (world.settings.home / "artifacts").exists()
