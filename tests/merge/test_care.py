"""Who may enter the lane, what becomes of attempts that were left behind, and of an environment in doubt."""

from __future__ import annotations

import threading
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from sqlalchemy import Engine

from daybreak.environment.calendar import Phase
from daybreak.environment.decision import Decision, NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.machine import USABLE
from daybreak.environment.night import work as night
from daybreak.environment.nights import NightStatus
from daybreak.merge import protocol as p
from daybreak.merge.care import settle_dead
from daybreak.merge.conf import Conf, conf_of, run_id_of
from daybreak.merge.control import Control
from daybreak.merge.gate import Look, May, look
from daybreak.merge.lane import _Hand
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from daybreak.merge.run import Merge
from daybreak.orchestration.merge_care import lonely
from daybreak.settings import Settings
from daybreak.store import Store
from daybreak.talk.gandalf.card import card
from daybreak.talk.gandalf.reports import comment
from examples.standins.aws.emulator import AwsEmulator
from tests.fixtures.registry import ManualClock
from tests.merge.conftest import STEPS, World

NIGHT = date(2026, 3, 5)


class Cared(World):
    """A world whose lane is an installation's."""

    def __init__(self, folder: Path, registry: Engine, clock: ManualClock, endpoint: str = "") -> None:
        account = "123456789012"
        settings = Settings.model_validate({
            "monorepo": {"url": str(folder / "remote.git")}, "home": str(folder / "home"),
            "aws": {"endpoint_url": endpoint or None, "accounts": {account: {}}},
            "environments": [{"name": "merge-01", "account": account, "role": "merge"}],
        })  # fmt: skip
        super().__init__(folder, registry, clock, environment=settings.environment("merge-01"))
        session = boto3.Session(account, "x", region_name="us-east-1")
        self.installation = Installation(
            settings, registry, Store(settings.store_url), lambda _: session, clock
        )  # fmt: skip
        self.merge = Merge(self.installation)
        self.merge.__dict__["lane"] = self.lane

    def look(self, run_id: str, entry: int) -> Look:
        return look(self.installation, self.queue, "merge-01", run_id, entry)

    def care(self, **over: str) -> list[tuple[str, A]]:
        return list(settle_dead(self.merge, lambda run_id: over.get(run_id.replace("-", "_"), "")))


@pytest.fixture
def cared(tmp_path: Path, sqlite_registry: Engine, clock: ManualClock) -> Cared:
    return Cared(tmp_path, sqlite_registry, clock)


def test_the_lane_is_entered_in_the_queue_s_order_and_by_one(cared: Cared) -> None:
    world = cared
    one, two = world.pull_request(1, solo=True), world.pull_request(2, solo=True)
    assert world.look("pr-1-1", one.id) == Look(May.ENTER, "#1 is next, and the lane is free")
    assert world.look("pr-2-1", two.id) == Look(May.WAIT, "#1 is before #2")
    Control(world.installation.engine, world.clock).pause("release", by="dana")
    assert world.look("pr-1-1", one.id).may is May.WAIT
    Control(world.installation.engine, world.clock).resume(by="dana")
    world.go(world.begin("pr-1-1"), p.enter)
    # A try that is killed and comes back goes on.
    assert world.look("pr-1-1", one.id).may is May.ENTER
    assert "pr_e2e/pr-1-1 (for gandalf) works on it" in world.look("pr-2-1", two.id).why
    world.go("pr-1-1", *STEPS[1:])
    assert world.look("pr-1-1", one.id) == Look(May.OVER, "#1 is LANDED")
    assert world.look("pr-2-1", two.id).may is May.ENTER


def test_whoever_comes_with_a_higher_priority_after_the_gate_is_led_by_its_own_run(cared: Cared) -> None:
    one = cared.pull_request(1)
    assert cared.look("pr-1-1", one.id).may is May.ENTER
    two = cared.pull_request(2, priority=1)
    assert cared.merge.enter("pr-1-1", one.id, "gandalf") is None
    assert cared.merge.attempts.find("pr-1-1") is None
    assert {cared.queue.get(each.id).state for each in (one, two)} == {E.QUEUED}
    assert cared.look("pr-1-1", one.id) == Look(May.WAIT, "#2 is before #1")
    assert cared.merge.enter("pr-2-1", two.id, "gandalf") is A.PREPARED
    cared.go("pr-2-1", *STEPS[1:])
    assert cared.merge.enter("pr-1-1", one.id, "gandalf") is A.PREPARED
    assert cared.queue.get(one.id).run_id == "pr-1-1"


def test_whoever_is_in_another_s_batch_waits_until_that_is_over(cared: Cared) -> None:
    one, two = cared.pull_request(1), cared.pull_request(2)
    cared.go(cared.begin("pr-1-1"), p.enter)
    assert cared.look("pr-2-1", two.id) == Look(May.WAIT, "#2 is in the attempt pr-1-1")
    cared.go("pr-1-1", *STEPS[1:])
    assert {cared.look("x", each.id).may for each in (one, two)} == {May.OVER}


def test_an_attempt_whose_run_is_over_is_taken_back_and_a_live_one_is_not(cared: Cared) -> None:
    world = cared
    entry = world.pull_request(7)
    world.go(world.begin("pr-7-1"), p.enter, p.deploy)
    assert world.care() == []
    # Its last try may still be at work: nobody takes an op over that spoke a moment ago.
    assert world.care(pr_7_1="failed") == []
    world.clock.advance(minutes=3)
    assert world.look("pr-8-1", entry.id).may is May.WAIT
    assert world.care(pr_7_1="marked failed") == [("pr-7-1", A.REVERTED)]
    assert world.queue.get(entry.id).state is E.QUEUED
    world.idle()
    # One that never came to the lane ends too.
    world.begin("pr-7-2")
    assert world.care(pr_7_2="failed") == [("pr-7-2", A.REVERTED)]
    assert world.queue.get(entry.id).state is E.QUEUED


def test_the_lane_of_an_attempt_that_died_after_its_end_is_freed(
    cared: Cared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the write of its end and the giving back of the lane: the soak found it held for ever."""

    class Killed(BaseException):
        pass

    def dies(*_: object) -> None:
        raise Killed

    entry = cared.pull_request(7)
    with monkeypatch.context() as patch:
        patch.setattr(_Hand, "_release", dies)
        with pytest.raises(Killed):
            cared.go(cared.begin("pr-7-1"))
    assert cared.queue.attempt("pr-7-1").state is A.CONFIRMED
    assert cared.care(pr_7_1="failed") == []
    cared.clock.advance(minutes=3)
    assert cared.care(pr_7_1="failed") == [("pr-7-1", A.CONFIRMED)]
    assert cared.care(pr_7_1="failed") == []
    assert cared.queue.get(entry.id).state is E.LANDED
    cared.idle()


def test_what_airflow_does_not_know_is_over_when_it_was_silent_for_long(cared: Cared) -> None:
    cared.pull_request(7)
    cared.go(cared.begin("pr-7-1"), p.enter, p.deploy, p.test)
    cared.clock.advance(minutes=14)
    assert list(settle_dead(cared.merge, lambda _: None)) == []
    cared.clock.advance(minutes=2)
    assert list(settle_dead(cared.merge, lambda _: None)) == [("pr-7-1", A.REVERTED)]
    cared.idle()


def test_an_entry_that_never_gets_a_verdict_is_not_tried_for_ever(
    cared: Cared, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    entry = cared.pull_request(7)
    hangs = p.Tested(p.Verdict.TIMED_OUT, "e2e: its time was over")
    held = p.Unwanted(p.HELD, "#7 is held by dana")
    # The second one was held meanwhile, the third one was cut off when it had passed: neither says anything.
    for number, tested in enumerate((hangs, held, None, hangs, hangs), start=1):
        steps = STEPS if tested is not None else (*STEPS[:3], p.settle)
        tested = tested or p.Tested(p.Verdict.PASSED)
        monkeypatch.setattr(cared.place, "test", lambda commit, op, tested=tested: tested)
        assert cared.queue.get(entry.id).state is E.QUEUED
        cared.clock.advance(minutes=1)
        assert cared.go(cared.begin(f"pr-7-{number}"), *steps) is A.REVERTED
    given = cared.queue.get(entry.id)
    assert (given.state, given.reason_code) == (E.REJECTED, "no_verdict")
    assert given.reason == (
        "3 attempts ended without a verdict, the last one: e2e: its time was over"
    )  # fmt: skip
    cared.idle()


class Poison:
    """Whoever tests a commit that holds this file dies; the caretaker finds the attempt."""

    def __init__(self, cared: Cared, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
        self.cared, self.count = cared, 0
        test = cared.place.test

        def dies(commit: str, op: Any) -> p.Tested:
            if file in {each.path for each in cared.repository.ls_tree(commit)}:
                raise MemoryError
            return test(commit, op)

        monkeypatch.setattr(cared.place, "test", dies)

    def attempt(self) -> tuple[list[str], A]:
        """Of whatever is next: its members, and how it ended."""
        self.count += 1
        run_id = self.cared.begin(f"run-{self.count}")
        members = [self.cared.queue.get(each).name for each in self.cared.queue.attempt(run_id).members]
        try:
            self.cared.go(run_id)
        except MemoryError:
            self.cared.clock.advance(minutes=3)
            list(settle_dead(self.cared.merge, lambda each: "failed" if each == run_id else ""))
        return members, self.cared.queue.attempt(run_id).state


def test_a_pull_request_with_which_each_task_dies_is_held_and_what_is_behind_it_lands(
    cared: Cared, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = Poison(cared, monkeypatch, "eats-memory")
    entry = cared.pull_request(7, {"eats-memory": "x"}, solo=True)
    behind = cared.pull_request(8, solo=True)
    control = Control(cared.installation.engine, cared.clock)
    for _ in range(2):  # by itself, and after somebody let it go on: three attempts each time
        assert [lane.attempt() for _ in range(3)] == [(["#7"], A.REVERTED)] * 3
        found = cared.queue.get(entry.id)
        assert (found.state, found.held_by, found.reason_code) == (E.QUEUED, "gandalf", "held")
        last = "3 attempts ended without a verdict, the last one: its task was cut off while it was TESTING"
        assert last in str(found.reason)
        said = comment(card(cared.installation, found))
        assert "held by gandalf" in said
        assert "cut off while it was TESTING" in said
        assert "`@gandalf unhold` lets it go on" in said
        if cared.queue.get(behind.id).state is E.QUEUED:
            assert lane.attempt() == (["#8"], A.CONFIRMED)
        assert cared.queue.choose() is None
        control.unhold(7, by="dana")
    assert lane.attempt() == (["#7"], A.REVERTED)
    assert cared.queue.get(entry.id).held_by is None
    cared.idle()


def test_whoever_was_killed_before_or_after_the_work_is_held_by_nobody(cared: Cared) -> None:
    entry = cared.pull_request(7)
    for number, steps in enumerate([(p.enter,), (p.enter, p.deploy), (p.enter, p.deploy, p.test)] * 2):
        run_id = cared.begin(f"pr-7-{number}")
        cared.go(run_id, *steps)
        assert cared.caretaker(run_id) is A.REVERTED
    found = cared.queue.get(entry.id)
    assert (found.state, found.held_by, found.attempts) == (E.QUEUED, None, 6)
    assert cared.go(cared.begin("pr-7-7")) is A.CONFIRMED


def test_a_batch_with_which_each_task_dies_is_halved_until_the_one_is_alone_and_the_others_land(
    cared: Cared, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = Poison(cared, monkeypatch, "pr-2")
    for number in (1, 2, 3, 4):
        cared.pull_request(number)
    seen = []
    while cared.queue.choose() is not None:
        seen.append(lane.attempt())
        assert len(seen) < 12, seen
    whole, low = ["#1", "#2", "#3", "#4"], ["#1", "#2"]
    assert seen == [
        *[(whole, A.REVERTED)] * 2, (low, A.REVERTED), (["#1"], A.CONFIRMED), *[(["#2"], A.REVERTED)] * 3,
        (["#3", "#4"], A.CONFIRMED),
    ]  # fmt: skip
    assert cared.files() == {"pr-1", "pr-3", "pr-4"}
    [held] = cared.queue.open()
    assert (held.pr, held.held_by) == (2, "gandalf")
    cared.idle()


def test_an_entry_without_a_run_is_found_a_minute_after_it_was_left_alone(cared: Cared) -> None:
    class Runs:
        confs: tuple[dict[str, int], ...] = ()

        def going_on(self, dag_id: str) -> list[Any]:
            return [type("Run", (), {"conf": each})() for each in self.confs]

    runs = Runs()
    one, two = cared.pull_request(1), cared.pull_request(2)
    assert lonely(cared.merge, runs) == []  # type: ignore[arg-type]
    cared.clock.advance(minutes=2)
    # One for an older entry of #2 does not count; one that somebody made by hand does.
    for conf in ({"pr": 1}, {"pr": 1, "entry": one.id}):
        runs.confs = (conf, {"pr": 2, "entry": one.id})
        assert [each.id for each in lonely(cared.merge, runs)] == [two.id]  # type: ignore[arg-type]
    assert run_id_of(one) == f"pr-1-{one.sha[:7]}-1"
    assert Conf.of(conf_of(one)) == Conf(1, one.sha, entry=one.id)


def test_the_night_and_an_attempt_never_work_on_it_at_once(
    tmp_path: Path, sqlite_registry: Engine, clock: ManualClock, aws: AwsEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(night, "_POLL", 0.01)
    world = Cared(tmp_path, sqlite_registry, clock, aws.endpoint_url)
    one, two = world.pull_request(1, solo=True), world.pull_request(2, solo=True)
    decision = Decision("merge-01", NightAction.REBUILD, "asked for", rebuild=True, in_place=True)
    installation = world.installation
    installation.nights.open(NIGHT, "night-1", plan=[decision.to_json()])
    installation.nights.claim(NIGHT, "merge-01", "night-1", decision.to_json(), takeover=False)
    seen: list[tuple[Any, ...]] = []

    def rebuild(work: night.Work, op: Any) -> dict[str, Any]:
        # The next attempt wants to enter while the night is at work.
        run_id = world.begin("pr-2-1")
        seen.append((world.queue.get(one.id).state, world.go(run_id, p.enter)))
        return {}

    stage = night.Stage("scorch", Phase.REBUILD, USABLE, None, 30, rebuild, first=True)
    world.go(world.begin("pr-1-1"), p.enter)
    rebuilds = threading.Thread(
        target=night.run, args=(night.Work(installation, "night-1", NIGHT, decision), stage)
    )
    rebuilds.start()
    until = time.monotonic() + 30
    while installation.nights.environments(environment="merge-01")[0].status is not NightStatus.RUNNING:
        assert time.monotonic() < until, "the night never began to wait"
        time.sleep(0.01)
    world.go("pr-1-1", *STEPS[1:4])
    [row] = installation.nights.environments(environment="merge-01")
    assert (seen, row.status) == ([], NightStatus.RUNNING)
    world.go("pr-1-1", p.settle)
    # It waited, and has its turn before the next attempt.
    assert world.look("pr-2-1", two.id).may is May.WAIT
    rebuilds.join(30)
    assert seen == [(E.LANDED, A.PLANNED)]
    installation.nights.mark(NIGHT, "merge-01", "night-1", NightStatus.DONE, {})
    assert world.go("pr-2-1") is A.CONFIRMED
    world.idle()


def test_a_night_that_waited_for_too_long_leaves_it_alone(
    cared: Cared, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(night, "_POLL", 0.0)
    monkeypatch.setattr(night, "TURN", timedelta(0))
    cared.pull_request(1)
    decision = Decision("merge-01", NightAction.REBUILD, "asked for", rebuild=True, in_place=True)
    nights = cared.installation.nights
    nights.open(NIGHT, "night-1", plan=[decision.to_json()])
    nights.claim(NIGHT, "merge-01", "night-1", decision.to_json(), takeover=False)
    stage = night.Stage("scorch", Phase.REBUILD, USABLE, None, 30, lambda *_: {}, first=True)
    cared.go(cared.begin("pr-1-1"), p.enter)
    with pytest.raises(Exception, match="pr_e2e/pr-1-1"):
        night.run(night.Work(cared.installation, "night-1", NIGHT, decision), stage)
    assert cared.go("pr-1-1", *STEPS[1:]) is A.CONFIRMED
