"""The states of an environment and the rules between them: pure, no database.

`environment/state.py` writes what these rules allow. The words are those of the registry's one row: `version`
+1 on each write, `fence` +1 when the holder changes, an op token for each *try* of a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from daybreak.errors import DaybreakError, LostOp

#: How often the holder of an op says that it lives, and after how long a silence it counts as dead.
HEARTBEAT = timedelta(seconds=30)
DEAD_AFTER = timedelta(seconds=120)

#: The step of an attempt to land pull requests, which keeps the merge environment from its begin to its end.
LANE_STEP = "merge"


class State(StrEnum):
    """Where an environment is between two nights."""

    ABSENT = "ABSENT"
    PROVISIONING = "PROVISIONING"
    DEPLOYING = "DEPLOYING"
    SEEDING = "SEEDING"
    VERIFYING = "VERIFYING"
    READY = "READY"
    DEGRADED = "DEGRADED"
    QUIESCING = "QUIESCING"
    SCORCHING = "SCORCHING"
    TEARING_DOWN = "TEARING_DOWN"
    FAULTED = "FAULTED"


S = State

#: Usable by people: e2e was green, or was not.
USABLE = frozenset({S.READY, S.DEGRADED})
#: Some step is, or was, at work.
STEP_STATES = frozenset(
    {
        S.PROVISIONING,
        S.DEPLOYING,
        S.SEEDING,
        S.VERIFYING,
        S.QUIESCING,
        S.SCORCHING,
        S.TEARING_DOWN,
    }
)

#: Every change of state that exists. Staying in a state is none: a resumed step begins again where it stands.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    # Morning.
    S.ABSENT: frozenset({S.PROVISIONING}),
    # From each step: forward, or FAULTED when its attempts or its deadline are exhausted. QUIESCING is the
    # start of another run after this one died on the way (only with no live op, see `RESTARTS`): what the
    # dead run left behind still costs money, and without this edge only a human could take it away.
    S.PROVISIONING: frozenset({S.DEPLOYING, S.FAULTED, S.QUIESCING}),
    S.DEPLOYING: frozenset({S.SEEDING, S.FAULTED, S.QUIESCING}),
    S.SEEDING: frozenset({S.VERIFYING, S.FAULTED, S.QUIESCING}),
    S.VERIFYING: frozenset({S.READY, S.DEGRADED, S.FAULTED, S.QUIESCING}),
    # Evening. FAULTED straight from here: somebody says so, or a step that works in place (a deploy by hand)
    # failed.
    # DEGRADED and back: a deploy by hand begins, and is complete; whatever ends it in between, that is true.
    S.READY: frozenset({S.QUIESCING, S.FAULTED, S.DEGRADED}),
    S.DEGRADED: frozenset({S.QUIESCING, S.FAULTED, S.READY}),
    S.QUIESCING: frozenset({S.SCORCHING, S.FAULTED}),
    # PROVISIONING: the merge environment is rebuilt in place; its stacks stay.
    S.SCORCHING: frozenset({S.TEARING_DOWN, S.PROVISIONING, S.FAULTED, S.QUIESCING}),
    S.TEARING_DOWN: frozenset({S.ABSENT, S.FAULTED, S.QUIESCING}),
    # QUIESCING: the retry, from the start, because nobody knows how far the failed step came. READY: see
    # `ADMIN`.
    S.FAULTED: frozenset({S.QUIESCING, S.READY}),
}

#: Only an admin may say that a faulted environment is fine (`unfault`, audited); no step goes back to READY.
ADMIN = frozenset({(S.FAULTED, S.READY)})
#: Only while no live op works on the environment, and only for a step that begins.
RESTARTS = frozenset((state, S.QUIESCING) for state in STEP_STATES - {S.QUIESCING})


class StaleState(DaybreakError):
    """The environment is not (any more) as the caller believed; the message says how it is now."""

    code = "stale_state"


class IllegalTransition(DaybreakError):
    """The state machine has no such edge: a mistake in the calling code, or a step out of order."""

    code = "illegal_transition"


class OpBusy(DaybreakError):
    """Another step is at work on the environment; the message names it.

    :param step: of what :meth:`Environments.begin` met; otherwise ``None``.
    """

    code = "op_busy"

    def __init__(self, message: str, *, step: str | None = None) -> None:
        super().__init__(message)
        self.step = step


class Preserved(DaybreakError):
    """Somebody asked that the night leaves this environment alone."""

    code = "preserved"


class NonceTaken(DaybreakError):
    """Two environments with one nonce: neither could be told from the other when things are deleted."""

    code = "nonce_taken"


@dataclass(frozen=True)
class Op:
    """The right of one try of one step to change one environment. Hand it to every write.

    :param fence: of the environment, when this op began.
    :param token: new for each try.
    :param holder: what can be checked for being alive, the same for all tries: ``nightly/<run id>``.
    :param actor: the person or the night on whose behalf.
    :param deadline: after it the op may be taken over, and its own mutations are refused.
    """

    environment: str
    step: str
    fence: int
    token: str
    holder: str
    actor: str
    began: datetime
    deadline: datetime


@dataclass(frozen=True)
class Environment:
    """One row of the registry, as it was read: what excludes each other stands together in it."""

    name: str
    account: str
    region: str
    role: str
    state: State
    state_since: datetime
    version: int
    changed_at: datetime
    changed_by: str
    fence: int
    fence_holder: str | None = None
    commit: str | None = None
    verdict: str | None = None
    verdict_at: datetime | None = None
    nonce: str | None = None
    nonce_previous: str | None = None
    used_at: datetime | None = None
    lease_owner: str | None = None
    lease_id: int | None = None
    lease_since: datetime | None = None
    lease_until: datetime | None = None
    lease_reason: str | None = None
    preserve_night: date | None = None
    preserve_by: str | None = None
    preserve_reason: str | None = None
    op_token: str | None = None
    op_holder: str | None = None
    op_actor: str | None = None
    op_step: str | None = None
    op_since: datetime | None = None
    op_heartbeat_at: datetime | None = None
    op_deadline: datetime | None = None
    fault_code: str | None = None
    fault_message: str | None = None
    fault_at: datetime | None = None

    def op_alive(self, now: datetime) -> bool:
        """Whether a step is at work: it holds the op, is within its deadline and was heard of lately."""
        return (
            self.op_token is not None
            and self.op_deadline is not None
            and self.op_heartbeat_at is not None
            and now <= self.op_deadline
            and now - self.op_heartbeat_at <= DEAD_AFTER
        )

    def leased(self, now: datetime) -> bool:
        """Whether somebody's lease is running."""
        return self.lease_owner is not None and self.lease_until is not None and now < self.lease_until

    def preserved(self, night: date) -> bool:
        """Whether the night of that date must leave it alone; ``preserve_night`` is the last such night."""
        return self.preserve_night is not None and night <= self.preserve_night

    def held_by(self, op: Op) -> bool:
        """Whether ``op`` still is the one that may change this environment."""
        return self.fence == op.fence and self.op_token == op.token


def moment(instant: datetime | None) -> str:
    """An instant in a message: to the second, in UTC."""
    return "never" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S}Z"


def describe_op(environment: Environment, now: datetime) -> str:
    """Who is, or was, at work on it: "nightly/run-1 (for dana), step scorch, since …"."""
    if environment.op_token is None:
        return "no step is at work on it"
    life = "" if environment.op_alive(now) else "; it counts as dead"
    return (
        f"{environment.op_holder} (for {environment.op_actor}) works on it: step {environment.op_step} since "
        f"{moment(environment.op_since)}, last heard of {moment(environment.op_heartbeat_at)}, "
        f"deadline {moment(environment.op_deadline)}{life}"
    )


def explain(environment: Environment, now: datetime) -> str:
    """What is there now, for somebody whose write matched nothing."""
    parts = [
        f"{environment.name} is {environment.state} since {moment(environment.state_since)} "
        f"(version {environment.version}, last changed by {environment.changed_by})",
        describe_op(environment, now),
    ]
    if environment.leased(now):
        parts.append(f"{environment.lease_owner} holds the lease until {moment(environment.lease_until)}")
    return "; ".join(parts)


def require_transition(
    environment: Environment, to: State, *, now: datetime, admin: bool = False, begins: bool = False
) -> None:
    """Check that the rules allow this change of state; staying is always allowed.

    :param admin: an admin says so.
    :param begins: a step begins with it, so that nothing else can be at work afterwards.
    :raises IllegalTransition: naming the states that could follow.
    :raises OpBusy: when a restart meets a live op.
    """
    edge = (environment.state, to)
    if environment.state == to:
        return
    if to not in TRANSITIONS[environment.state]:
        follow = ", ".join(sorted(TRANSITIONS[environment.state]))
        raise IllegalTransition(
            f"{environment.name} is {environment.state}: {to} cannot follow, only {follow}"
        )
    if edge in ADMIN and not admin:
        raise IllegalTransition(
            f"{environment.name} is {environment.state}: only an admin may call it {to} (`unfault`)"
        )
    if edge in RESTARTS:
        if not begins:
            raise IllegalTransition(
                f"{environment.name}: going back to {to} is how a new run begins, not a step"
            )
        if environment.op_alive(now):
            raise OpBusy(f"{environment.name} cannot start again: {describe_op(environment, now)}")


def require_held(environment: Environment, op: Op, now: datetime) -> None:
    """Check that ``op`` may still write.

    :raises LostOp: naming who took over.
    """
    if not environment.held_by(op):
        raise LostOp(
            f"{op.environment}: step {op.step} of {op.holder} (fence {op.fence}) was taken over and must "
            f"stop; now fence {environment.fence}: {explain(environment, now)}"
        )
