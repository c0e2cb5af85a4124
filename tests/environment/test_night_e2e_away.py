"""AWS goes away while the suites run: what cannot be known of main is not said of it.

One night of two environments from nothing; whoever runs the suites says so, and waits until AWS is away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daybreak.aws import journal
from daybreak.aws import session as aws_session
from daybreak.aws.retry import Policy
from daybreak.environment.machine import State
from daybreak.environment.steps import StepStatus
from examples.standins.aws.emulator import AwsEmulator
from tests.fixtures.aws import new_account
from tests.fixtures.night import World, running
from tests.fixtures.relay import Relay
from tests.fixtures.tiny import E2E, tiny_monorepo

pytestmark = [pytest.mark.aws, pytest.mark.postgres, pytest.mark.deep]

#: In front of the suite: says that it runs, and goes on when it may.
_GATE = """import os, pathlib, time
GATE = pathlib.Path(FOLDER)
with (GATE / os.environ["DAYBREAK_ENVIRONMENT"]).open("a") as tries:
    tries.write("x")
while not (GATE / "open").exists():
    time.sleep(0.02)
"""


class Gate:
    """Where suites wait."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder, self.names = folder, names
        folder.mkdir()

    def tries(self) -> dict[str, int]:
        """How often each environment's suites began."""
        found = {name: self.folder / name for name in self.names}
        return {name: path.stat().st_size if path.exists() else 0 for name, path in found.items()}

    def open(self) -> None:
        (self.folder / "open").touch()

    def shut(self) -> None:
        for each in self.folder.iterdir():
            each.unlink()


@pytest.fixture(scope="module")
def story(
    tmp_path_factory: pytest.TempPathFactory, aws: AwsEmulator, relay: Relay, postgres_url: str, built: Path
) -> Iterator[tuple[World, Gate]]:
    folder = tmp_path_factory.mktemp("e2e-away")
    accounts = {name: new_account() for name in ("dev-one", "dev-two")}
    gate = Gate(folder / "gate", list(accounts))
    suite = _GATE.replace("FOLDER", repr(str(gate.folder))) + E2E
    # Whoever runs them waits for AWS as long as anybody does; here that is soon.
    impatient = suite.replace("import boto3\n", "import boto3\nos.environ['AWS_MAX_ATTEMPTS'] = '1'\n")
    with running(
        folder, aws, accounts["dev-one"], postgres_url, built, endpoint=relay.url, accounts=accounts,
        monorepo=lambda path: tiny_monorepo(path, impatient),
    ) as world:  # fmt: skip
        for account, session in world.sessions.items():
            aws_session.prepare(session, Policy(attempts=5, base=0.2, cap=1.0))
            world.installation.switches.arm(account, "test")
        yield world, gate


@contextmanager
def away_during_e2e(relay: Relay, gate: Gate, until_asked: int | None) -> Iterator[None]:
    """Cut the wire once all suites run. It comes back when AWS was asked in vain so often, or never."""
    in_vain: list[str] = []
    done = threading.Event()

    def heard(call: journal.Call) -> None:
        if call.error is not None and call.service == "sts":
            in_vain.append(call.error)
            if until_asked is not None and len(in_vain) >= until_asked:
                relay.mend()

    def cut() -> None:
        while not done.is_set() and not all(gate.tries().values()):
            time.sleep(0.02)
        relay.cut()
        gate.open()

    cutter = threading.Thread(target=cut)
    with journal.listening(heard):
        cutter.start()
        try:
            yield
        finally:
            done.set()
            cutter.join()
            relay.mend()
    assert in_vain, "nobody asked AWS while it was away"


def test_an_aws_that_is_away_for_a_moment_costs_no_environment_its_verdict(
    story: tuple[World, Gate], relay: Relay
) -> None:
    world, gate = story
    with away_during_e2e(relay, gate, until_asked=3):
        said = world.night("moment")
    for name in world.names:
        row = world.environment(name)
        assert (row.state, row.verdict) == (State.READY, "passed"), said
        # Nobody takes it for a night in which nothing happened.
        assert any(
            f"{name}: passed flaky, passed when tried again: cloud.test_cloud::" in line for line in said
        )
    assert set(gate.tries().values()) == {2}


def test_an_aws_that_stays_away_faults_them_with_its_reason_and_the_next_night_heals_them(
    story: tuple[World, Gate], relay: Relay, aws: AwsEmulator
) -> None:
    world, gate = story
    gate.shut()
    with away_during_e2e(relay, gate, until_asked=None):
        said = world.night("gone")
    for name in world.names:
        row = world.environment(name)
        assert (row.state, row.fault_code) == (State.FAULTED, "EndpointConnectionError"), said
        assert str(row.fault_message).startswith(
            'e2e: Could not connect to the endpoint URL: "http://127.0.0.1'
        )
        [step] = [each for each in world.installation.nights.steps("gone", environment=name)
                  if each.step == "e2e"]  # fmt: skip
        assert (step.status, step.tries) == (StepStatus.FAILED, 2)

    # Slow for one, and for the other a call that is refused for good: that one is red, and of use.
    one, two = world.names
    aws.inject("delay", None, account=world.accounts[one], seconds=0.05)
    aws.inject("throttle", "dynamodb", "Scan", account=world.accounts[two])
    try:
        said = world.night("slow")
    finally:
        for account in world.accounts.values():
            aws.clear_faults(account)
    assert (world.environment(one).state, world.environment(one).verdict) == (State.READY, "passed"), said
    assert (world.environment(two).state, world.environment(two).verdict) == (State.DEGRADED, "failed"), said
    failed = dict(
        next(each.detail["failures"] for each in world.installation.nights.steps("slow", environment=two)
             if each.step == "e2e")
    )  # fmt: skip
    assert set(failed) == {
        "cloud.test_cloud::test_positions_were_generated",
        "cloud.test_cloud::test_nothing_of_yesterday_is_in_the_reference_table",
    }
    assert all("ThrottlingException" in why for why in failed.values())
