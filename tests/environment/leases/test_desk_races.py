"""Sixteen people at once at Bobby's desk, on both databases: nobody has what another has, nobody is lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select, update

from daybreak.environment.installation import Installation
from daybreak.environment.leases.desk import Queued
from daybreak.environment.leases.lease import Lease, LeaseLimit, Leases, NoLease
from daybreak.environment.leases.waiting import ANY
from daybreak.environment.rows import AlreadyDone
from daybreak.environment.state import Environments, State
from daybreak.errors import EnvironmentLocked
from daybreak.registry import tables
from daybreak.settings import LeaseSettings, Settings
from daybreak.store import Store
from tests.environment.racing import FEWER, ROUNDS, THREADS, check_histories, race, ready, winners
from tests.fixtures.registry import ManualClock

HOUR = timedelta(hours=1)
FREE = 8
#: Enough for what follows a race, and is none.
FEW = 5
NAMES = [f"dev-{n:02}" for n in range(FREE)]
ACCOUNT = "123456789012"
PEOPLE = [f"user-{i:02}" for i in range(THREADS)]
MANY = LeaseSettings.model_validate({"per_person": ROUNDS})


@pytest.fixture
def house(registry: Engine, clock: ManualClock, tmp_path: Path) -> Installation:
    settings = Settings.model_validate(
        {
            "home": tmp_path,
            "aws": {"accounts": {ACCOUNT: {}}},
            "environments": [{"name": name, "account": ACCOUNT} for name in NAMES],
        }
    )
    found = Installation(settings, registry, Store((tmp_path / "s").as_uri()), lambda _: None, clock)
    found.register()
    return found


def all_free(house: Installation) -> None:
    """Everything as on a quiet morning; versions and events go on."""
    empty = dict.fromkeys(("lease_owner", "lease_id", "lease_since", "lease_until", "lease_reason"))
    table = tables.environments
    with house.engine.begin() as connection:
        connection.execute(
            update(table).values(**empty, state=State.READY, verdict="passed", used_at=house.clock())
        )
        connection.execute(delete(tables.waiting))
        connection.execute(delete(tables.outbox))


def check_events(house: Installation) -> None:
    """One event for each version of each environment."""
    rows = {row.name: row.version for row in house.environments.all()}
    table = tables.events
    with house.engine.connect() as connection:
        events = connection.execute(select(table.c.environment, table.c.version).order_by(table.c.id)).all()
    for name, version in rows.items():
        assert [v for n, v in events if n == name] == list(range(1, version + 1))


def test_eight_are_free_and_sixteen_ask_for_any(house: Installation, pool: ThreadPoolExecutor) -> None:
    """Eight owners, eight in the queue in order; then all give back at once, and all eight get their turn."""
    for number in range(ROUNDS):
        all_free(house)
        answers: dict[str, Lease | Queued] = {}

        def ask(who: str, answers: dict[str, Lease | Queued] = answers) -> None:
            answers[who] = house.desk.lock_any(by=who, duration=4 * HOUR)

        assert winners(race(pool, [(who, lambda who=who: ask(who)) for who in PEOPLE])) == PEOPLE
        owners = [row.lease_owner for row in house.environments.all()]
        assert len(set(owners)) == FREE
        assert None not in owners
        queue = [waiter.person for waiter in house.waiting.all()]
        assert sorted([*owners, *queue]) == PEOPLE
        assert [house.waiting.position(ANY, who) for who in queue] == list(range(1, FREE + 1))
        for who, answer in answers.items():
            if isinstance(answer, Lease):
                assert house.environments.get(answer.environment).lease_owner == who
            elif who in queue:
                assert answer.position >= queue.index(who) + 1
        if number >= FEW:
            continue
        held = [(row.lease_owner, row.name) for row in house.environments.all()]

        def give_back(who: str, name: str) -> None:
            house.leases.release(name, by=who)
            house.desk.turns()

        race(pool, [(who, lambda who=who, name=name: give_back(who, name)) for who, name in held])
        assert sorted(row.lease_owner or "" for row in house.environments.all()) == sorted(queue)
        assert house.waiting.all() == []
        told = [out for out in house.outbox.claim(100) if out.payload["kind"] == "turn"]
        assert sorted({out.recipient for out in told}) >= sorted(f"person:{who}" for who in queue)
        assert len(told) == len({(out.recipient, out.payload["environment"]) for out in told})
    check_events(house)


def test_one_person_asks_for_sixteen_and_has_two(house: Installation, pool: ThreadPoolExecutor) -> None:
    """The limit is on a person, the rows are of many environments: it holds all the same."""
    for _ in range(FEWER):
        all_free(house)
        asks: list[tuple[str, Callable[[], Any]]] = [
            (f"{name}/{n}", lambda name=name: house.leases.lock(name, by="dana", duration=HOUR))
            for name in NAMES
            for n in range(THREADS // FREE)
        ]
        outcomes = race(pool, asks)
        held = house.desk.held("dana")
        assert len(held) == 2
        assert {name.split("/")[0] for name in winners(outcomes)} == {row.name for row in held}
        assert all(isinstance(error, LeaseLimit) for _, error in outcomes if error)
    check_events(house)


def test_expiry_against_extend(
    registry: Engine, environments: Environments, clock: ManualClock, pool: ThreadPoolExecutor
) -> None:
    """Two machines whose clocks differ by a second: the lease is extended, or it ended; never both."""
    behind, ahead = Leases(environments, MANY), Leases(Environments(registry, later(clock)), MANY)
    kinds: dict[str, list[str]] = {}
    for name in ready(environments, ROUNDS):
        lease = behind.lock(name, by="dana", duration=HOUR)
        clock.now = lease.until - timedelta(seconds=0.5)
        until = lease.until + HOUR
        contenders: list[tuple[str, Callable[[], Any]]] = []
        for i in range(THREADS // 2):
            contenders.append(
                (f"extend-{i}", lambda name=name, until=until: behind.extend(name, by="dana", until=until))
            )
            contenders.append((f"expire-{i}", lambda name=name: ahead.expire(name)))
        outcomes = race(pool, contenders)
        env = environments.get(name)
        won = "extend" if env.lease_owner else "expire"
        kinds[name] = ["lock", won]
        assert env.lease_until == (until if env.lease_owner else None)
        for who, error in outcomes:
            if won == "expire" and who.startswith("extend"):
                assert isinstance(error, NoLease)
                assert f"you do not have {name}" in str(error)
            else:
                assert error is None
    check_histories(environments, kinds)


def test_give_against_release(environments: Environments, pool: ThreadPoolExecutor) -> None:
    """Given to one of eight, or given back: the others are told who has it."""
    leases = Leases(environments, MANY)
    kinds: dict[str, list[str]] = {}
    for name in ready(environments, ROUNDS):
        leases.lock(name, by="dana", duration=HOUR)
        contenders: list[tuple[str, Callable[[], Any]]] = []
        for i in range(THREADS // 2):
            to = PEOPLE[i]
            contenders.append((to, lambda name=name, to=to: leases.give(name, by="dana", to=to)))
            contenders.append((f"release-{i}", lambda name=name: leases.release(name, by="dana")))
        outcomes = race(pool, contenders)
        owner = environments.get(name).lease_owner
        kinds[name] = ["lock", "give" if owner else "release"]
        if owner:
            assert winners(outcomes) == [owner]
            assert all(
                isinstance(error, EnvironmentLocked) and f"locked by {owner}" in str(error)
                for who, error in outcomes
                if who != owner
            )
        else:  # nothing to give back is success; nothing to give is not
            assert winners(outcomes) == [f"release-{i}" for i in range(THREADS // 2)]
            assert all(isinstance(error, NoLease) for who, error in outcomes if who.startswith("user"))
    check_histories(environments, kinds)


def test_one_request_by_sixteen_workers_has_one_effect(
    environments: Environments, pool: ThreadPoolExecutor
) -> None:
    leases = Leases(environments, MANY)
    kinds: dict[str, list[str]] = {}
    for name in ready(environments, FEW):
        leases.lock(name, by="dana", duration=HOUR)
        request = leases.answering(f"slack/{name}")
        asks = [(who, partial(request.extend, name, by="dana", duration=HOUR)) for who in PEOPLE]
        outcomes = race(pool, asks)
        assert len(winners(outcomes)) == 1
        assert all(isinstance(error, AlreadyDone) for _, error in outcomes if error)
        kinds[name] = ["lock", "extend"]
    check_histories(environments, kinds)


def later(clock: ManualClock) -> Callable[[], datetime]:
    """A clock that is a second ahead."""
    return lambda: clock.now + timedelta(seconds=1)
