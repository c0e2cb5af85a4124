"""Leases, preserving, the guard."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, update

from daybreak.environment.leases.lease import Leases, lease_of
from daybreak.environment.leases.waiting import Waiting
from daybreak.environment.state import Environments, Op, OpBusy, StaleState, State
from daybreak.errors import EnvironmentLocked, LostOp, UsageError
from daybreak.registry import tables
from daybreak.registry.outbox import Outbox
from daybreak.settings import LeaseSettings
from tests.fixtures.registry import ENVIRONMENTS, ManualClock

HOUR = timedelta(hours=1)
NIGHT = date(2026, 3, 5)


@pytest.fixture
def environments(sqlite_registry: Engine, clock: ManualClock) -> Environments:
    found = Environments(sqlite_registry, clock)
    found.ensure(ENVIRONMENTS[0])
    put(found, State.READY)
    return found


@pytest.fixture
def leases(environments: Environments) -> Leases:
    return Leases(environments, zone=ZoneInfo("Asia/Jerusalem"))


def put(environments: Environments, state: State) -> None:
    with environments.engine.begin() as connection:
        connection.execute(update(tables.environments).values(state=state))


def begin(environments: Environments, actor: str = "night") -> Op:
    return environments.begin(
        "dev-01", step="work", holder=f"run/{actor}", actor=actor, expect=set(State), deadline=HOUR
    )


def test_a_lease_names_its_owner_and_its_end(leases: Leases, clock: ManualClock) -> None:
    lease = leases.lock("dev-01", by="dana", duration=4 * HOUR, reason="load test")
    assert (lease.owner, lease.until, lease.reason) == ("dana", clock.now + 4 * HOUR, "load test")
    assert leases.environments.get("dev-01").used_at == clock.now


def test_lock_never_steals_and_names_who_has_it_in_local_time(leases: Leases) -> None:
    leases.lock("dev-01", by="dana", duration=4 * HOUR, reason="load test")
    with pytest.raises(EnvironmentLocked) as caught:
        leases.lock("dev-01", by="eli", duration=HOUR)
    assert str(caught.value) == (
        "dev-01 is locked by dana until 2026-03-06 00:00 IST (load test). Ask them, or take a free one."
    )
    assert caught.value.exit_code == 73


def test_locking_again_never_shortens(leases: Leases, clock: ManualClock) -> None:
    first = leases.lock("dev-01", by="dana", duration=4 * HOUR)
    version = leases.environments.get("dev-01").version
    assert leases.lock("dev-01", by="dana", duration=HOUR) == first
    assert leases.environments.get("dev-01").version == version
    clock.advance(hours=3)
    longer = leases.lock("dev-01", by="dana", duration=4 * HOUR)
    assert longer.until == clock.now + 4 * HOUR
    assert longer.lease_id == first.lease_id


def test_a_lease_that_ended_is_free(leases: Leases, clock: ManualClock) -> None:
    first = leases.lock("dev-01", by="dana", duration=HOUR)
    clock.advance(hours=1)
    assert lease_of(leases.environments.get("dev-01"), clock.now) is None
    second = leases.lock("dev-01", by="eli", duration=HOUR)
    assert second.lease_id > first.lease_id


@pytest.mark.parametrize("hours", [0, -1, 12.1])
def test_the_length_of_a_lease_is_limited(leases: Leases, hours: float) -> None:
    with pytest.raises(UsageError, match="at most 12 h"):
        leases.lock("dev-01", by="dana", duration=timedelta(hours=hours))


def test_an_environment_that_is_away_or_worked_on_cannot_be_locked(leases: Leases) -> None:
    put(leases.environments, State.ABSENT)
    with pytest.raises(StaleState, match="dana cannot lock dev-01 now: dev-01 is ABSENT"):
        leases.lock("dev-01", by="dana", duration=HOUR)
    put(leases.environments, State.READY)
    begin(leases.environments)
    with pytest.raises(OpBusy, match="run/night"):
        leases.lock("dev-01", by="dana", duration=HOUR)


def test_only_the_owner_or_an_admin_releases(leases: Leases) -> None:
    leases.lock("dev-01", by="dana", duration=HOUR)
    with pytest.raises(EnvironmentLocked, match="dana"):
        leases.release("dev-01", by="eli")
    env = leases.release("dev-01", by="eli", admin=True, reason="on leave")
    assert env.lease_owner is None
    assert leases.environments.events("dev-01")[-1].message == "on leave"
    assert leases.release("dev-01", by="eli") == env


def test_preserve_names_the_last_night_and_is_never_shortened(leases: Leases) -> None:
    leases.preserve("dev-01", date(2026, 3, 7), "dana", "load test")
    env = leases.preserve("dev-01", NIGHT, "eli", "demo")
    assert (env.preserve_night, env.preserve_by) == (date(2026, 3, 7), "dana")
    assert [env.preserved(NIGHT + timedelta(days=n)) for n in range(4)] == [True, True, True, False]
    env = leases.preserve("dev-01", date(2026, 3, 8), "eli", "demo")
    assert (env.preserve_by, env.preserve_reason) == ("eli", "demo")


def test_preserve_comes_too_late_once_the_night_works(leases: Leases) -> None:
    begin(leases.environments)
    with pytest.raises(OpBusy, match="too late to preserve dev-01"):
        leases.preserve("dev-01", NIGHT, "dana", "x")
    put(leases.environments, State.ABSENT)


def test_nothing_is_preserved_of_an_absent_environment(leases: Leases) -> None:
    put(leases.environments, State.ABSENT)
    with pytest.raises(StaleState, match="nothing to preserve"):
        leases.preserve("dev-01", NIGHT, "dana", "x")


def test_unpreserve_says_whose_it_was(leases: Leases) -> None:
    leases.preserve("dev-01", NIGHT, "dana", "load test")
    assert not leases.unpreserve("dev-01", "eli").preserved(NIGHT)
    event = leases.environments.events("dev-01")[-1]
    assert (event.actor, event.message) == ("eli", "was by dana: load test")
    assert leases.unpreserve("dev-01", "eli").version == event.version


def test_the_guard_lets_the_owner_and_nobody_else(leases: Leases) -> None:
    assert leases.guard("dev-01", "eli") == 0
    lease = leases.lock("dev-01", by="dana", duration=HOUR)
    assert leases.guard("dev-01", "dana") == lease.lease_id
    with pytest.raises(EnvironmentLocked, match="dana"):
        leases.guard("dev-01", "eli")


def test_the_guard_stops_before_somebody_elses_step(leases: Leases) -> None:
    begin(leases.environments, actor="dana")
    leases.guard("dev-01", "dana")
    with pytest.raises(OpBusy, match="for dana"):
        leases.guard("dev-01", "eli")


def test_a_deploy_notices_that_the_environment_changed_hands(leases: Leases, clock: ManualClock) -> None:
    """Locked, lapsed, and locked again by the same person: the older deploy is over all the same."""
    leases.lock("dev-01", by="dana", duration=HOUR)
    fence = leases.guard("dev-01", "dana")
    leases.recheck("dev-01", "dana", fence)
    clock.advance(hours=2)
    leases.lock("dev-01", by="dana", duration=HOUR)
    with pytest.raises(LostOp, match="changed hands while dana was at it"):
        leases.recheck("dev-01", "dana", fence)


def test_a_deploy_notices_that_the_night_was_there(leases: Leases) -> None:
    leases.lock("dev-01", by="dana", duration=HOUR)
    fence = leases.guard("dev-01", "dana")
    leases.environments.finish(begin(leases.environments))
    with pytest.raises(LostOp):
        leases.recheck("dev-01", "dana", fence)


def test_a_lease_ends_when_its_time_is_over_and_not_before_whoever_asks(
    leases: Leases, clock: ManualClock
) -> None:
    lease = leases.lock("dev-01", by="dana", duration=HOUR)
    assert not leases.expire("dev-01")
    assert leases.environments.get("dev-01").lease_id == lease.lease_id
    clock.now += HOUR
    leases.release("dev-01", by="eli")  # nobody's any more: no foreign lease is given back
    assert leases.environments.events("dev-01")[-1].kind == "expire"
    told = Outbox(leases.environments.engine, clock).standing()
    assert [each.recipient for each in told] == ["person:dana"]


def test_what_is_over_does_not_count_and_who_has_all_that_one_may_have_holds_up_nobody(
    leases: Leases, clock: ManualClock
) -> None:
    environments = leases.environments
    environments.ensure(ENVIRONMENTS[1])
    put(environments, State.READY)
    one = Leases(environments, LeaseSettings.model_validate({"per_person": 1}))
    one.lock("dev-01", by="dana", duration=HOUR)
    Waiting(environments.engine, clock).join("dev-02", "dana")
    one.lock("dev-02", by="eli", duration=HOUR)
    one.release("dev-02", by="eli")
    clock.now += HOUR
    assert one.lock("dev-02", by="dana", duration=HOUR).owner == "dana"
