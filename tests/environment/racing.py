"""Letting many contend at the same moment, and looking at who won."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import insert, select, update

from daybreak.environment.state import Environments, Event, State
from daybreak.errors import DaybreakError
from daybreak.registry import tables
from daybreak.settings import EnvironmentSettings

ROUNDS, THREADS = 60, 16
#: Enough for the races beside those that once went wrong.
FEWER = 30

#: What one contender did: its name, and its error if it lost.
Outcome = tuple[str, DaybreakError | None]


def ready(environments: Environments, count: int) -> list[str]:
    """So many new environments that are READY: all but the first are copies of its row and its event."""
    names = [f"r-{number}" for number in range(count)]
    environments.ensure(EnvironmentSettings.model_validate({"name": names[0], "account": "123456789012"}))
    rows, events = tables.environments, tables.events
    with environments.engine.begin() as connection:
        connection.execute(update(rows).where(rows.c.name == names[0]).values(state=State.READY))
        row = dict(connection.execute(select(rows).filter_by(name=names[0])).mappings().one())
        event = dict(connection.execute(select(events).filter_by(environment=names[0])).mappings().one())
        del event["id"]
        connection.execute(insert(rows), [{**row, "name": name} for name in names[1:]])
        connection.execute(insert(events), [{**event, "environment": name} for name in names[1:]])
    return names


def race(pool: ThreadPoolExecutor, contenders: Sequence[tuple[str, Callable[[], Any]]]) -> list[Outcome]:
    """Let them all go at the same moment."""
    barrier = threading.Barrier(len(contenders))

    def run(contender: tuple[str, Callable[[], Any]]) -> Outcome:
        name, act = contender
        barrier.wait(30)
        try:
            act()
        except DaybreakError as error:
            return name, error
        return name, None

    return list(pool.map(run, contenders))


def winners(outcomes: Sequence[Outcome]) -> list[str]:
    return [name for name, error in outcomes if error is None]


def check_histories(environments: Environments, kinds: Mapping[str, Sequence[str]]) -> None:
    """Of each environment: one event for each version, and no more writes than were won."""
    versions = {row.name: row.version for row in environments.all()}
    events: dict[str, list[Event]] = {name: [] for name in kinds}
    for event in environments.events(limit=1_000_000):
        events.get(event.environment, []).append(event)
    for name, history in events.items():
        assert [event.version for event in history] == list(range(1, len(history) + 1))
        assert versions[name] == len(history)
        assert [event.kind for event in history] == ["created", *kinds[name]]
