"""What comes in by the routes is worked on behind them, by one worker of the process, whatever is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from daybreak.errors import UsageError
from daybreak.orchestration import connections, webhooks
from daybreak.settings import Settings
from daybreak.talk.github.access import Access
from tests.fixtures.asgi import Served
from tests.fixtures.github import BOT, Hub
from tests.fixtures.registry import ManualClock
from tests.talk.conftest import SETTINGS, open_installation


def workers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "daybreak-talk"]


class House:
    """The routes as Airflow's API server mounts them; Slack's connection is missing."""

    def __init__(self, hub: Hub, engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hub, self.login = hub, BOT
        settings = {
            **SETTINGS, "people": [], "monorepo": {"url": hub.url("dana")},
            "github": {"repository": hub.name, "login": BOT}, "slack": {"channel": "#merges"},
        }  # fmt: skip
        clock = ManualClock(datetime.now(UTC))
        installation = open_installation(engine, clock, folder, settings)

        def github(_: Settings) -> Access:
            return Access(hub.client(self.login), hub.site.secret)

        def slack(_: Settings) -> Access:
            raise UsageError("the conn_id `slack` isn't defined")

        monkeypatch.setattr(connections, "installation", lambda patience: installation)
        monkeypatch.setattr(connections, "github", github)
        monkeypatch.setattr(connections, "slack", slack)
        self.behind = webhooks._Connections()
        self.app = webhooks.create(self.behind.slack, self.behind.wake, 0, self.behind.github)

    def say(self, number: int, words: str) -> str:
        """Say it on the pull request; who answered, and what."""
        before = len(self._answers(number))
        self.hub.site.comment("dana", self.hub.name, number, f"@gandalf {words}")
        self.until(lambda: len(self._answers(number)) > before)
        who, said = self._answers(number)[-1]
        return f"{who}: {said}"

    def _answers(self, number: int) -> list[tuple[str, str]]:
        found = self.hub.site.comments(self.hub.name, number)
        return [(each["user"]["login"], each["body"]) for each in found if "<!-- daybreak:" in each["body"]]

    def until(self, says: Callable[[], object], seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not says():
            assert time.monotonic() < deadline, self.hub.site.deliveries()
            time.sleep(0.02)


@pytest.fixture
def house(
    hub: Hub, sqlite_registry: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    assert workers() == []
    made = House(hub, sqlite_registry, tmp_path / "home", monkeypatch)
    with Served(made.app) as served:
        hub.site.listen_at(f"{served.url}/github")
        yield made
        hub.site.settled()
    if made.behind._worker is not None:
        made.behind._worker[1].stop()
    made.until(lambda: workers() == [])


def test_a_comment_is_answered_though_slack_is_away_and_many_at_once_make_one_worker(house: House) -> None:
    number = house.hub.pull()
    assert f"{BOT}: " in house.say(number, "status")
    [first] = workers()
    house.hub.site.fate("doubled", "doubled")
    assert "The queue is empty" in house.say(number, "queue")
    assert workers() == [first]
    house.hub.site.settled()
    # A delivery that came twice was answered once.
    assert len(house._answers(number)) == 2


def test_a_credential_that_was_changed_makes_a_new_worker_and_the_old_one_ends(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = house.hub.pull()
    house.say(number, "status")
    [first] = workers()
    house.login = "noa"
    monkeypatch.setattr(house.behind, "_until", 0.0)
    assert house.say(number, "status").startswith("noa: ")
    house.until(lambda: not first.is_alive())
    assert len(workers()) == 1


def test_a_registry_that_is_away_for_a_moment_ends_no_worker(house: House, sqlite_registry: Engine) -> None:
    number, away = house.hub.pull(), threading.Event()
    house.say(number, "status")
    [first] = workers()
    # What was being sent in that moment would wait until its claim is over.
    house.until(lambda: {each.status for each in house.behind._installation().outbox.standing()} == {"done"})

    def refuse(*_: object) -> None:
        if away.is_set() and threading.current_thread() is first:
            raise OperationalError("", {}, Exception("server closed the connection"))

    event.listen(sqlite_registry, "before_cursor_execute", refuse)
    away.set()

    def back() -> None:
        away.clear()
        # As the next delivery does; by itself it looks every few seconds.
        house.behind.wake()

    threading.Timer(0.5, back).start()
    assert f"{BOT}: " in house.say(number, "queue")
    assert workers() == [first]
