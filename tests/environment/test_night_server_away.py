"""PostgreSQL, which holds the registry and the environments' databases, restarts in the middle of a night."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from daybreak.environment.machine import State
from daybreak.environment.nights import NightStatus
from daybreak.environment.steps import StepStatus
from examples.standins.aws.emulator import AwsEmulator
from examples.standins.postgres import Postgres
from tests.fixtures.night import World, running

pytestmark = [pytest.mark.aws, pytest.mark.postgres, pytest.mark.deep]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    made = Postgres(tmp_path / "pg").start()
    made.create("daybreak")
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def away_world(
    tmp_path: Path, aws: AwsEmulator, aws_account: str, server: Postgres, built: Path
) -> Iterator[World]:
    registry = server.url("daybreak")
    with running(tmp_path, aws, aws_account, server.url("postgres"), built, registry) as made:
        made.installation.switches.arm(made.account, "test")
        yield made


class Crashes:
    """Ends the server as a power cut does, when the night first says each of the words; it comes back."""

    def __init__(self, server: Postgres, *words: str) -> None:
        self.server, self.words, self.count = server, list(words), 0
        self._one = threading.Lock()
        self._coming = threading.Thread()

    def __call__(self, line: str) -> None:
        with self._one:
            word = next((word for word in self.words if line.endswith(word)), None)
            if word is None:
                return
            self.words.remove(word)
            if self.count:
                self._coming.join()
            # Its children, the sessions, end with it: what was not committed is lost.
            os.kill(self.server.pid, signal.SIGQUIT)
            while self.server._alive():
                time.sleep(0.02)
            self.count += 1
            self._coming = threading.Thread(target=self._come_back)
            self._coming.start()

    def _come_back(self) -> None:
        time.sleep(1.5)
        self.server.start()


def test_a_night_survives_a_crash_of_its_server_in_every_part(away_world: World, server: Postgres) -> None:
    away_world.night("first")
    crashes = Crashes(server, ": quiesce", ": scorch", ": deploy")
    said = away_world.night("second", hears=crashes)
    assert crashes.count == 3, said
    assert any("try 1 of 2" in line for line in said), said
    for name in away_world.names:
        assert away_world.environment(name).state is State.READY, said
        assert away_world.ended("second", name).status is NightStatus.DONE
        steps = away_world.installation.nights.steps("second", environment=name)
        assert {step.status for step in steps} == {StepStatus.DONE}
        with away_world.database(name).connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM vehicles")).scalar_one() > 0
