"""An installation with a registry and no cloud: six environments, three people, an office in Jerusalem."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.registry import tables
from daybreak.settings import Settings
from daybreak.store import Store
from daybreak.talk.bobby.bot import Bobby
from daybreak.talk.people import Actor
from daybreak.talk.reply import Press, Reply
from tests.fixtures.registry import ManualClock

ACCOUNT = "123456789012"
SETTINGS = {
    "aws": {"accounts": {ACCOUNT: {}}},
    "night": {"zone": "Asia/Jerusalem", "workweek": ["sun", "mon", "tue", "wed", "thu"]},
    "environments": [
        *({"name": f"dev-0{n}", "account": ACCOUNT} for n in range(1, 6)),
        {"name": "merge-01", "account": ACCOUNT, "role": "merge"},
    ],
    "people": [
        {"name": "dana", "slack": "U1DANA", "email": "dana@acme.example"},
        {"name": "eli", "slack": "U2ELI"},
        {"name": "noa", "slack": "U3NOA", "admin": True},
    ],
}


def no_session(*_: object) -> None:
    raise AssertionError("Bobby needs no cloud")


def open_installation(
    engine: Engine, clock: Callable[[], datetime], folder: Path, settings: dict | None = None
) -> Installation:
    """Armed, every environment READY with green e2e."""
    found = Installation(
        Settings.model_validate({**(settings or SETTINGS), "home": folder}), engine,
        Store((folder / "store").as_uri()), no_session, clock,
    )  # fmt: skip
    found.register()
    found.switches.arm(ACCOUNT, "noa")
    with engine.begin() as connection:
        ready = {"state": State.READY, "verdict": "passed", "used_at": clock(), "nonce": None}
        connection.execute(update(tables.environments).values(**ready))
    return found


class House:
    """People who talk to Bobby."""

    def __init__(self, installation: Installation, clock: ManualClock) -> None:
        self.installation, self.clock = installation, clock
        self.runs: list[tuple[str, str, dict]] = []
        self.bobby = Bobby(installation, trigger=self._trigger)

    def _trigger(self, dag_id: str, run_id: str, conf) -> str:
        if (dag_id, run_id, conf) not in self.runs:
            self.runs.append((dag_id, run_id, conf))
        return f"https://airflow.example/dags/{dag_id}/runs/{run_id}"

    def actor(self, name: str) -> Actor:
        return self.bobby.people.actor("os", name)

    def say(self, who: str, what: str | Press, **more) -> Reply:
        return self.bobby.answer(what, self.actor(who), **more)

    def told(self, who: str) -> list[dict]:
        """The payloads that wait to be sent to somebody."""
        with self.installation.engine.connect() as connection:
            rows = connection.execute(tables.outbox.select().order_by(tables.outbox.c.created_at)).mappings()
            return [dict(row["payload"]) for row in rows if row["recipient"] in (who, f"person:{who}")]


@pytest.fixture
def house(sqlite_registry: Engine, clock: ManualClock, tmp_path: Path) -> House:
    clock.now = clock.now.replace(hour=11)  # Thursday 2026-03-05, 13:00 in Jerusalem: the week ends today
    return House(open_installation(sqlite_registry, clock, tmp_path), clock)
