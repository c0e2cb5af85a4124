"""Runs of `pr_e2e` that come between each other anywhere from `resolve` to `settle`: as Airflow starts them,
without Airflow.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from daybreak.errors import DaybreakError, UsageError
from daybreak.merge import protocol as p
from daybreak.merge import run as run_module
from daybreak.merge.batch import Batch
from daybreak.merge.care import settle_dead
from daybreak.merge.conf import Conf, conf_of, run_id_of
from daybreak.merge.control import Control
from daybreak.merge.gate import May
from daybreak.merge.lane import _Hand
from daybreak.merge.queue import Ask, Queue, TooLate
from daybreak.merge.rows import Entry
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from daybreak.orchestration.merge_care import lonely
from daybreak.orchestration.rest import Run
from tests.fixtures.registry import ManualClock
from tests.merge.conftest import STEPS
from tests.merge.test_care import Cared
from tests.merge.test_lane import Killed


@pytest.fixture
def cared(tmp_path: Path, sqlite_registry: Engine, clock: ManualClock) -> Cared:
    return Cared(tmp_path, sqlite_registry, clock)


def cancel(cared: Cared, number: int) -> None:
    cared.queue.end(number, E.CANCELLED, by="dana", code="cancelled", message="by dana")


def killed(*_: object) -> None:
    raise Killed


def test_what_was_taken_back_before_its_run_began_is_not_brought_back_by_it(cared: Cared) -> None:
    entry = cared.pull_request(7)
    conf = Conf.of(conf_of(entry))
    cancel(cared, 7)
    found = cared.merge.resolve(conf, "gandalf", "pr-7-1")
    assert (found.id, found.state) == (entry.id, E.CANCELLED)
    assert cared.look("pr-7-1", found.id).may is May.OVER
    assert [each.id for each in cared.queue.of_pull(7)] == [entry.id]
    with pytest.raises(UsageError, match="conf: entry: 1 is #7's, not #8's"):
        cared.merge.resolve(Conf(8, entry=entry.id), "gandalf", "pr-8-1")


def test_a_run_that_is_tried_again_asks_for_no_second_entry(cared: Cared) -> None:
    """It put one there, or found one; then it was killed, and the entry taken back."""
    entry = cared.pull_request(7)
    assert cared.merge.resolve(Conf(7), "dana", "by-hand-1").id == entry.id
    cancel(cared, 7)
    assert cared.merge.resolve(Conf(7), "dana", "by-hand-1").state is E.CANCELLED
    made = cared.merge.resolve(Conf(7), "dana", "by-hand-2")
    assert (made.state, made.id) == (E.QUEUED, entry.id + 1)
    cancel(cared, 7)
    assert cared.merge.resolve(Conf(7), "dana", "by-hand-2").state is E.CANCELLED
    assert len(cared.queue.of_pull(7)) == 2


def test_a_try_takes_no_landing_away_and_is_not_landed_for_one(cared: Cared) -> None:
    to_land, to_try = cared.pull_request(7), cared.pull_request(8, mode="try")
    with pytest.raises(UsageError, match="#7 is in the queue to land, where it is tested too; `cancel` it"):
        cared.merge.resolve(Conf(7, mode="try"), "dana", "by-hand-1")
    assert cared.queue.get(to_land.id).state is E.QUEUED
    landing = cared.merge.resolve(Conf(8), "dana", "by-hand-2")
    assert (landing.mode, cared.queue.get(to_try.id).state) == ("land", E.STALE)


def test_a_head_that_moved_before_its_run_began_is_stale_also_when_nobody_asks_github(cared: Cared) -> None:
    entry = cared.pull_request(7)
    more = cared.work.commit({"more": "x"})
    cared.work.git("push", "--quiet", cared.url, f"{more}:refs/pull/7/head")
    found = cared.merge.resolve(Conf.of(conf_of(entry)), "gandalf", "pr-7-1")
    assert (found.id, found.state, found.reason_code) == (entry.id, E.STALE, "stale")
    assert more[:12] in str(found.reason)


def test_two_runs_of_one_entry_make_one_attempt_at_a_time(cared: Cared) -> None:
    """Gandalf's and one by hand pass the gate together; the second one goes on where the first gives up."""
    entry = cared.pull_request(7)
    for run_id, conf in (("pr-7-1", Conf.of(conf_of(entry))), ("by-hand", Conf(7))):
        assert cared.merge.resolve(conf, "gandalf", run_id).id == entry.id
        assert cared.look(run_id, entry.id).may is May.ENTER
    assert cared.merge.enter("pr-7-1", entry.id, "gandalf") is A.PREPARED
    assert cared.merge.enter("by-hand", entry.id, "gandalf") is None
    assert cared.look("by-hand", entry.id).why == "#7 is in the attempt pr-7-1"
    # Settled, as it is when somebody marked it: it has nothing to take back.
    assert cared.merge.settle("by-hand", "gandalf") is None
    cared.go("pr-7-1", p.deploy, p.settle)
    assert cared.merge.enter("by-hand", entry.id, "gandalf") is A.PREPARED
    again = cared.queue.get(entry.id)
    assert run_id_of(again) == f"pr-7-{entry.sha[:7]}-3"
    cared.go("by-hand", *STEPS[1:])
    assert cared.look("pr-7-1", entry.id).may is May.OVER
    cared.idle()


@pytest.mark.parametrize("comes", ["cancel", "hold", "first", "other"])
def test_what_comes_between_the_choice_and_the_attempt_wins(
    cared: Cared, monkeypatch: pytest.MonkeyPatch, comes: str
) -> None:
    one, two = cared.pull_request(1), cared.pull_request(2)
    choose = Queue.choose

    def chosen(queue: Queue, *impact: object) -> Batch | None:
        found = choose(queue, *impact)  # type: ignore[arg-type]
        monkeypatch.setattr(Queue, "choose", choose)
        match comes:
            case "cancel":
                cancel(cared, 2)
            case "hold":
                Control(cared.installation.engine, cared.clock).hold(1, by="dana")
            case "first":
                cared.queue.add(Ask(2, two.sha, two.title, two.author, priority=1), by="dana")
            case _:
                assert cared.merge.enter("by-hand", one.id, "gandalf") is A.PREPARED
        return found

    monkeypatch.setattr(Queue, "choose", chosen)
    assert cared.merge.enter("pr-1-1", one.id, "gandalf") is None
    assert cared.merge.attempts.find("pr-1-1") is None
    states = {each.pr: cared.queue.get(each.id).state for each in (one, two)}
    after_cancel = {1: E.QUEUED, 2: E.CANCELLED}
    both = E.IN_ATTEMPT if comes == "other" else E.QUEUED
    assert states == (after_cancel if comes == "cancel" else {1: both, 2: both})
    assert cared.environments.get("merge-01").op_token is None or comes == "other"


@pytest.mark.parametrize("who", ["settle", "caretaker"])
@pytest.mark.parametrize("lands", [True, False])
def test_killed_between_its_end_and_the_lane_the_environment_still_says_what_was_proven(
    cared: Cared, monkeypatch: pytest.MonkeyPatch, lands: bool, who: str
) -> None:
    cared.place.bad = [] if lands else [frozenset({"pr-7"})]
    cared.pull_request(7)
    cared.go(cared.begin("pr-7-1"), *STEPS[:-1])
    cared.hotfix()
    with monkeypatch.context() as patched:
        patched.setattr(_Hand, "_release", killed)
        with pytest.raises(Killed):
            cared.go("pr-7-1", p.settle)
    assert cared.queue.attempt("pr-7-1").state is (A.CONFIRMED if lands else A.REVERTED)
    assert cared.environments.get("merge-01").op_token is not None
    cared.clock.advance(minutes=3)
    if who == "settle":
        cared.go("pr-7-1", p.settle)
    else:
        cared.care(pr_7_1="its run is over")
    cared.idle()


@dataclass
class Airflow:
    """Runs as generators: each `yield` is where others may come between."""

    cared: Cared
    rng: random.Random
    monkeypatch: pytest.MonkeyPatch
    alive: dict[str, tuple[Conf, Iterator[None]]] = field(default_factory=dict)
    #: What each run was for, and all that were ever made.
    led: dict[str, int] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    within: bool = False
    stepping: list[Iterator[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        choose = Queue.choose

        def chosen(queue: Queue, *impact: object) -> Batch | None:
            found = choose(queue, *impact)  # type: ignore[arg-type]
            if not self.within and self.rng.random() < 0.3:
                self.within = True
                self.something()
                self.within = False
            return found

        self.monkeypatch.setattr(Queue, "choose", chosen)

    def going_on(self, dag_id: str) -> list[Run]:
        return [
            Run(dag_id, name, "running", "", {"pr": conf.pr, "entry": conf.entry}, "")
            for name, (conf, _) in self.alive.items()
        ]

    def trigger(self, run_id: str, conf: Conf) -> None:
        assert run_id not in self.led
        assert len(self.led) < 200, "runs follow each other without end"
        self.led[run_id] = 0
        self.alive[run_id] = conf, self.run(run_id, conf)

    def start_again(self, entry: Entry) -> None:
        names = (run_id_of(entry, more) for more in range(100))
        run_id = next(name for name in names if name not in self.over)
        if run_id not in self.alive:
            self.trigger(run_id, Conf.of(conf_of(entry)))

    def run(self, run_id: str, conf: Conf) -> Iterator[None]:
        merge = self.cared.merge
        yield
        try:
            entry = merge.resolve(conf, "gandalf", run_id)
        except DaybreakError:
            return
        self.led[run_id] = entry.id
        yield
        while (seen := self.cared.look(run_id, entry.id)).may is not May.OVER:
            yield
            if seen.may is May.ENTER and merge.enter(run_id, entry.id, "gandalf") is not None:
                for step in (p.deploy, p.test, p.land):
                    yield
                    try:
                        merge.go(run_id, step(), "gandalf")
                    except DaybreakError:
                        break
                break
        yield from self.settle(run_id)

    def settle(self, run_id: str) -> Iterator[None]:
        merge = self.cared.merge
        yield
        try:
            merge.settle(run_id, "gandalf")
        except DaybreakError:
            return  # the caretaker's
        yield
        if not self.led[run_id]:
            return
        entry = self.cared.queue.get(self.led[run_id])
        yield
        if entry.ended_at is None:
            self.start_again(entry)

    def step(self) -> None:
        """One step of some run."""
        run_id = self.rng.choice(sorted(self.alive))
        going = self.alive[run_id][1]
        if going in self.stepping:
            return  # it is what this comes between
        self.stepping.append(going)
        try:
            next(going)
        except StopIteration:
            # One that was marked in the middle of its step goes on with `settle`; killed, it is over already.
            if run_id in self.alive and self.alive[run_id][1] is going:
                del self.alive[run_id]
                self.over.add(run_id)
        self.stepping.remove(going)

    def something(self) -> None:
        """What people and the world do at any moment."""
        queue, rng = self.cared.queue, self.rng
        waiting = [each for each in queue.open() if each.state in (E.QUEUED, E.IN_ATTEMPT)]
        what = rng.choice(("cancel", "first", "by hand", "marked", "killed", "step", "step", "step", "care"))
        if what == "care":
            self.care()
        elif what == "step" and self.alive:
            self.step()
        elif what in ("marked", "killed") and self.alive:
            run_id = rng.choice(sorted(self.alive))
            conf, _ = self.alive.pop(run_id)
            if what == "marked":
                self.alive[run_id] = conf, self.settle(run_id)
            else:
                self.over.add(run_id)
        elif waiting:
            entry = rng.choice(waiting)
            try:
                if what == "cancel" and rng.random() < 0.3:
                    cancel(self.cared, entry.pr)
                elif what == "first":
                    ask = Ask(entry.pr, entry.sha, entry.title, entry.author, priority=rng.choice((0, 1)))
                    queue.add(ask, by="dana")
                elif what == "by hand":
                    self.trigger(f"by-hand-{len(self.led)}", Conf(entry.pr, entry.sha))
            except TooLate:
                pass

    def care(self) -> None:
        self.cared.clock.advance(minutes=3)

        def over(run_id: str) -> str:
            return "" if run_id in self.alive else "its run is over"

        list(settle_dead(self.cared.merge, over))
        for entry in self.cared.queue.open():
            if entry.held_by is not None:  # by Gandalf; nobody else holds
                Control(self.cared.installation.engine, self.cared.clock).unhold(entry.pr, by="dana")
        for entry in lonely(self.cared.merge, self):  # type: ignore[arg-type]
            self.start_again(entry)


def walk(cared: Cared, seed: int, monkeypatch: pytest.MonkeyPatch, pulls: int = 5) -> Counter[str]:
    """So many pull requests; gives how they ended."""
    monkeypatch.setattr(run_module, "QUIET", timedelta(0))
    rng = random.Random(seed)
    airflow = Airflow(cared, rng, monkeypatch)
    cared.place.bad = [frozenset({"pr-2"})]
    for number in range(1, pulls + 1):
        entry = cared.pull_request(number, solo=rng.random() < 0.2)
        airflow.start_again(entry)
        for _ in range(rng.randint(0, 12)):
            airflow.something()
    asked = 400
    while asked and (cared.queue.open() or airflow.alive):
        asked -= 1
        if airflow.alive and rng.random() < 0.9:
            airflow.step()
        elif rng.random() < 0.2 and asked > 200:
            airflow.something()
        else:
            airflow.care()
    assert asked, [(each.name, each.state, each.run_id) for each in cared.queue.open()]
    airflow.care()

    assert cared.merge.attempts.unfinished() == []
    for run_id, entry_id in airflow.led.items():
        attempt = cared.merge.attempts.find(run_id)
        assert attempt is None or attempt.members[0] == entry_id, run_id
    files, ends = cared.files(), Counter[str]()
    for number in range(1, pulls + 1):
        entries = cared.queue.of_pull(number)
        states = [each.state for each in entries]
        # One entry for whoever asked: for Gandalf, and for a run by hand after its end.
        by_hand = {led for name, led in airflow.led.items() if name.startswith("by-hand")}
        assert {each.id for each in entries[:-1]} <= by_hand
        assert states.count(E.LANDED) == (f"pr-{number}" in files), (number, states)
        assert states[0] in ({E.REJECTED, E.CANCELLED} if number == 2 else {E.LANDED, E.CANCELLED})
        ends.update(map(str, states))
    cared.idle()
    return ends


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_between_nothing_is_stuck_and_each_ends_once(
    cared: Cared, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    assert walk(cared, seed, monkeypatch)["LANDED"]


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(100, 160))
def test_whatever_comes_between_sixty_times(cared: Cared, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    walk(cared, seed, monkeypatch)
