"""Environments in the registry: transitions, ops, faults, nonces; on SQLite and on PostgreSQL."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, update
from sqlalchemy.exc import IntegrityError

from daybreak.environment import uptime
from daybreak.environment.leases.lease import Leases
from daybreak.environment.machine import ADMIN, RESTARTS
from daybreak.environment.state import (
    STEP_STATES,
    TRANSITIONS,
    USABLE,
    Environment,
    Environments,
    IllegalTransition,
    NonceTaken,
    Op,
    OpBusy,
    Preserved,
    StaleState,
    State,
)
from daybreak.errors import DaybreakError, EnvironmentLocked, LostOp, UsageError
from daybreak.registry import connect, migrate, tables
from tests.fixtures.registry import ENVIRONMENTS, ManualClock

S = State
HOUR = timedelta(hours=1)
NIGHT = date(2026, 3, 5)


def begin(environments: Environments, to: State | None = None, **changes: Any) -> Op:
    """Take the op of dev-01 as a night would."""
    call: dict[str, Any] = {
        "step": "work", "holder": "nightly/run-1", "actor": "night", "expect": set(State), "deadline": HOUR,
        "to": to,
    }  # fmt: skip
    return environments.begin("dev-01", **(call | changes))


def put(environments: Environments, state: State, name: str = "dev-01") -> Environment:
    """Bring an environment to a state, past the rules."""
    with environments.engine.begin() as connection:
        table = tables.environments
        connection.execute(update(table).where(table.c.name == name).values(state=state))
    return environments.get(name)


def test_a_whole_night_from_ready_to_ready(environments: Environments, clock: ManualClock) -> None:
    put(environments, S.READY)
    op = begin(environments, S.QUIESCING)
    for state in (S.SCORCHING, S.TEARING_DOWN):
        environments.finish(op)
        op = begin(environments, state)
    assert environments.finish(op, S.ABSENT).state is S.ABSENT
    clock.advance(hours=10)
    for state in (S.PROVISIONING, S.DEPLOYING, S.SEEDING, S.VERIFYING):
        op = begin(environments, state)
        environments.finish(op)
    op = begin(environments, S.VERIFYING)
    env = environments.finish(op, S.READY, commit="c0ffee", verdict="passed")
    assert (env.state, env.commit, env.verdict, env.verdict_at) == (S.READY, "c0ffee", "passed", clock.now)
    assert env.op_token is None
    assert env.state_since == clock.now
    history = environments.events("dev-01")
    assert [event.version for event in history] == list(range(1, env.version + 1))
    assert history[-1].kind == "finish"
    assert (history[-1].from_state, history[-1].to_state) == (S.VERIFYING, S.READY)


def test_the_merge_environment_is_rebuilt_in_place(environments: Environments) -> None:
    put(environments, S.SCORCHING)
    op = begin(environments, S.PROVISIONING)
    assert environments.get("dev-01").state is S.PROVISIONING
    environments.check(op)


@pytest.mark.parametrize("state", sorted(State))
def test_only_the_edges_of_the_table_exist(state: State, sqlite_registry: Engine, clock: ManualClock) -> None:
    environments = Environments(sqlite_registry, clock)
    environments.ensure(ENVIRONMENTS[0])
    for to in State:
        env = put(environments, state)
        plain = to == state or (to in TRANSITIONS[state] and (state, to) not in ADMIN | RESTARTS)
        if plain:
            assert environments.transition(env, to, actor="t").state is to
        else:
            with pytest.raises(IllegalTransition, match=f"dev-01.*{to}"):
                environments.transition(env, to, actor="t")
            assert environments.get("dev-01") == env


def test_a_transition_of_an_old_reading_is_refused_and_explained(environments: Environments) -> None:
    put(environments, S.READY)
    old = environments.get("dev-01")
    Leases(environments).lock("dev-01", by="dana", duration=HOUR)
    with pytest.raises(
        StaleState, match=r"was READY at version 1; meanwhile .*version 2, last changed by dana"
    ):
        environments.transition(old, S.QUIESCING, actor="night")


def test_an_op_survives_a_write_by_somebody_else(environments: Environments) -> None:
    """A step must not fail because a person unpreserved meanwhile."""
    put(environments, S.READY)
    Leases(environments).preserve("dev-01", NIGHT, "dana", "demo")
    op = begin(environments)
    Leases(environments).unpreserve("dev-01", "eli")
    environments.check(op)
    assert environments.finish(op).op_token is None


def test_transition_with_an_op_ignores_its_own_heartbeats(
    environments: Environments, clock: ManualClock
) -> None:
    put(environments, S.READY)
    op = begin(environments, S.QUIESCING)
    env = environments.get("dev-01")
    clock.advance(seconds=30)
    environments.heartbeat(op)
    assert environments.transition(env, S.SCORCHING, actor="night", op=op).state is S.SCORCHING
    environments.check(op)


def test_transition_without_the_op_at_work_is_refused(environments: Environments) -> None:
    put(environments, S.READY)
    begin(environments, S.QUIESCING)
    with pytest.raises(OpBusy, match="nightly/run-1"):
        environments.transition(environments.get("dev-01"), S.SCORCHING, actor="eli")


def test_a_second_holder_is_refused_while_the_op_lives(
    environments: Environments, clock: ManualClock
) -> None:
    put(environments, S.READY)
    op = begin(environments, S.QUIESCING)
    for takeover in (False, True):
        with pytest.raises(OpBusy, match=r"nightly/run-1 \(for night\) works on it: step work") as caught:
            begin(environments, S.QUIESCING, holder="rebuild/run-2", takeover=takeover)
        assert caught.value.code == "op_busy"
    clock.advance(seconds=119)
    environments.heartbeat(op)
    clock.advance(seconds=119)
    with pytest.raises(OpBusy):
        begin(environments, S.QUIESCING, holder="rebuild/run-2", takeover=True)


def test_a_silent_op_is_taken_over_only_on_purpose(environments: Environments, clock: ManualClock) -> None:
    put(environments, S.READY)
    first = begin(environments, S.QUIESCING)
    clock.advance(seconds=121)
    with pytest.raises(OpBusy, match="counts as dead"):
        begin(environments, holder="rebuild/run-2")
    second = begin(environments, holder="rebuild/run-2", takeover=True)
    assert second.fence == first.fence + 1
    for write in (
        lambda: environments.check(first),
        lambda: environments.heartbeat(first),
        lambda: environments.update(first, commit="x"),
        lambda: environments.finish(first),
        lambda: environments.fault(first, "x", "y"),
        lambda: environments.rotate_nonce(first),
    ):
        with pytest.raises(LostOp, match="rebuild/run-2"):
            write()
    environments.check(second)


def test_an_op_past_its_deadline_is_taken_over_though_it_still_beats(
    environments: Environments, clock: ManualClock
) -> None:
    put(environments, S.READY)
    first = begin(environments, S.QUIESCING)
    clock.advance(minutes=61)
    environments.heartbeat(first)
    begin(environments, holder="rebuild/run-2", takeover=True)
    with pytest.raises(LostOp):
        environments.check(first)


def test_a_retry_of_the_same_holder_gets_a_new_token_and_keeps_the_fence(environments: Environments) -> None:
    put(environments, S.READY)
    first = begin(environments, S.QUIESCING)
    with pytest.raises(OpBusy):
        begin(environments, S.QUIESCING)
    second = begin(environments, S.QUIESCING, takeover=True)
    assert second.fence == first.fence
    assert second.token != first.token
    with pytest.raises(LostOp):
        environments.finish(first)
    environments.finish(second)


def test_the_fence_rises_only_when_the_holder_changes(environments: Environments) -> None:
    put(environments, S.READY)
    fences = []
    for holder in ("a", "a", "b", "b", "a"):
        op = begin(environments, holder=holder)
        environments.finish(op)
        fences.append(op.fence)
    assert fences == [1, 1, 2, 2, 3]


def test_after_its_deadline_an_op_may_finish_but_change_nothing_more(
    environments: Environments, clock: ManualClock
) -> None:
    op = begin(environments, S.PROVISIONING)
    clock.advance(minutes=61)
    with pytest.raises(LostOp, match="passed its deadline") as caught:
        environments.check(op)
    assert caught.value.code == "deadline"
    assert environments.finish(op, S.DEPLOYING).state is S.DEPLOYING


@pytest.mark.parametrize("state", sorted(STEP_STATES))
def test_what_a_dead_run_left_can_be_started_again(
    state: State, sqlite_registry: Engine, clock: ManualClock
) -> None:
    environments = Environments(sqlite_registry, clock)
    environments.ensure(ENVIRONMENTS[0])
    put(environments, state)
    begin(environments, holder="nightly/dead")
    with pytest.raises(OpBusy):
        begin(environments, S.QUIESCING, takeover=True)
    clock.advance(seconds=121)
    begin(environments, S.QUIESCING, takeover=True)
    assert environments.get("dev-01").state is S.QUIESCING


def test_between_two_steps_of_a_dead_run_there_is_no_op_to_take_over(environments: Environments) -> None:
    put(environments, S.DEPLOYING)
    begin(environments, S.QUIESCING)
    assert environments.get("dev-01").state is S.QUIESCING


def test_a_resumed_step_stays_in_its_state(environments: Environments) -> None:
    put(environments, S.SEEDING)
    op = begin(environments, S.SEEDING)
    env = environments.get("dev-01")
    assert (env.state, env.op_token) == (S.SEEDING, op.token)
    event = environments.events("dev-01")[-1]
    assert (event.kind, event.from_state, event.to_state) == ("begin", S.SEEDING, S.SEEDING)


def test_a_step_in_the_wrong_state_is_told_how_it_is(environments: Environments) -> None:
    with pytest.raises(StaleState, match="needs DEGRADED or READY: dev-01 is ABSENT"):
        begin(environments, S.QUIESCING, expect=USABLE)


def test_a_fault_says_why_and_ends_the_op(environments: Environments, clock: ManualClock) -> None:
    op = begin(environments, S.PROVISIONING)
    env = environments.fault(op, "stack_failed", "CREATE_FAILED: \x00no room")
    assert (env.state, env.op_token) == (S.FAULTED, None)
    assert (env.fault_code, env.fault_message, env.fault_at) == (
        "stack_failed", "CREATE_FAILED: no room", clock.now,
    )  # fmt: skip
    assert environments.events("dev-01")[-1].message == "stack_failed: CREATE_FAILED: no room"


def test_retrying_a_faulted_environment_clears_the_fault(environments: Environments) -> None:
    environments.fault(begin(environments, S.PROVISIONING), "x", "y")
    begin(environments, S.QUIESCING)
    env = environments.get("dev-01")
    assert (env.state, env.fault_code, env.fault_message) == (S.QUIESCING, None, None)


def test_only_an_admin_calls_a_faulted_environment_ready(environments: Environments) -> None:
    env = environments.fault(begin(environments, S.PROVISIONING), "x", "y")
    with pytest.raises(IllegalTransition, match="only an admin"):
        environments.transition(env, S.READY, actor="night")
    with pytest.raises(IllegalTransition, match="only an admin"):
        begin(environments, S.READY)
    assert environments.unfault("dev-01", by="dana", reason="looked at it").state is S.READY
    assert environments.events("dev-01")[-1].message == "looked at it"
    with pytest.raises(StaleState, match="nothing to unfault"):
        environments.unfault("dev-01", by="dana", reason="again")


def test_somebody_elses_fault_needs_a_dead_op_and_a_fresh_reading(
    environments: Environments, clock: ManualClock
) -> None:
    begin(environments, S.PROVISIONING)
    env = environments.get("dev-01")
    with pytest.raises(OpBusy):
        environments.fault(env, "deadline", "took too long", actor="caretaker")
    clock.advance(minutes=61)
    assert environments.fault(env, "deadline", "took too long", actor="caretaker").changed_by == "caretaker"
    with pytest.raises(StaleState):
        environments.fault(env, "deadline", "again")


def test_an_absent_environment_cannot_be_faulted(environments: Environments) -> None:
    with pytest.raises(IllegalTransition, match="FAULTED cannot follow, only PROVISIONING"):
        environments.fault(environments.get("dev-01"), "x", "y")


def test_a_preserved_environment_is_not_begun_in_that_night(environments: Environments) -> None:
    """Between the decision and the teardown somebody may still say `preserve`."""
    put(environments, S.READY)
    Leases(environments).preserve("dev-01", NIGHT, "dana", "load test")
    with pytest.raises(Preserved, match=r"until the night of 2026-03-05 by dana \(load test\)"):
        begin(environments, S.QUIESCING, night=NIGHT)
    begin(environments, S.QUIESCING, night=date(2026, 3, 6))


def test_a_lease_does_not_veto_the_night_but_a_person(environments: Environments) -> None:
    put(environments, S.READY)
    Leases(environments).lock("dev-01", by="dana", duration=HOUR, reason="debugging")
    with pytest.raises(EnvironmentLocked, match="dana"):
        begin(environments, actor="eli", respect_lease=True)
    environments.finish(begin(environments, actor="dana", respect_lease=True))
    begin(environments, S.QUIESCING, night=NIGHT)


def test_heartbeats_keep_the_version(environments: Environments, clock: ManualClock) -> None:
    op = begin(environments)
    version = environments.get("dev-01").version
    clock.advance(seconds=30)
    environments.heartbeat(op)
    env = environments.get("dev-01")
    assert (env.version, env.op_heartbeat_at) == (version, clock.now)


def test_a_beating_op_is_heard_of_in_the_background(environments: Environments, clock: ManualClock) -> None:
    op = begin(environments)
    began = clock.now
    clock.advance(seconds=90)
    with environments.beating(op, every=timedelta(milliseconds=5)):
        limit = time.monotonic() + 20
        while environments.get("dev-01").op_heartbeat_at == began:
            assert time.monotonic() < limit, "no heartbeat"
            time.sleep(0.01)


def test_unknown_columns_are_a_mistake_of_the_caller(environments: Environments) -> None:
    op = begin(environments)
    with pytest.raises(TypeError, match="cannot write fence, state"):
        environments.finish(op, **{"fence": 9, "state": "READY"})
    environments.check(op)


def test_an_unknown_environment_is_a_usage_error(environments: Environments) -> None:
    for call in (
        lambda: environments.get("dev-1"),
        lambda: environments.unfault("dev-1", by="a", reason="b"),
    ):
        with pytest.raises(UsageError, match="dev-1"):
            call()


def test_nonces_rotate_and_the_one_before_stays_known(environments: Environments) -> None:
    op = begin(environments, S.PROVISIONING)
    first = environments.rotate_nonce(op).nonce
    second = environments.rotate_nonce(op, "pinned")
    assert first
    assert (second.nonce, second.nonce_previous) == ("pinned", first)
    resumed = environments.rotate_nonce(op, "pinned")
    assert resumed == second


def test_an_unfinished_rotation_is_gone_on_with_and_disowns_nothing(environments: Environments) -> None:
    op = begin(environments, S.PROVISIONING)
    first = environments.rotate_nonce(op).nonce
    environments.rotate_nonce(op, "second")
    # Whatever carries the first one still does: a stack that could not be updated, say.
    later = environments.rotate_nonce(op, "third")
    assert (later.nonce, later.nonce_previous) == ("second", first)
    environments.update(op, nonce_previous=None)
    after = environments.rotate_nonce(op, "third")
    assert (after.nonce, after.nonce_previous) == ("third", "second")


def test_two_environments_never_have_one_nonce(environments: Environments) -> None:
    environments.rotate_nonce(begin(environments, S.PROVISIONING), "same")
    other = environments.begin(
        "dev-02", step="x", holder="h", actor="a", expect={S.ABSENT}, deadline=HOUR, to=S.PROVISIONING
    )
    with pytest.raises(NonceTaken, match="cannot have nonce same: dev-01 has it"):
        environments.rotate_nonce(other, "same")
    # Not even by a hand in the database.
    table = tables.environments
    with pytest.raises(IntegrityError), environments.engine.begin() as connection:
        connection.execute(update(table).where(table.c.name == "dev-02").values(nonce="same"))
    environments.rotate_nonce(op=other)
    assert environments.get("dev-02").nonce not in (None, "same")


def test_what_was_deployed_is_forgotten_with_the_teardown(environments: Environments) -> None:
    put(environments, S.TEARING_DOWN)
    environments.update(begin(environments), commit="c0ffee", verdict="failed")
    env = environments.finish(begin(environments, takeover=True), S.ABSENT)
    assert (env.commit, env.verdict, env.verdict_at) == (None, None, None)


def test_uptime_is_written_with_the_state(environments: Environments, clock: ManualClock) -> None:
    start = clock.now
    clock.advance(hours=1)
    op = begin(environments, S.PROVISIONING, deadline=timedelta(hours=99))
    clock.advance(hours=2)
    environments.fault(op, "x", "y")  # it still costs money
    clock.advance(hours=3)
    environments.finish(begin(environments, S.QUIESCING))
    environments.finish(begin(environments, S.SCORCHING))
    op = begin(environments, S.TEARING_DOWN)
    clock.advance(hours=1)
    environments.finish(op, S.ABSENT)
    clock.advance(hours=10)
    found = uptime.intervals(environments.engine, start, clock.now, "dev-01")
    assert [(i.up_at, i.down_at) for i in found] == [(start + HOUR, start + 7 * HOUR)]
    assert uptime.hours(found, start, clock.now, clock.now) == 6
    assert uptime.hours(found, start + 3 * HOUR, start + 5 * HOUR, clock.now) == 2


def test_an_open_interval_counts_up_to_now() -> None:
    up = datetime(2026, 3, 5, 6, tzinfo=UTC)
    found = [uptime.Interval("dev-01", up, None)]
    assert uptime.hours(found, up - HOUR, up + 24 * HOUR, up + 2 * HOUR) == 2
    assert uptime.hours(found, up + 3 * HOUR, up + 24 * HOUR, up + 2 * HOUR) == 0


def test_an_environment_moves_to_another_account_only_while_absent(environments: Environments) -> None:
    moved = ENVIRONMENTS[0].model_copy(update={"account": "999999999999"})
    put(environments, S.READY)
    with pytest.raises(UsageError, match="Tear it down with the old settings first"):
        environments.ensure(moved)
    put(environments, S.ABSENT)
    assert environments.ensure(moved).account == "999999999999"
    assert environments.ensure(moved) == environments.get("dev-01")


#: One operation: its name, and what it is given.
_OPERATIONS = st.one_of(
    st.tuples(
        st.just("begin"),
        st.sampled_from(["h1", "h2"]),
        st.none() | st.sampled_from(list(State)),
        st.booleans(),
    ),
    st.tuples(st.just("finish"), st.none() | st.sampled_from(list(State))),
    st.tuples(st.just("update"), st.none() | st.sampled_from(list(State))),
    st.tuples(st.just("transition"), st.sampled_from(list(State))),
    st.tuples(
        st.sampled_from(
            [
                "fault",
                "fault_row",
                "unfault",
                "lock",
                "release",
                "preserve",
                "heartbeat",
                "stale",
            ]
        )
    ),
    st.tuples(st.just("wait"), st.sampled_from([10, 125, 4000])),
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = connect(f"sqlite:///{tmp_path_factory.mktemp('scratch') / 'r.db'}")
    migrate(engine)
    return engine


@settings(max_examples=150, deadline=None)
@given(operations=st.lists(_OPERATIONS, min_size=5, max_size=40))
def test_no_sequence_of_operations_leaves_the_table(
    scratch: Engine, operations: list[tuple[Any, ...]]
) -> None:
    clock = ManualClock(datetime(2026, 3, 5, 18, tzinfo=UTC))
    with scratch.begin() as connection:
        for table in (tables.environments, tables.events, tables.uptime):
            connection.execute(table.delete())
    environments = Environments(scratch, clock)
    leases = Leases(environments)
    stale = environments.ensure(ENVIRONMENTS[0])
    ops: list[Op] = []
    last = [Op("dev-01", "none", 0, "none", "none", "none", clock.now, clock.now)]
    for name, *given_ in operations:
        op, env = (ops or last)[-1], environments.get("dev-01")
        try:
            if name == "begin":
                holder, to, takeover = given_
                ops.append(begin(environments, to, holder=holder, takeover=takeover))
            elif name == "finish":
                environments.finish(op, *given_)
            elif name == "update":
                environments.update(op, to=given_[0])
            elif name == "transition":
                environments.transition(env, given_[0], actor="x", op=op if env.held_by(op) else None)
            elif name == "fault":
                environments.fault(op, "c", "m")
            elif name == "fault_row":
                environments.fault(env, "c", "m")
            elif name == "unfault":
                environments.unfault("dev-01", by="admin", reason="r")
            elif name == "lock":
                leases.lock("dev-01", by="dana", duration=HOUR)
            elif name == "release":
                leases.release("dev-01", by="dana")
            elif name == "preserve":
                leases.preserve("dev-01", NIGHT, "dana", "r")
            elif name == "heartbeat":
                environments.heartbeat(op)
            elif name == "stale":
                environments.transition(stale, S.PROVISIONING, actor="x")
            else:
                clock.advance(seconds=given_[0])
        except DaybreakError:
            assert environments.get("dev-01") == env, "a refused operation changed the row"
    env = environments.get("dev-01")
    history = environments.events("dev-01", limit=10_000)
    assert [event.version for event in history] == list(range(1, env.version + 1))
    state, fence = S.ABSENT, 0
    for event in history:
        assert event.from_state is state
        assert event.to_state is state or event.to_state in TRANSITIONS[state]
        if (state, event.to_state) in ADMIN:
            assert event.kind == "unfault"
        if (state, event.to_state) in RESTARTS:
            assert event.kind == "begin"
        assert event.fence in (fence, fence + 1)
        state, fence = event.to_state, event.fence
    assert (env.state, env.fence) == (state, fence)
