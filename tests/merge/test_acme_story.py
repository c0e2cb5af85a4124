"""acme's merge environment on real servers: services, stacks, a database, brought forward and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import inspect, text

from daybreak.deploy.host import HostClient
from daybreak.environment.machine import State
from daybreak.git import pushing
from daybreak.merge import protocol as p
from daybreak.merge.conf import Conf
from daybreak.merge.findings import Findings
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.run import Merge
from examples.standins.aws.emulator import AwsEmulator
from tests.fixtures.night import World, running
from tests.monorepo import Monorepo

TRIPS = "services/trips/src/acme_trips/app.py"
TELEMETRY = "services/telemetry/src/acme_telemetry/app.py"


@pytest.fixture
def merging(
    tmp_path: Path, aws: AwsEmulator, aws_account: str, postgres_url: str, built: Path
) -> Iterator[World]:  # fmt: skip
    accounts = {f"merge-{aws_account}": aws_account}
    with running(tmp_path, aws, aws_account, postgres_url, built, accounts=accounts) as made:
        made.installation.switches.arm(aws_account, "test")
        # Main is what is landed on: nobody has it checked out.
        repository = Monorepo(tmp_path / "acme")
        repository.git("checkout", "--quiet", "--detach")
        yield made


class Day:
    """Pull requests of acme, each in a run of its own."""

    def __init__(self, world: World) -> None:
        self.world, self.merge = world, Merge(world.installation)
        self.work = Monorepo(Path(world.settings.monorepo.url))
        [self.name] = world.names

    def run(self, number: int, changes: dict[str, tuple[str, str]], mode: str = "land") -> tuple[A, str]:
        """How the attempt ended, and why the entry did."""
        self.work.git("checkout", "--quiet", "--detach", "main")
        self.world.commit(changes)
        self.work.git("update-ref", f"refs/pull/{number}/head", "HEAD")
        merge = Merge(self.world.installation)  # as each task has its own
        entry = merge.resolve(Conf(number, mode=mode), "dana", f"asked-{number}-{mode}")
        run_id = f"pr-{number}-1"
        merge.pin(run_id, number, entry.sha)
        merge.enter(run_id, entry.id, "gandalf")
        for step in (p.deploy, p.test, p.land):
            merge.go(run_id, step(), "gandalf")
        state = merge.settle(run_id, "gandalf")
        assert state is not None
        merge.finish(run_id)
        return state, str(merge.queue.get(entry.id).reason)

    def found(self, number: int) -> Findings:
        found = Findings.of(self.world.installation.store, f"pr-{number}-1")
        assert found is not None
        return found

    def tables(self) -> set[str]:
        engine = self.world.database(self.name)
        try:
            return set(inspect(engine).get_table_names())
        finally:
            engine.dispose()

    def drivers(self) -> int:
        engine = self.world.database(self.name)
        try:
            with engine.connect() as connection:
                return int(connection.execute(text("SELECT count(*) FROM drivers")).scalar_one())
        finally:
            engine.dispose()

    def idle(self) -> None:
        env = self.world.environment(self.name)
        main = pushing.read(self.merge.url, "refs/heads/main")["refs/heads/main"]
        assert (env.state, env.op_token, env.commit) == (State.READY, None, main)
        assert Merge(self.world.installation).lane.ground.runs(main)


@pytest.mark.deep
def test_acme_s_pull_requests_and_what_they_leave_behind(merging: World) -> None:
    world, day = merging, Day(merging)
    said = world.night("morning")
    assert world.environment(day.name).state is State.READY, said

    # One service: it alone is deployed, and its suite and those that cover what needs it run.
    state, why = day.run(1, {TRIPS: ("from", "# faster\nfrom")})
    assert state is A.CONFIRMED, why
    found = day.found(1)
    assert set(found.deployed) == {"trips"}
    assert found.tests == 1
    assert "fleet" in found.skipped
    day.idle()

    # A service that does not come up is rejected; the one before runs again.
    url = HostClient(world.installation.home).status(day.name, "telemetry").url
    broken = {
        TELEMETRY: ("        positions.load()\n", '        raise RuntimeError("no positions today")\n'),
        "resources.py": (
            '"command": ["python", "-m", "acme_telemetry"]',
            '"command": ["python", "-m", "acme_telemetry"], "healthy_seconds": 1',
        ),
    }
    state, why = day.run(2, broken)
    assert (state, "telemetry was not healthy within 1 s" in why) == (A.REVERTED, True), why
    assert httpx.get(f"{url}/healthz").status_code == 200
    day.idle()

    # A migration that is rejected is gone with its table; the database is seeded anew.
    migration = "databases/fleet/migrations/0003_trailers.sql"
    bad = {
        migration: ("", "CREATE TABLE trailers (id INTEGER PRIMARY KEY);\n"),
        "e2e/fleet/test_trailers.py": ("", "def test_trailers():\n    assert False, 'no trailers yet'\n"),
    }
    state, why = day.run(3, bad)
    assert state is A.REVERTED
    assert "test_trailers::test_trailers" in why
    assert "trailers" not in day.tables()
    assert day.drivers() == 300
    day.idle()

    # One that is right lands; what depends on the database came with it.
    state, why = day.run(4, {migration: ("", "CREATE TABLE trailers (id INTEGER PRIMARY KEY);\n")})
    assert state is A.CONFIRMED, why
    assert "trailers" in day.tables()
    assert {"fleet_db", "fleet", "trips"} <= set(day.found(4).deployed)
    day.idle()

    # A stack that was tried is taken back.
    trial = (
        '  TrialQueue:\n    Type: AWS::SQS::Queue\n    Properties: {QueueName: !Sub "${Environment}-trial"}\n'
    )
    queue = ("  Worker:", f"{trial}  Worker:")
    state, why = day.run(5, {"infra/ephemeral/template.yaml": queue}, mode="try")
    urls = world.client("sqs").list_queues(QueueNamePrefix=f"{day.name}-trial").get("QueueUrls", [])
    assert (state, urls) == (A.REVERTED, []), why
    day.idle()
