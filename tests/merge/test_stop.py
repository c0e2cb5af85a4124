"""What an attempt has under way when a member is taken back or held: real deploys and suites."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from daybreak.merge import ground, wanted
from daybreak.merge import protocol as p
from daybreak.merge.control import Control
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from examples.standins.aws.emulator import AwsEmulator
from tests.fixtures.registry import ManualClock
from tests.merge.ground import Grounded
from tests.merge.small import DEPLOY, RESOURCES

#: Goes on only when it is told to.
SLOW = """import os, pathlib, time
state = pathlib.Path(STATE)
if pathlib.Path("value.txt").read_text() == "slow\\n":
    (state / "deploying").touch()
    while not (state / "go").exists():
        time.sleep(0.1)
"""
#: Says which process it is, and never ends.
ENDLESS = """import os, pathlib, time
state = pathlib.Path(STATE)
def test_it():
    (state / "pid").write_text(str(os.getpid()))
    (state / "testing").touch()
    time.sleep(600)
"""


@pytest.fixture
def grounded(
    tmp_path: Path,
    sqlite_registry: Engine,
    clock: ManualClock,
    aws: AwsEmulator,
    aws_account: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Grounded:
    monkeypatch.setattr(wanted, "LOOK", timedelta(seconds=0.2))
    state = repr(str(tmp_path / "state"))
    more = {
        "resources.py": RESOURCES.replace('name="right", ', 'name="right", depends_on=[LEFT], '),
        "left/deploy.py": (SLOW + DEPLOY).replace("STATE", state).replace("NAME", repr("left")),
    }
    return Grounded(tmp_path, sqlite_registry, clock, aws.endpoint_url, aws_account, more)


@contextmanager
def once(mark: Path, do: Callable[[], object]) -> Iterator[None]:
    """While the block runs, something happens as soon as the mark is there.

    :raises Exception: what that raises, unless the block raises itself.
    """
    over = threading.Event()

    def wait() -> None:
        until = time.monotonic() + 120
        while not mark.exists():
            if over.wait(0.05):
                return
            assert time.monotonic() < until, f"{mark.name} is not there"
        do()

    with ThreadPoolExecutor(1) as threads:
        happening = threads.submit(wait)
        try:
            yield
        finally:
            over.set()
        happening.result()


def test_suites_of_what_is_taken_back_are_ended_and_its_mates_keep_their_place(grounded: Grounded) -> None:
    world, state, happened = grounded, grounded.state, list[float]()
    endless = ENDLESS.replace("STATE", repr(str(state)))
    gone, mate = world.propose(1, {"e2e/left/test_endless.py": endless}), world.change(2, right="better")
    world.go(world.begin("pr-1-1"), p.enter, p.deploy)

    def cancel() -> None:
        happened.append(time.monotonic())
        world.queue.end(1, E.CANCELLED, by="dana", code="cancelled", message="by dana")

    with once(state / "testing", cancel):
        assert world.go("pr-1-1", p.test) is A.REVERTING
    assert time.monotonic() - happened[0] < 60
    assert not Path(f"/proc/{(state / 'pid').read_text()}").exists()
    attempt = world.queue.attempt("pr-1-1")
    assert (attempt.reason_code, attempt.reason, attempt.blamed) == (
        "cancelled",
        "#1 is CANCELLED: by dana",
        None,
    )
    assert world.go("pr-1-1", p.land, p.settle) is A.REVERTED
    assert world.queue.get(gone.id).state is E.CANCELLED
    back = world.queue.get(mate.id)
    assert (back.state, back.suspects) == (E.QUEUED, None)
    world.idle()


def test_a_try_that_is_held_is_ended_and_waits_in_its_place(grounded: Grounded) -> None:
    world = grounded
    endless = ENDLESS.replace("STATE", repr(str(world.state)))
    tried = world.pull_request(1, {"e2e/left/test_endless.py": endless}, mode="try")
    world.go(world.begin("pr-1-1"), p.enter, p.deploy)
    control = Control(world.installation.engine, world.clock)
    with once(world.state / "testing", lambda: control.hold(1, by="dana", reason="lunch")):
        assert world.go("pr-1-1", p.test, p.land, p.settle) is A.REVERTED
    found = world.queue.get(tried.id)
    assert (found.state, found.reason_code, found.reason) == (E.QUEUED, "held", "held by dana: lunch")
    assert world.queue.choose() is None
    world.idle()


def test_of_a_deploy_nothing_more_is_begun_and_what_was_done_is_taken_back(
    grounded: Grounded, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, state, stops = grounded, grounded.state, list[threading.Event]()
    while_wanted = wanted.while_wanted

    def watched(attempts: Any, op: Any, work: Callable[[threading.Event], Any]) -> Any:
        def seen(stop: threading.Event) -> Any:
            stops.append(stop)
            return work(stop)

        return while_wanted(attempts, op, seen)

    monkeypatch.setattr(ground, "while_wanted", watched)
    world.change(1, left="slow", right="better")
    world.go(world.begin("pr-1-1"), p.enter)

    def cancel() -> None:
        world.queue.end(1, E.CANCELLED, by="dana", code="cancelled", message="by dana")
        # What is under way goes on only after it is told to end, however busy the machine is.
        stopped = stops[0].wait(60)
        (state / "go").touch()
        assert stopped

    with once(state / "deploying", cancel):
        assert world.go("pr-1-1", p.deploy) is A.REVERTING
    assert world.said("right") is None
    assert world.queue.attempt("pr-1-1").reason == "#1 is CANCELLED: by dana"
    # The way back is not stopped, though its member is still not wanted.
    assert world.go("pr-1-1", p.test, p.land, p.settle) is A.REVERTED
    assert (world.said("left"), world.said("right")) == ("old", "old")
    world.idle()
