"""The states of an entry and of an attempt, and the rules between them: pure.

An entry is one pull request at one approved commit. An attempt is one try to land one or more of them; it
owns the merge environment while it lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from daybreak.errors import DaybreakError


class EntryState(StrEnum):
    """How far an entry is."""

    QUEUED = "QUEUED"
    IN_ATTEMPT = "IN_ATTEMPT"
    #: Its attempt is about to move main. From here nobody can take it back, so a cancel must lose: both are
    #: writes of this one row, and the first one wins.
    LANDING = "LANDING"
    LANDED = "LANDED"
    #: Deployed and tested, as asked; it was not to land.
    TRIED = "TRIED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    #: Head, base branch, draft, label or approval changed: it is not what was approved.
    STALE = "STALE"


class AttemptState(StrEnum):
    """How far an attempt is."""

    PLANNED = "PLANNED"
    LEASED = "LEASED"
    PREPARED = "PREPARED"
    DEPLOYING = "DEPLOYING"
    DEPLOYED = "DEPLOYED"
    TESTING = "TESTING"
    PASSED = "PASSED"
    FAILED = "FAILED"
    #: What was tested was not what was planned; nobody is to blame.
    INVALID = "INVALID"
    TIMED_OUT = "TIMED_OUT"
    LANDING = "LANDING"
    LANDED = "LANDED"
    #: Landed, and the environment runs what main is.
    CONFIRMED = "CONFIRMED"
    REVERTING = "REVERTING"
    REVERTED = "REVERTED"
    #: Nobody could prove what the environment runs: the queue is paused.
    QUARANTINED = "QUARANTINED"


E, A = EntryState, AttemptState

#: Terminal is terminal: `merge` again is a new entry.
ENTRY_TRANSITIONS: Mapping[EntryState, frozenset[EntryState]] = {
    E.QUEUED: frozenset({E.IN_ATTEMPT, E.CANCELLED, E.STALE, E.REJECTED}),
    # QUEUED, at its old position: infrastructure failed, main moved, or a sibling was at fault.
    E.IN_ATTEMPT: frozenset({E.QUEUED, E.LANDING, E.TRIED, E.REJECTED, E.CANCELLED, E.STALE}),
    # QUEUED: somebody else moved main first.
    E.LANDING: frozenset({E.LANDED, E.QUEUED}),
    E.LANDED: frozenset(),
    E.TRIED: frozenset(),
    E.REJECTED: frozenset(),
    E.CANCELLED: frozenset(),
    E.STALE: frozenset(),
}

#: Every end but a landing goes through REVERTING, cancel and kill included: what was deployed is taken back.
ATTEMPT_TRANSITIONS: Mapping[AttemptState, frozenset[AttemptState]] = {
    # REVERTED without REVERTING: it never had the lane, so there is nothing to take back.
    A.PLANNED: frozenset({A.LEASED, A.REVERTED}),
    A.LEASED: frozenset({A.PREPARED, A.REVERTING}),
    A.PREPARED: frozenset({A.DEPLOYING, A.REVERTING}),
    A.DEPLOYING: frozenset({A.DEPLOYED, A.REVERTING}),
    A.DEPLOYED: frozenset({A.TESTING, A.REVERTING}),
    A.TESTING: frozenset({A.PASSED, A.FAILED, A.INVALID, A.TIMED_OUT, A.REVERTING}),
    A.PASSED: frozenset({A.LANDING, A.REVERTING}),
    A.FAILED: frozenset({A.REVERTING}),
    A.INVALID: frozenset({A.REVERTING}),
    A.TIMED_OUT: frozenset({A.REVERTING}),
    # REVERTING: main had moved, so nothing was landed.
    A.LANDING: frozenset({A.LANDED, A.REVERTING}),
    A.LANDED: frozenset({A.CONFIRMED, A.QUARANTINED}),
    A.CONFIRMED: frozenset(),
    A.REVERTING: frozenset({A.REVERTED, A.QUARANTINED}),
    A.REVERTED: frozenset(),
    # An admin healed the environment; whether it had landed is in the row.
    A.QUARANTINED: frozenset({A.CONFIRMED, A.REVERTED}),
}

#: Nothing follows.
ENTRY_ENDS = frozenset(state for state, follow in ENTRY_TRANSITIONS.items() if not follow)
ATTEMPT_ENDS = frozenset(state for state, follow in ATTEMPT_TRANSITIONS.items() if not follow)
#: The attempt has the lane.
IN_LANE = frozenset(AttemptState) - ATTEMPT_ENDS - {A.PLANNED, A.QUARANTINED}
#: The candidate is on main.
ON_MAIN = frozenset({A.LANDED, A.CONFIRMED})


class IllegalMove(DaybreakError):
    """The tables have no such edge: a mistake in the calling code, or a step out of order."""

    code = "illegal_move"


def require(state: EntryState | AttemptState, to: EntryState | AttemptState, what: str = "it") -> None:
    """Check that ``to`` may follow ``state``.

    :raises IllegalMove: naming what could follow.
    """
    table: Mapping[StrEnum, frozenset[StrEnum]] = (
        ENTRY_TRANSITIONS if isinstance(state, EntryState) else ATTEMPT_TRANSITIONS  # type: ignore[assignment]
    )
    if to not in table[state]:
        follow = ", ".join(sorted(table[state])) or "nothing"
        raise IllegalMove(f"{what} is {state}: {to} cannot follow, only {follow}")
