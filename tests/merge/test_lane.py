"""The protocol carried out on real git and a real registry, and killed after each of its effects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from daybreak.environment.machine import State
from daybreak.errors import LostOp
from daybreak.git import merging, pushing
from daybreak.git.command import GitError
from daybreak.git.mirrors import mirror
from daybreak.merge import lane as lane_module
from daybreak.merge import protocol as p
from daybreak.merge.queue import Ask, TooLate
from daybreak.merge.remote import GitRemote
from daybreak.merge.rows import Entry
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from daybreak.registry import tables
from tests.merge.conftest import MAIN, STEPS, World


class Killed(BaseException):
    """The process is gone."""


class Watch:
    """Counts the effects that change something; kills after the n-th."""

    changes = (p.Claim, p.Write, p.Push, p.Deploy, p.Release)

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[p.Effect] = []
        self.kill_after: int | None = None
        self.lose_answer = False
        perform = lane_module._Hand.perform

        def watched(hand: Any, effect: p.Effect) -> Any:
            result = perform(hand, effect)
            if isinstance(effect, self.changes):
                self.seen.append(effect)
                if len(self.seen) == self.kill_after:
                    raise Killed
            if self.lose_answer and isinstance(effect, p.Push) and effect.main is not None:
                return p.Answer.UNCLEAR
            return result

        monkeypatch.setattr(lane_module._Hand, "perform", watched)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def test_what_passed_lands_as_it_was_tested_and_the_environment_runs_main(world: World) -> None:
    entry = world.pull_request(7)
    assert world.go(world.begin("pr-7-1")) is A.CONFIRMED
    attempt = world.queue.attempt("pr-7-1")
    assert world.main == attempt.candidate == world.place.tested[-1]
    assert merging.tree_of(world.repository, world.main) == merging.tree_of(
        world.repository, attempt.candidate
    )
    assert world.work.git("-C", world.url, "log", "-1", "--format=%s", MAIN) == "Merge #7: Change 7"
    assert world.queue.get(entry.id).state is E.LANDED
    world.idle()
    states = [after for *_, after, _ in world.queue.history("attempt:pr-7-1")]
    assert states[:3] == ["PLANNED", "LEASED", "PREPARED"]
    assert states[-1] == "CONFIRMED"


@pytest.mark.parametrize(
    ("style", "subjects"),
    [
        ("squash", ["Change 8 (#8)", "Change 7 (#7)"]),
        ("rebase", ["change", "change", "change"]),
    ],
)
def test_what_is_squashed_or_rebased_lands_as_what_was_tested_and_main_stays_a_line(
    world: World, style: str, subjects: list[str]
) -> None:
    assert isinstance(world.lane.remote, GitRemote)
    world.lane.remote.style = merging.Style(style)
    one = world.pull_request(7)
    more = world.work.commit({"more": "x"})
    world.work.git("push", "--quiet", world.url, f"{more}:refs/pull/7/head")
    one = world.queue.add(Ask(7, more, "Change 7", "dana"), by="dana")
    two = world.pull_request(8)
    run_id = world.begin("pr-7-1")
    assert world.go(run_id) is A.CONFIRMED
    assert world.main == world.queue.attempt(run_id).candidate == world.place.tested[-1]
    told = world.work.git("-C", world.url, "log", "--format=%s", f"{world.base}..main").splitlines()
    assert told == subjects
    assert world.work.git("-C", world.url, "rev-list", "--merges", "main") == ""
    assert world.files() == {"pr-7", "more", "pr-8"}
    assert {world.queue.get(each.id).state for each in (one, two)} == {E.LANDED}
    # Its head is not on main, and yet there is nothing left of it to land.
    assert not merging.is_ancestor(world.repository, more, world.main)
    assert merging.adds_nothing(world.repository, world.main, more)


def test_what_fails_alone_is_rejected_and_main_and_environment_are_as_before(world: World) -> None:
    entry = world.pull_request(7, {"bad": "x"})
    world.place.bad = [frozenset({"bad"})]
    assert world.go(world.begin("pr-7-1")) is A.REVERTED
    found = world.queue.get(entry.id)
    assert (found.state, found.reason_code, found.reason) == (
        E.REJECTED,
        "tests_failed",
        "e2e: test_trip failed",
    )
    assert world.main == world.base
    world.idle()


def test_a_conflict_with_main_names_the_files_and_rejects_only_its_own(world: World) -> None:
    world.pull_request(1, {"a": "1"})
    world.go(world.begin("pr-1-1"))
    late, fine = world.pull_request(2, {"a": "2"}), world.pull_request(3)
    assert world.go(world.begin("pr-2-1")) is A.REVERTED
    found = world.queue.get(late.id)
    assert (found.state, found.reason_code) == (E.REJECTED, "conflict")
    assert found.reason == "#2 conflicts with main in a"
    assert world.queue.get(fine.id).state is E.QUEUED
    world.idle()


def test_main_that_moved_meanwhile_lands_nothing_and_puts_the_entry_back(world: World) -> None:
    entry = world.pull_request(7)
    world.go(world.begin("pr-7-1"), p.enter, p.deploy, p.test)
    pushed = world.hotfix()
    assert world.go("pr-7-1", p.land, p.settle) is A.REVERTED
    assert world.main == pushed
    found = world.queue.get(entry.id)
    assert (found.state, found.reason_code) == (E.QUEUED, "main_moved")
    world.idle()
    assert world.go(world.begin("pr-7-2")) is A.CONFIRMED
    assert world.files() == {"pr-7", "hotfix"}


def test_what_changed_since_it_was_approved_does_not_land(world: World) -> None:
    entry = world.pull_request(7)
    world.go(world.begin("pr-7-1"), p.enter, p.deploy, p.test)
    world.changed[7] = "its head is another commit now"
    assert world.go("pr-7-1", p.land, p.settle) is A.REVERTED
    assert (world.queue.get(entry.id).state, world.main) == (E.STALE, world.base)
    world.idle()


def test_what_passed_and_nobody_could_be_asked_about_says_so_and_keeps_its_place(world: World) -> None:
    entry = world.pull_request(7)
    world.go(world.begin("pr-7-1"), p.enter, p.deploy, p.test)

    def away(_: Entry) -> str | None:
        raise GitError("no answer")

    world.lane.approved = away
    with pytest.raises(GitError):
        world.go("pr-7-1", p.land)
    assert world.go("pr-7-1", p.settle) is A.REVERTED
    found = world.queue.get(entry.id)
    assert (found.state, found.reason_code) == (E.QUEUED, "not_landed")
    said = "it passed, and nobody could be asked whether it may still land, or its task was cut off"
    assert found.reason == f"{said}; it is tried again"
    world.idle()


def test_a_cancel_wins_until_it_is_landing_and_loses_from_then_on(world: World, watch: Watch) -> None:
    world.pull_request(7)
    world.go(world.begin("pr-7-1"), p.enter, p.deploy, p.test)
    world.queue.end(7, E.CANCELLED, by="dana", code="cancelled", message="by dana")
    with pytest.raises(LostOp):
        world.go("pr-7-1", p.land)
    assert world.go("pr-7-1", p.settle) is A.REVERTED
    assert world.main == world.base
    world.idle()

    world.pull_request(8)
    world.go(world.begin("pr-8-1"), p.enter, p.deploy, p.test)
    watch.kill_after = len(watch.seen) + 2  # its claim, and the writing of LANDING
    with pytest.raises(Killed):
        world.go("pr-8-1", p.land)
    with pytest.raises(TooLate, match="landing in this moment"):
        world.queue.end(8, E.CANCELLED, by="dana", code="cancelled", message="by dana")
    assert world.caretaker("pr-8-1") is A.CONFIRMED
    world.idle()


def test_a_try_is_deployed_and_tested_and_never_lands(world: World) -> None:
    entry = world.pull_request(7, mode="try")
    assert world.go(world.begin("pr-7-1")) is A.REVERTED
    assert (world.queue.get(entry.id).state, world.main) == (E.TRIED, world.base)
    assert len(world.place.tested) == 1
    world.idle()


def test_the_lane_is_one_attempt_s_at_a_time(world: World) -> None:
    world.pull_request(1, solo=True)
    world.pull_request(2, solo=True)
    first, second = world.begin("pr-1-1"), world.begin("pr-2-1")
    world.go(first, p.enter)
    assert world.go(second, p.enter) is A.PLANNED
    assert world.go(first, *STEPS[1:]) is A.CONFIRMED
    assert world.go(second) is A.CONFIRMED
    assert world.files() == {"pr-1", "pr-2"}
    world.idle()


def test_an_answer_that_got_lost_is_found_out_also_when_main_was_reset_since(
    world: World, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.pull_request(7)
    world.go(world.begin("pr-7-1"), p.enter, p.deploy, p.test)
    watch.lose_answer = True
    watch.kill_after = len(watch.seen) + 3  # claim, LANDING, the push
    with pytest.raises(Killed):
        world.go("pr-7-1", p.land)
    landed = world.main
    assert landed == world.queue.attempt("pr-7-1").candidate
    world.work.git("-C", world.url, "update-ref", MAIN, world.base)  # somebody took it back
    watch.lose_answer, watch.kill_after = False, None
    assert world.caretaker("pr-7-1") is A.CONFIRMED
    assert world.main == world.base  # it is not brought back
    assert world.place.running == world.base


def test_an_environment_that_cannot_prove_itself_is_shut_and_nobody_is_blamed(world: World) -> None:
    entry = world.pull_request(7)
    world.go(world.begin("pr-7-1"), p.enter, p.deploy)
    world.place.deploys = False  # from here on, nothing can be deployed any more
    world.place.bad = [frozenset({"pr-7"})]
    assert world.go("pr-7-1", p.test, p.settle) is A.QUARANTINED
    env = world.environments.get("merge-01")
    assert (env.state, env.fault_code, env.op_token) == ("FAULTED", "quarantined", None)
    assert world.queue.get(entry.id).state is E.REJECTED  # its own tests failed on what was proven to run


def test_what_cannot_be_deployed_is_rejected_only_where_main_can(world: World) -> None:
    entry = world.pull_request(7, {"dead": "x"})
    world.place.broken = "dead"
    assert world.go(world.begin("pr-7-1")) is A.REVERTED
    found = world.queue.get(entry.id)
    assert (found.state, found.reason_code) == (E.REJECTED, "does_not_deploy")
    assert found.reason == "trips was not healthy"
    world.idle()
    # Where main cannot be deployed either, the environment is at fault.
    entry = world.pull_request(8, {"dead": "x"})
    world.go(world.begin("pr-8-1"), p.enter, p.deploy)
    world.place.deploys = False
    assert world.go("pr-8-1", p.settle) is A.QUARANTINED
    assert world.queue.get(entry.id).state is E.QUEUED


def test_an_environment_that_others_work_on_is_not_entered(world: World) -> None:
    world.pull_request(7)
    world.begin("pr-7-1")
    with world.environments.engine.begin() as connection:
        connection.execute(update(tables.environments).values(state=State.DEPLOYING))
    assert world.go("pr-7-1", p.enter) is A.PLANNED
    with world.environments.engine.begin() as connection:
        connection.execute(update(tables.environments).values(state=State.READY))
    assert world.go("pr-7-1") is A.CONFIRMED
    world.idle()


def test_another_machine_goes_on_with_a_candidate_that_it_never_saw(world: World, tmp_path: Path) -> None:
    world.pull_request(7)
    world.go(world.begin("pr-7-1"), p.enter)
    ref = "refs/heads/daybreak/candidate/pr-7-1"
    assert pushing.read(world.url, ref)[ref] == world.queue.attempt("pr-7-1").candidate
    world.repository = mirror(world.url, tmp_path / "elsewhere.git")
    world.lane.remote = GitRemote(world.repository, world.url, clock=world.clock)
    world.place.repository = world.repository
    assert world.go("pr-7-1", *STEPS[1:]) is A.CONFIRMED
    assert pushing.read(world.url, ref) == {}
    world.idle()


def test_a_zombie_changes_nothing_after_the_caretaker_took_over(world: World, watch: Watch) -> None:
    world.pull_request(7)
    world.go(world.begin("pr-7-1"), p.enter, p.deploy, p.test)
    watch.kill_after = len(watch.seen) + 2
    stopped = p.land()
    with pytest.raises(Killed):  # SIGSTOP right after LANDING was written
        world.lane.run("pr-7-1", stopped, holder="pr_e2e/pr-7-1", actor="gandalf")
    watch.kill_after = None
    old = world.queue.attempt("pr-7-1")
    assert world.caretaker("pr-7-1") is A.CONFIRMED
    landed = world.main
    # It wakes, and sends what it was about to send.
    hand = lane_module._Hand(world.lane, "pr-7-1", "pr_e2e/pr-7-1", "gandalf", token=old.token)
    late = p.Push(lease=(old.lease, old.landing), main=(old.base, old.candidate))
    assert hand.perform(late) is p.Answer.REFUSED
    assert hand.perform(p.Write(A.LANDING, A.LANDED)) is False
    assert world.main == landed
    world.idle()


def _changes_of_a_run(world: World, watch: Watch) -> int:
    world.pull_request(1)
    world.go(world.begin("pr-1-1"))
    return len(watch.seen)


@pytest.mark.deep
def test_killed_after_any_change_somebody_else_finds_the_right_end(world: World, watch: Watch) -> None:
    """One world for all of them: each attempt begins on what the one before left."""
    total = _changes_of_a_run(world, watch)
    assert total > 18
    landed = {"pr-1"}
    for kill in range(1, total + 1):
        number, run_id = 100 + kill, f"pr-{100 + kill}-1"
        world.base = world.main
        world.work.git("fetch", "--quiet", world.url, "main")
        entry = world.pull_request(number)
        world.begin(run_id)
        watch.seen.clear()
        watch.kill_after = kill
        with pytest.raises(Killed):
            world.go(run_id)
        watch.kill_after = None
        last = watch.seen[-1]
        state = world.caretaker(run_id)
        on_main = f"pr-{number}" in world.files()
        assert (state is A.CONFIRMED) is on_main, last
        assert world.queue.get(entry.id).state is (E.LANDED if on_main else E.QUEUED), last
        world.idle()
        if on_main:
            landed.add(f"pr-{number}")
        else:
            world.queue.end(number, E.CANCELLED, by="dana", code="cancelled", message="by dana")
        assert world.files() == landed
