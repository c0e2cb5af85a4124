"""e2e of a deploy by hand: the time that it has, and what people read of its tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from sqlalchemy import Engine, select, update

from daybreak.environment.bcd import deploy as stage
from daybreak.environment.bcd.engine import build, run_bcd
from daybreak.environment.bcd.prepare import prepare
from daybreak.environment.bcd.report import Outcome
from daybreak.environment.bcd.request import Request
from daybreak.environment.bcd.settle import settle
from daybreak.environment.bcd.work import Work
from daybreak.environment.e2e import E2EResult
from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.registry import tables
from daybreak.registry.outbox import Outbox
from daybreak.settings import Settings
from daybreak.store import Store
from daybreak.talk.bobby.notices import render
from examples.standins.aws.emulator import AwsEmulator
from tests.fixtures.registry import ManualClock
from tests.merge.small import monorepo
from tests.monorepo import Monorepo

ASKED = Request("dev-01", e2e=True)
FLAKY = "flaky, passed when tried again: left.test_left::test_left_is_good"


@dataclass
class Bench:
    """One environment that is there and runs nothing yet, and a monorepo of two things with suites."""

    installation: Installation
    repository: Monorepo

    def says(self, **values: str) -> None:
        self.repository.commit({f"{name}/value.txt": f"{value}\n" for name, value in values.items()})

    def messages(self) -> list[str | None]:
        """What the environment's history says."""
        query = select(tables.events.c.message)
        with self.installation.engine.connect() as connection:
            return list(connection.execute(query).scalars())


@pytest.fixture
def bench(
    tmp_path: Path, sqlite_registry: Engine, clock: ManualClock, aws: AwsEmulator, aws_account: str
) -> Bench:
    (state := tmp_path / "state").mkdir()
    repository = Monorepo(tmp_path / "acme")
    repository.commit(monorepo(state))
    settings = Settings.model_validate({
        "monorepo": {"url": str(repository.path)}, "home": str(tmp_path / "home"),
        "aws": {"endpoint_url": aws.endpoint_url, "accounts": {aws_account: {}}},
        "environments": [{"name": "dev-01", "account": aws_account}],
        "build": {"timeout_seconds": 3600}, "people": [{"name": "dana"}],
    })  # fmt: skip
    session = boto3.Session(aws_account, "x", region_name="us-east-1")
    store = Store(settings.store_url)
    installation = Installation(settings, sqlite_registry, store, lambda _: session, clock)
    installation.register()
    with sqlite_registry.begin() as connection:
        connection.execute(update(tables.environments).values(state=State.READY, nonce="a-night-s"))
    return Bench(installation, repository)


def test_what_passed_only_when_it_was_tried_again_is_ready_and_named_wherever_it_is_told(
    bench: Bench, clock: ManualClock
) -> None:
    bench.says(left="flaky")
    said: list[str] = []
    report = run_bcd(bench.installation, "bcd-1", ASKED, actor="dana", say=said.append)
    assert (report.outcome, report.state, report.wrong) == (Outcome.DONE, "READY", ()), report.table()
    assert report.notes == (FLAKY,)
    assert report.table()[-2] == FLAKY
    assert f"e2e passed, 3 tests; {FLAKY}" in said
    [told] = Outbox(bench.installation.engine, clock).claim()
    text = render(told.payload, clock(), bench.installation.settings.night.tzinfo).text
    assert FLAKY in text.splitlines()
    assert f"bcd: complete; {FLAKY}" in bench.messages()
    # Asked again it is the report that was kept.
    assert settle(bench.installation, "bcd-1") == report


def test_what_failed_twice_is_what_is_wrong_and_the_flaky_one_is_named_beside_it(bench: Bench) -> None:
    bench.says(left="flaky", right="bad")
    report = run_bcd(bench.installation, "bcd-1", ASKED, actor="dana", say=lambda _: None)
    assert (report.outcome, report.state) == (Outcome.FAILED, "DEGRADED"), report.table()
    assert report.wrong == ("e2e failed: right.test_right::test_right_is_good",)
    assert report.notes == (FLAKY,)


@dataclass(frozen=True)
class Watched(Work):
    """Work that says until when its e2e may take."""

    given: list[timedelta | None] = field(default_factory=list)

    def e2e(self, *words: object, **more: object) -> E2EResult:
        env = self.installation.environments.get(self.environment)
        assert env.op_deadline is not None
        assert env.op_since is not None
        self.given.append(env.op_deadline - env.op_since)
        return super().e2e(*words, **more)  # type: ignore[arg-type]


def test_suites_have_the_time_of_two_tries_and_the_lock_lasts_as_long_as_the_run_may(bench: Bench) -> None:
    prepare(bench.installation, "bcd-1", ASKED, "dana")
    env = bench.installation.environments.get("dev-01")
    assert env.lease_since is not None
    assert env.lease_until is not None
    assert env.lease_until - env.lease_since == timedelta(hours=4, minutes=30)
    work = Watched(bench.installation, "bcd-1", ASKED, "dana")
    build(work, lambda _: None)
    stage.deploy(work)
    assert stage.e2e(work)["verdict"] == "passed"
    assert work.given == [timedelta(hours=2, minutes=30)]
    assert settle(bench.installation, "bcd-1").ok
    assert bench.installation.environments.get("dev-01").lease_owner is None
