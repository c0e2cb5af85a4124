"""An engineer's day with one environment: locked, deployed to, broken, healed, cut off."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from daybreak.deploy.host import HostClient
from daybreak.environment.bcd.engine import run_bcd
from daybreak.environment.bcd.prepare import prepare
from daybreak.environment.bcd.report import Ended, Outcome, Report
from daybreak.environment.bcd.request import Request
from daybreak.environment.bcd.settle import abandoned, settle
from daybreak.environment.bcd.work import Work
from daybreak.environment.machine import State
from daybreak.errors import EnvironmentLocked, LostOp, UsageError
from daybreak.registry.outbox import Outbox
from tests.fixtures.night import World
from tests.monorepo import Monorepo

TRIPS = "services/trips/src/acme_trips/app.py"


@pytest.fixture
def day(world: World) -> tuple[World, str, Callable[..., Report]]:
    """One environment of today's main, and Dana, who deploys to it."""
    world.installation.switches.arm(world.account, "test")
    one = world.names[0]
    said = world.night("morning", one)
    assert world.summary.faulted == (), said

    def bcd(run_id: str, **more: object) -> Report:
        request = Request.of({"environment": one, **more})
        return run_bcd(world.installation, run_id, request, actor="dana", say=lambda _: None)

    return world, one, bcd


def ends(report: Report) -> dict[Ended, set[str]]:
    found: dict[Ended, set[str]] = {}
    for line in report.lines:
        found.setdefault(line.ended, set()).add(line.resource)
    return found


@pytest.mark.deep
def test_an_engineers_day(day: tuple[World, str, Callable[..., Report]], aws) -> None:
    world, one, bcd = day
    installation = world.installation
    environments, leases = installation.environments, installation.leases
    (every := set(installation.deployments.current(one)))
    assert {"infra_base", "infra_ephemeral", "fleet_db", "trips", "trip_scorer", "geofences"} <= every

    # Somebody else has it: refused before anything is done.
    branch = world.branch("dana/faster", {TRIPS: ("from", "# faster\nfrom")})
    until = leases.lock(one, by="bob", duration=timedelta(hours=2), reason="load test").until
    mutations = [call for call in aws.journal(account=world.account) if call["mutating"]]
    with pytest.raises(EnvironmentLocked, match=f"{one} is locked by bob until .* \\(load test\\)"):
        bcd("refused", ref=branch)
    assert [call for call in aws.journal(account=world.account) if call["mutating"]] == mutations
    [told] = Outbox(installation.engine, installation.clock).claim()
    assert told.payload["outcome"] == "refused"
    assert told.payload["locked"]["owner"] == "bob"
    assert environments.get(one).lease_until == until
    leases.release(one, by="bob")

    # What differs is deployed, and nothing else; the lock is gone afterwards.
    held: list[str | None] = []
    report = run_bcd(
        installation, "branch", Request(one, ref=branch), actor="dana",
        say=lambda _: held.append(environments.get(one).lease_owner),
    )  # fmt: skip
    assert ends(report) == {
        Ended.DEPLOYED: {"trips"},
        Ended.BUILT: {"common", "geo", "billing", "mobility"},
        Ended.UNCHANGED: every - {"trips"},
    }, report.table()
    assert set(held) == {"dana"}
    env = environments.get(one)
    assert (env.state, env.verdict, env.lease_owner) == (State.READY, "not_run", None)
    assert env.commit == report.commit
    url = HostClient(installation.home).status(one, "trips").url
    assert httpx.get(f"{url}/healthz").json()["commit"] == report.commit
    [line] = [line for line in report.lines if line.resource == "trips"]
    assert (line.link, line.was_commit) == (url, world.today)

    # Her own lease stays hers, also when there is nothing to do.
    leases.lock(one, by="dana", duration=timedelta(hours=1), reason="mine")
    again = bcd("again", ref=branch)
    assert again.outcome is Outcome.NOTHING
    assert {line.ended for line in again.lines} == {Ended.UNCHANGED}
    assert environments.get(one).lease_reason == "mine"
    leases.release(one, by="dana")

    # A pull request that breaks a service costs that and what needs it, and the environment says so.
    repository = Monorepo(installation.home.parent / "acme")
    world.branch(
        "broken",
        {
            "services/telemetry/src/acme_telemetry/app.py": (
                "        positions.load()\n", '        raise RuntimeError("no positions today")\n',
            ),
            "resources.py": (
                '"command": ["python", "-m", "acme_telemetry"]',
                '"command": ["python", "-m", "acme_telemetry"], "healthy_seconds": 1',
            ),
        },
    )  # fmt: skip
    repository.git("update-ref", "refs/pull/12/head", "broken")
    broken = bcd("broken", ref="#12", reason="try it")
    assert broken.outcome is Outcome.FAILED
    found = {line.resource: line for line in broken.lines}
    assert "was not healthy within 1 s" in found["telemetry"].why
    assert found["trips"].why == "needs telemetry, which was not deployed"
    env = environments.get(one)
    assert (env.state, env.lease_owner) == (State.DEGRADED, None)
    assert any(each.startswith("telemetry was not deployed: ") for each in broken.wrong)

    # Some resources do not heal what was DEGRADED before; the whole environment does.
    part = bcd("part", resources=["fleet"], force=True)
    assert (part.outcome, ends(part)[Ended.DEPLOYED]) == (Outcome.DONE, {"fleet"}), part.table()
    assert environments.get(one).state is State.DEGRADED
    before = installation.deployments.current(one)["fleet_db"]
    made = bcd("made", resources=["fleet_db"], force=True, actions=["build", "create"])
    assert ends(made) == {Ended.CREATED: {"fleet_db"}}, made.table()
    assert installation.deployments.current(one)["fleet_db"] == before
    scorer = "functions/trip_scorer"
    red = world.branch(
        "red",
        {
            f"{scorer}/trip_scorer.py": ("from itertools", "# red\nfrom itertools"),
            f"{scorer}/tests/test_red.py": ("", "def test_red():\n    assert 1 == 2\n"),
        },
    )
    tested = bcd("tested", ref=red, resources=["trip_scorer"])
    [line] = [line for line in tested.lines if line.resource == "trip_scorer"]
    assert (tested.outcome, line.ended) == (Outcome.FAILED, Ended.DEPLOYED), tested.table()
    assert "test_red" in line.red
    assert tested.wrong == ("unit tests are not green: trip_scorer",)
    with pytest.raises(UsageError, match="no resource is called 'tripz'; did you mean trips"):
        bcd("typo", resources=["tripz"])
    whole = bcd("whole", e2e=True)
    assert whole.outcome is Outcome.DONE, whole.table()
    env = environments.get(one)
    assert (env.state, env.verdict, env.commit) == (State.READY, "passed", world.today)

    # What the revision does not have any more is left, unless it is asked for.
    gone = world.branch("without", {"resources.py": ("GEOFENCES = Resource", "_ = lambda: Resource")})
    left = bcd("left", ref=gone)
    assert "geofences" in ends(left)[Ended.UNCHANGED]
    assert left.outcome is Outcome.NOTHING, left.table()
    taken = bcd("taken", ref=gone, remove=True)
    assert ends(taken)[Ended.REMOVED] == {"geofences"}, taken.table()
    assert "geofences" not in installation.deployments.current(one)

    # What leaves no row is not taken for done.
    prepare(installation, "lazy", Request(one, ref=branch), "dana")
    lazy = settle(installation, "lazy")
    assert (lazy.outcome, ends(lazy)[Ended.MISSING]) == (Outcome.INVALID, {"trips", "geofences"}), (
        lazy.table()
    )
    assert environments.get(one).state is State.READY

    # Killed in the middle: what is left of it can change nothing, and nobody waits for its lock.
    prepare(installation, "killed", Request(one, ref=branch), "dana")
    work = Work.of(installation, "killed")
    orphan = work.begin("bcd deploy", timedelta(minutes=90), to=State.DEGRADED)
    assert environments.get(one).lease_owner == "dana"
    ended = abandoned(installation, "killed", "marked failed by hand")
    assert ended.outcome is Outcome.CUT_OFF
    assert "marked failed by hand" in ended.message
    with pytest.raises(LostOp):
        environments.check(orphan)
    env = environments.get(one)
    assert (env.state, env.lease_owner, env.op_token) == (State.DEGRADED, None, None)
    assert settle(installation, "killed") == ended

    # Taken over in the middle: the run stops, and leaves the environment to whoever has it.
    prepare(installation, "late", Request(one), "dana")
    leases.release(one, by="admin", admin=True)
    leases.lock(one, by="bob", duration=timedelta(hours=1))
    work = Work.of(installation, "late")
    with pytest.raises(EnvironmentLocked, match="bob"):
        work.begin("bcd deploy", timedelta(minutes=90))
    settle(installation, "late")
    assert environments.get(one).lease_owner == "bob"
