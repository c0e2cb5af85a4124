"""Sixteen at once for one environment, on both databases: exactly one wins, and the losers learn who.

Each round is a fresh environment, so that rounds need no cleaning up. Designs that pass here on SQLite alone
have failed on PostgreSQL (environments.md, "State").
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from daybreak.environment.leases.lease import Leases
from daybreak.environment.nights import NightBusy, Nights
from daybreak.environment.state import USABLE, Environment, Environments, Op, OpBusy, StaleState, State
from daybreak.errors import EnvironmentLocked, LostOp
from daybreak.settings import LeaseSettings
from tests.environment.racing import FEWER, ROUNDS, THREADS, check_histories, race, ready, winners
from tests.fixtures.registry import ManualClock

HOUR = timedelta(hours=1)
#: The same people win in many rounds.
MANY = LeaseSettings.model_validate({"per_person": ROUNDS})
NIGHT = date(2026, 3, 5)


def begin(environments: Environments, name: str, holder: str, **options: Any) -> Op:
    return environments.begin(
        name,
        step="quiesce",
        holder=holder,
        actor=holder,
        expect=USABLE,
        deadline=HOUR,
        to=State.QUIESCING,
        **options,
    )


def test_claim_against_claim(environments: Environments, pool: ThreadPoolExecutor) -> None:
    leases = Leases(environments, MANY)
    kinds: dict[str, list[str]] = {}
    for name in ready(environments, ROUNDS):
        claims = [
            (f"user-{i:02}", lambda name=name, who=f"user-{i:02}": leases.lock(name, by=who, duration=HOUR))
            for i in range(THREADS)
        ]
        outcomes = race(pool, claims)
        [winner] = winners(outcomes)
        assert environments.get(name).lease_owner == winner
        for who, error in outcomes:
            if who != winner:
                assert isinstance(error, EnvironmentLocked)
                assert f"locked by {winner}" in str(error)
        kinds[name] = ["lock"]
    check_histories(environments, kinds)


def test_claim_against_a_teardown_that_respects_leases(
    environments: Environments, pool: ThreadPoolExecutor
) -> None:
    leases = Leases(environments, MANY)
    kinds: dict[str, list[str]] = {}
    for name in ready(environments, ROUNDS):
        contenders: list[tuple[str, Callable[[], Any]]] = []
        for i in range(THREADS // 2):
            user, run = f"user-{i:02}", f"rebuild/run-{i:02}"
            contenders.append((user, lambda name=name, who=user: leases.lock(name, by=who, duration=HOUR)))
            contenders.append(
                (
                    run,
                    lambda name=name, who=run: begin(environments, name, who, respect_lease=True),
                )
            )
        outcomes = race(pool, contenders)
        [winner] = winners(outcomes)
        env = environments.get(name)
        assert winner in (env.lease_owner, env.op_holder)
        assert (env.lease_owner is None) != (env.op_holder is None)
        for who, error in outcomes:
            if who != winner:
                assert isinstance(error, (EnvironmentLocked, OpBusy))
                assert winner in str(error)
        kinds[name] = ["lock" if env.lease_owner else "begin"]
    check_histories(environments, kinds)


def test_claim_against_the_night(environments: Environments, pool: ThreadPoolExecutor) -> None:
    """A lease does not veto the night: one teardown always wins, a claim only if it came before."""
    leases = Leases(environments, MANY)
    kinds: dict[str, list[str]] = {}
    for name in ready(environments, ROUNDS):
        contenders: list[tuple[str, Callable[[], Any]]] = []
        for i in range(THREADS // 2):
            user, run = f"user-{i:02}", f"nightly/run-{i:02}"
            contenders.append((user, lambda name=name, who=user: leases.lock(name, by=who, duration=HOUR)))
            contenders.append((run, lambda name=name, who=run: begin(environments, name, who, night=NIGHT)))
        outcomes = race(pool, contenders)
        won = winners(outcomes)
        env = environments.get(name)
        assert [who for who in won if who.startswith("nightly/")] == [env.op_holder]
        assert env.lease_owner is None, "the night ends what came before it"
        lock = [event.actor for event in environments.events(name) if event.kind == "lock"]
        assert [who for who in won if who.startswith("user-")] == lock
        for who, error in outcomes:
            if who not in won:
                assert any(winner in str(error) for winner in (str(env.op_holder), *lock))
        kinds[name] = ["lock", "begin"] if lock else ["begin"]
    check_histories(environments, kinds)


def test_preserve_against_the_night(environments: Environments, pool: ThreadPoolExecutor) -> None:
    """Either the night begins, or it is told who preserved; never both."""
    leases = Leases(environments, MANY)
    kinds: dict[str, list[str]] = {}
    for name in ready(environments, ROUNDS):
        contenders: list[tuple[str, Callable[[], Any]]] = []
        for i in range(THREADS // 2):
            user, run = f"user-{i:02}", f"nightly/run-{i:02}"
            contenders.append((user, lambda name=name, who=user: leases.preserve(name, NIGHT, who, "demo")))
            contenders.append((run, lambda name=name, who=run: begin(environments, name, who, night=NIGHT)))
        race(pool, contenders)
        env = environments.get(name)
        assert (env.preserve_by is None) != (env.op_holder is None)
        kinds[name] = ["preserve" if env.preserve_by else "begin"]
    check_histories(environments, kinds)


def test_begin_against_begin(environments: Environments, pool: ThreadPoolExecutor) -> None:
    kinds: dict[str, list[str]] = {}
    for name in ready(environments, ROUNDS):
        runs = [
            (
                f"nightly/run-{i:02}",
                lambda name=name, who=f"nightly/run-{i:02}": begin(environments, name, who),
            )
            for i in range(THREADS)
        ]
        outcomes = race(pool, runs)
        [winner] = winners(outcomes)
        env = environments.get(name)
        assert (env.op_holder, env.state, env.fence) == (winner, State.QUIESCING, 1)
        for who, error in outcomes:
            if who != winner:
                assert isinstance(error, OpBusy)
                assert winner in str(error)
        kinds[name] = ["begin"]
    check_histories(environments, kinds)


def test_takeover_against_heartbeat(
    environments: Environments, pool: ThreadPoolExecutor, clock: ManualClock
) -> None:
    """An op on the edge of death speaks in time and keeps its environment, or is lost to exactly one."""
    kinds: dict[str, list[str]] = {}
    for name in ready(environments, FEWER):
        op = begin(environments, name, "nightly/old")
        clock.advance(seconds=121)
        contenders: list[tuple[str, Callable[[], Any]]] = [("old", lambda op=op: environments.heartbeat(op))]
        for i in range(THREADS - 1):
            run = f"rebuild/run-{i:02}"
            contenders.append((run, lambda name=name, who=run: take(environments, name, who)))
        won = winners(race(pool, contenders))
        holder = environments.get(name).op_holder
        takers = [who for who in won if who != "old"]
        if holder == "nightly/old":
            assert won == ["old"]
            environments.check(op)
        else:
            # The heartbeat may have come before the one that took over, which then saw a living op; so it did
            # not.
            assert takers == [holder]
            assert "old" not in won
            with pytest.raises(LostOp, match=str(holder)):
                environments.check(op)
        kinds[name] = ["begin"] if holder == "nightly/old" else ["begin", "begin"]
    check_histories(environments, kinds)


def take(environments: Environments, name: str, holder: str) -> Op:
    return environments.begin(
        name, step="quiesce", holder=holder, actor=holder, expect=set(State), deadline=HOUR, takeover=True
    )


def test_fault_against_finish(environments: Environments, pool: ThreadPoolExecutor) -> None:
    kinds: dict[str, list[str]] = {}
    for name in ready(environments, ROUNDS):
        op = begin(environments, name, "nightly/run")
        row = environments.get(name)
        contenders: list[tuple[str, Callable[[], Any]]] = []
        for i in range(THREADS // 2):
            fault, finish = f"fault-{i:02}", f"finish-{i:02}"
            contenders.append(
                (
                    fault,
                    lambda op=op, who=fault: environments.fault(op, who, "broken", actor=who),
                )
            )
            contenders.append((finish, lambda op=op: environments.finish(op, State.SCORCHING)))
        outcomes = race(pool, contenders)
        [winner] = winners(outcomes)
        env = environments.get(name)
        assert env.op_token is None
        assert env.version == row.version + 1
        assert env.state is (State.FAULTED if winner.startswith("fault") else State.SCORCHING)
        changed_by = winner if winner.startswith("fault") else "nightly/run"
        for who, error in outcomes:
            if who != winner:
                assert isinstance(error, LostOp)
                assert f"last changed by {changed_by}" in str(error)
        kinds[name] = ["begin", "fault" if winner.startswith("fault") else "finish"]
    check_histories(environments, kinds)


def quiesce(environments: Environments, row: Environment, actor: str) -> Environment:
    return environments.transition(row, State.QUIESCING, actor=actor)


def test_transition_against_transition(environments: Environments, pool: ThreadPoolExecutor) -> None:
    kinds: dict[str, list[str]] = {}
    for name in ready(environments, FEWER):
        row = environments.get(name)
        runs = [
            (
                f"actor-{i:02}",
                lambda row=row, who=f"actor-{i:02}": quiesce(environments, row, who),
            )
            for i in range(THREADS)
        ]
        outcomes = race(pool, runs)
        [winner] = winners(outcomes)
        for who, error in outcomes:
            if who != winner:
                assert isinstance(error, StaleState)
                assert f"last changed by {winner}" in str(error)
        kinds[name] = ["transition"]
    check_histories(environments, kinds)


def test_two_runs_of_one_night(registry: Engine, clock: ManualClock, pool: ThreadPoolExecutor) -> None:
    nights = Nights(registry, clock)
    for number in range(FEWER):
        name = f"r-{number}"
        runs = [
            (f"run-{i:02}", lambda name=name, who=f"run-{i:02}": nights.claim(NIGHT, name, who, {"by": who}))
            for i in range(THREADS)
        ]
        outcomes = race(pool, runs)
        [winner] = winners(outcomes)
        [row] = nights.environments(night=NIGHT, environment=name)
        assert (row.run_id, row.decision) == (winner, {"by": winner})
        for who, error in outcomes:
            if who != winner:
                assert isinstance(error, NightBusy)
                assert f"{winner} has it" in str(error)
