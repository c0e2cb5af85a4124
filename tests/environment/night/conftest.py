"""An installation with nothing but a registry, whose clock only the test moves."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from daybreak.environment.installation import Installation
from daybreak.settings import Settings
from daybreak.store import Store
from tests.fixtures.registry import ManualClock

ACCOUNT = "111122223333"


@pytest.fixture
def installation(registry: Engine, clock: ManualClock, tmp_path: Path) -> Installation:
    """dev-01 … dev-04 in UTC, evening 20:00, morning 06:00; on SQLite and on PostgreSQL."""

    def nothing(_: object) -> None:
        raise AssertionError("a report asks no cloud")

    settings = Settings.model_validate(
        {
            "home": str(tmp_path),
            "aws": {"accounts": {ACCOUNT: {}}},
            "environments": [{"name": f"dev-0{n}", "account": ACCOUNT} for n in range(1, 5)],
        }
    )
    return Installation(settings, registry, Store(f"file://{tmp_path}/store"), nothing, clock)  # type: ignore[arg-type]
