"""What may be in the lane next is what the lane takes next, whatever becomes of the attempt that is in it."""

from __future__ import annotations

import itertools
import logging
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, update

from benchmarks.merge_world import Clock, Pull, Site
from daybreak.build.artifact import Artifacts
from daybreak.build.runner import Outcome, build_all
from daybreak.catalog import snapshot
from daybreak.change.plan import Plan
from daybreak.environment.machine import State
from daybreak.environment.state import Environments
from daybreak.merge import protocol as p
from daybreak.merge.ahead import guesses
from daybreak.merge.attempts import Attempts
from daybreak.merge.batch import Batch, Line, Standing
from daybreak.merge.lane import Lane
from daybreak.merge.queue import Ask, Queue
from daybreak.merge.rows import LAND, TRY, Attempt
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from daybreak.merge.run import Merge
from daybreak.orchestration import prebuild
from daybreak.orchestration.merge_care import forget_builds
from daybreak.registry import connect, merge_tables, tables
from examples.standins.aws.emulator import AwsEmulator
from tests.fixtures.registry import ENVIRONMENTS, ManualClock
from tests.merge.conftest import STEPS
from tests.merge.ground import Grounded
from tests.merge.small import RESOURCES
from tests.merge.test_batch import AT, entry

COUNT = itertools.count()
ASKED = st.fixed_dictionaries({
    "mode": st.sampled_from([LAND] * 6 + [TRY]), "priority": st.sampled_from([0] * 4 + [1]),
    "solo": st.sampled_from([False] * 6 + [True]), "bad": st.sampled_from([False, False, True]),
    "touches": st.frozensets(st.integers(0, 5), max_size=3), "held": st.sampled_from([False] * 8 + [True]),
})  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(asked=st.lists(ASKED, min_size=1, max_size=9))
def test_where_nobody_comes_or_goes_the_lane_takes_what_was_guessed(
    asked: list[dict[str, Any]], sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    registry = tmp_path_factory.getbasetemp() / f"ahead-{next(COUNT)}.db"
    shutil.copy(sqlite_template, registry)
    engine, clock = connect(f"sqlite:///{registry}"), Clock()
    try:
        _follows(engine, clock, asked)
    finally:
        engine.dispose()
        registry.unlink()


def _follows(engine: Engine, clock: Clock, asked: list[dict[str, Any]]) -> None:
    environments, queue, attempts = Environments(engine, clock), Queue(engine, clock), Attempts(engine, clock)
    environments.ensure(ENVIRONMENTS[-1])
    with engine.begin() as connection:
        connection.execute(update(tables.environments).values(state=State.READY))
    pulls = {pr: Pull(pr, 0.0, each["touches"], each["bad"]) for pr, each in enumerate(asked, 1)}
    site = Site(False, clock, pulls)
    lane = Lane(environments, queue, attempts, site, "merge-01", site, lambda _: None, timedelta(hours=3))
    impact = {}
    for pr, each in enumerate(asked, 1):
        more = {name: each[name] for name in ("mode", "priority", "solo")}
        made = queue.add(Ask(pr, f"{pr:040x}", "t", "dana", **more), by="dana")
        impact[made.id] = frozenset(map(str, each["touches"]))
        if each["held"]:
            with engine.begin() as connection:
                here = merge_tables.entries.c.id == made.id
                connection.execute(update(merge_tables.entries).where(here).values(held_by="eli"))
    for number in itertools.count(1):
        chosen = queue.choose(impact)
        if chosen is None:
            break
        run_id = f"pr-{chosen.members[0].pr}-{number}"
        queue.begin(run_id, chosen, actor="gandalf")
        guessed = []
        for step in STEPS:
            lane.run(run_id, step(), holder=f"pr_e2e/{run_id}", actor="gandalf")
            members = [queue.get(each.id) for each in chosen.members]
            guessed.append([*guesses(queue.line(), queue.attempt(run_id), members, impact)])
        follows, lands = queue.choose(impact), queue.attempt(run_id).state is A.CONFIRMED
        assert guessed.pop() == []  # it is over
        for each in guessed:
            said = {guess.lands: (guess.base, [member.id for member in guess.members]) for guess in each}
            want = (site.main, [member.id for member in follows.members]) if follows is not None else None
            assert said.get(lands) == want
            assert {guess.after for guess in each} <= {run_id}
        # Once it is known how it ends, nothing is built for the other end.
        assert {guess.lands for guess in guessed[-1]} <= {lands}
    assert {each.held_by for each in queue.open()} <= {"eli"}


def attempt(state: A, **more: Any) -> Attempt:
    made = Attempt(
        run_id="pr-1-1", members=(1, 2), mode=LAND, state=state, version=1, fence=1, token="t", base="main",
        candidate="both", lease="", landing="", reason_code=None, reason=None, blamed=None, created_at=AT,
        changed_at=AT,
    )  # fmt: skip
    return replace(made, **more)


def said(attempt: Attempt, line: Line) -> list[tuple[bool, str, list[int]]]:
    members = [entry(each, state=E.IN_ATTEMPT) for each in attempt.members]
    found = guesses(line, attempt, members)
    return [(each.lands, each.base, [member.id for member in each.members]) for each in found]


def test_what_follows_a_landing_is_on_its_candidate_and_what_follows_a_failure_is_a_half_on_main() -> None:
    line = Line([entry(3), entry(4)])
    lands, half = (True, "both", [3, 4]), (False, "main", [1])
    assert said(attempt(A.TESTING), line) == [lands, half]
    assert said(attempt(A.LANDING), line) == [lands]
    assert said(attempt(A.FAILED, reason_code="tests_failed"), line) == [half]
    # Nobody is to blame: all of them again, before the others.
    assert said(attempt(A.TIMED_OUT, reason_code="tests_timed_out"), line) == [(False, "main", [1, 2, 3, 4])]
    # Who was taken back meanwhile does not come again.
    over = replace(entry(2), state=E.CANCELLED, ended_at=AT)
    [fails] = guesses(Line([]), attempt(A.TESTING, candidate="x"), [entry(1), over])
    assert [each.id for each in fails.members] == [1]
    # One alone is rejected, and a try lands never.
    assert said(attempt(A.TESTING, members=(1,)), line) == [lands, (False, "main", [3, 4])]
    assert said(attempt(A.TESTING, members=(1,), mode=TRY), line) == [(False, "main", [3, 4])]


def test_how_large_a_batch_may_be_then_counts_what_the_attempt_decides() -> None:
    line = Line([entry(each) for each in range(3, 8)], decided=[True] * 8 + [False])
    assert said(attempt(A.TESTING, members=(1,)), line) == [(True, "both", [3, 4, 5]), (False, "main", [3])]
    # Once it has landed, that is counted already.
    assert said(attempt(A.LANDED, members=(1,)), line) == [(True, "both", [3, 4, 5, 6])]
    # A half decides about nobody when it fails.
    assert said(attempt(A.TESTING), line) == [(True, "both", [3, 4, 5]), (False, "main", [1])]


def test_nothing_follows_what_has_no_candidate_or_is_over_nor_in_a_queue_that_is_paused() -> None:
    line = Line([entry(3)])
    for state in (A.PLANNED, A.CONFIRMED, A.REVERTED, A.QUARANTINED):
        assert said(attempt(state), line) == []
    assert said(attempt(A.LEASED, candidate=""), line) == []
    assert said(attempt(A.TESTING), replace(line, standing=Standing(paused=True))) == []
    assert said(attempt(A.TESTING, members=(1,)), Line([])) == []


@pytest.fixture
def grounded(
    tmp_path: Path, sqlite_registry: Engine, clock: ManualClock, aws: AwsEmulator, aws_account: str
) -> Grounded:
    world = Grounded(tmp_path, sqlite_registry, clock, aws.endpoint_url, aws_account)
    # Something runs there already, and each of the two has the same files for all to change.
    world.change(1, left="old-1", right="old-1")
    assert world.go(world.begin("pr-1-1")) is A.CONFIRMED
    return world


def built(world: Grounded, merge: Merge, run_id: str, planned: Plan) -> list[Outcome]:
    """As the groups of the DAG do it."""
    installation, catalog = world.installation, snapshot.stored(world.installation.store, planned.commit)
    keys = {step.name: step.key for step in planned.steps}
    return [
        each.outcome
        for each in build_all(
            merge.repository, catalog, sorted(merge.to_build(planned)), keys, Artifacts(installation.store),
            installation.home, installation.settings.build, print,
        )
    ]  # fmt: skip


IN_LANE = "built in the lane, nobody did before"


@pytest.mark.parametrize("lands", [True, False])
def test_the_next_attempt_finds_what_was_built_while_the_one_before_was_in_the_lane(
    grounded: Grounded, caplog: pytest.LogCaptureFixture, lands: bool
) -> None:
    """Three change the same resource, two of them together: whatever comes next is built nowhere yet."""
    world = grounded
    caplog.set_level(logging.INFO, "daybreak.merge.ground")
    one = world.propose(2, {"left/value.txt": "two\n" if lands else "bad\n"})
    two, three = world.propose(3, {"left/more.txt": "x\n"}), world.propose(4, {"left/third.txt": "x\n"})
    for each in (one, two, three):
        merge = Merge(world.installation)
        own = merge.pin(f"pr-{each.pr}-1", each.pr, each.sha)
        assert built(world, merge, f"pr-{each.pr}-1", own) == [Outcome.BUILT]
        merge.finish(f"pr-{each.pr}-1")
    world.go(world.begin("pr-2-1", Batch((one, two))), p.enter)

    merge = Merge(world.installation)
    guessed = {each.lands: each for each in merge.guesses()}
    assert guessed[True].pulls == [(4, three.sha)]
    assert guessed[False].pulls == [(2, one.sha)]
    # The first half alone is what its own run built.
    assert {end: merge.lacking(each) for end, each in guessed.items()} == {True: {"left"}, False: set()}
    planned = merge.pin_ahead("after-1", prebuild.DAG, "pr-2-1", True)
    assert planned is not None
    assert built(world, merge, "after-1", planned) == [Outcome.BUILT]
    assert merge.lacking(guessed[True]) == set()
    merge.finish("after-1")
    assert merge.pin_ahead("after-2", prebuild.DAG, "pr-1-1", True) is None  # that one is over

    ended = world.go("pr-2-1", *STEPS[1:])
    assert ended is (A.CONFIRMED if lands else A.REVERTED)
    assert IN_LANE in caplog.text  # the two together: nobody was in the lane before them
    caplog.clear()
    world.go(world.begin("next"))
    then = world.queue.attempt("next")
    members = [world.queue.get(each).pr for each in then.members]
    assert (members, then.state) == (([4], A.CONFIRMED) if lands else ([2], A.REVERTED))
    assert IN_LANE not in caplog.text
    world.idle()


class Airflow:
    """What of Airflow's REST API is asked; its runs are those that were made."""

    def __init__(self, others: int = 0, down: bool = False) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.others, self.down = others, down

    def going_on(self, dag_id: str) -> list[str]:
        assert dag_id == "prebuild"
        return [*self.runs, *(str(each) for each in range(self.others))]

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> Any:
        if self.down:
            raise ConnectionError("away")
        self.runs[run_id] = conf
        return Run(run_id)

    def run(self, dag_id: str, run_id: str) -> Any:
        return Run(run_id, run_id in self.runs)


@dataclass
class Run:
    run_id: str
    ended: bool = False
    state: str = "failed"


def ahead(world: Grounded, airflow: Airflow | None) -> list[str]:
    return list(prebuild.build_ahead(Merge(world.installation), airflow))  # type: ignore[arg-type]


def test_a_run_is_made_for_what_is_not_built_and_once_for_the_same_guess(grounded: Grounded) -> None:
    world, airflow = grounded, Airflow()
    world.propose(2, {"left/value.txt": "two\n"})
    assert ahead(world, airflow) == []  # nobody is in the lane
    world.go(world.begin("pr-2-1"), p.enter)
    assert ahead(world, airflow) == []  # nothing can follow
    three = world.propose(3, {"left/more.txt": "x\n"})
    said = ahead(world, airflow)
    assert [line.partition(", in ")[0] for line in said] == [
        "#3 after pr-2-1, if that lands: left", "#3 after pr-2-1, if that fails: left",
    ]  # fmt: skip
    assert list(airflow.runs.values()) == [{"after": "pr-2-1", "lands": each} for each in (True, False)]
    first = set(airflow.runs)
    ahead(world, airflow)
    assert set(airflow.runs) == first
    # Another one came: what follows is another commit, and another run.
    world.propose(4, {"right/more.txt": "x\n"})
    assert len(ahead(world, airflow)) == 2
    assert len(airflow.runs) == 4
    # One that would not merge there is left to the lane.
    world.queue.end(4, E.CANCELLED, by="eli", code="cancelled", message="by eli")
    world.queue.end(3, E.CANCELLED, by="eli", code="cancelled", message="by eli")
    world.propose(5, {"left/value.txt": "five\n"})
    airflow.runs.clear()
    assert "conflicts" in ahead(world, airflow)[0]
    assert [each["lands"] for each in airflow.runs.values()] == [False]
    assert three.state is E.QUEUED


def test_nothing_is_built_ahead_beside_many_builds_without_airflow_or_while_it_is_away(
    grounded: Grounded,
) -> None:
    world = grounded
    world.propose(2, {"left/value.txt": "two\n"})
    world.go(world.begin("pr-2-1"), p.enter)
    world.propose(3, {"left/more.txt": "x\n"})
    busy = Airflow(others=prebuild.BUSY)
    assert all("so much is built already" in line for line in ahead(world, busy))
    assert busy.runs == {}
    assert ahead(world, None) == []
    assert ahead(world, Airflow(down=True)) == []
    assert world.go("pr-2-1", *STEPS[1:]) is A.CONFIRMED


def test_a_build_that_fails_or_is_killed_changes_nothing_for_the_lane(
    grounded: Grounded, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = grounded
    world.propose(2, {"left/value.txt": "two\n"})
    world.go(world.begin("pr-2-1"), p.enter)
    broken = RESOURCES.replace('{"deploy"', '{"build": ["python", "-c", "1 / 0"], "deploy"')
    world.propose(3, {"resources.py": broken})

    def rows() -> list[Any]:
        kept = (merge_tables.entries, merge_tables.attempts, merge_tables.merge_events, tables.environments)
        with world.installation.engine.connect() as connection:
            return [[tuple(row) for row in connection.execute(select(each))] for each in kept]

    before, refs = rows(), world.work.git("-C", world.url, "for-each-ref")
    merge = Merge(world.installation)
    planned = merge.pin_ahead("after-1", prebuild.DAG, "pr-2-1", True)
    assert planned is not None
    assert merge.pin_ahead("after-1", prebuild.DAG, "pr-2-1", True) == planned  # another try of its task
    assert set(built(world, merge, "after-1", planned)) == {Outcome.FAILED}
    assert rows() == before

    # It was killed before it could say that it needs nothing more.
    airflow = Airflow()
    assert list(forget_builds(merge, Airflow())) == []
    airflow.runs["after-1"] = {}
    assert list(forget_builds(merge, airflow)) == ["after-1 is over; what it pinned is forgotten"]  # type: ignore[arg-type]
    assert world.installation.runs.unfinished() == []
    assert (rows(), world.work.git("-C", world.url, "for-each-ref")) == (before, refs)
    assert world.go("pr-2-1", *STEPS[1:]) is A.CONFIRMED
    # Whoever is to blame for it is found out in the lane, alone.
    assert world.go(world.begin("pr-3-1")) is A.REVERTED
    assert [each.state for each in world.queue.of_pull(3)] == [E.REJECTED]
    world.idle()
