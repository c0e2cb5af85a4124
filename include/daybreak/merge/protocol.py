"""How an attempt goes through the lane, as programs that say what they want done and are told how it went.

A program is a generator: it yields an effect, is sent the effect's result, and returns how it ended. It does
nothing by itself. `merge/lane.py` carries the effects out, on git, the registry and the environment;
`tests/merge/test_model.py` explores these very programs with every crash, takeover, late answer and change of
main between any two effects.

The lease reference
-------------------
``refs/heads/daybreak/lease`` is a chain: each commit names the fence under which it was made and has the one
that it replaced as its parent. Whatever moves main moves it too, in one atomic push from the value that was
read. So

* rotating it kills every push that is still under way: that one names a lease that is no longer there;
* a landing was carried out if and only if its lease is in the chain, whatever became of main since. Main
  itself cannot tell: somebody may have reset it after the landing, and landing again would bring back what
  they took away.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from daybreak.errors import DaybreakError, LostOp
from daybreak.merge.effects import (
    Answer,
    Build,
    Built,
    Changed,
    Claim,
    Deploy,
    Deployed,
    Effect,
    FenceOf,
    InChain,
    Left,
    NewLease,
    Program,
    Push,
    ReadRefs,
    Refs,
    Release,
    Runs,
    StillApproved,
    Test,
    Tested,
    Unwanted,
    Verdict,
    View,
    Write,
)
from daybreak.merge.rules import ATTEMPT_ENDS, AttemptState

__all__ = [
    "BROKEN", "CANCELLED", "CUT_OFF", "HELD", "LANDING_REFUSED", "NOT_LANDED", "QUARANTINED", "TESTS_FAILED",
    "Answer", "Build", "Built", "Changed", "Claim", "Deploy", "Deployed", "Effect", "FenceOf", "InChain",
    "LeaseRefused", "Left", "MainTooBusy", "NewLease", "Program", "Push", "ReadRefs", "Refs", "Release",
    "Runs", "StillApproved", "Test", "Tested", "Unwanted", "Verdict", "View", "Write", "deploy", "enter",
    "land", "settle", "test",
]  # fmt: skip

A = AttemptState

#: Why an attempt ended: tests failed, or what it was to land cannot be deployed. A member is to blame.
TESTS_FAILED, BROKEN = "tests_failed", "does_not_deploy"
#: Nobody is: its task was killed, out of time or marked; the remote does not move main, which did not move.
CUT_OFF, LANDING_REFUSED = "cut_off", "landing_refused"
#: It passed, and nobody came so far as to push it: GitHub could not be asked, or the task was killed.
NOT_LANDED = "not_landed"
#: A member was taken back or held meanwhile.
CANCELLED, HELD = "cancelled", "held"
#: The fault of an environment that could not prove that it runs main.
QUARANTINED = "quarantined"


class MainTooBusy(LostOp):
    """The lease could not be rotated in many looks: it moved each time, since somebody else pushes without
    pause, or no push had a clear answer.
    """

    code = "main_too_busy"


class LeaseRefused(DaybreakError):
    """The remote says no to a new lease, again and again, though nobody moved the one that is there. Nothing
    can be landed, nor an attempt come to its end, until people let Daybreak push there.
    """

    code = "lease_refused"


#: Looks at references that move under us; each one lost means that somebody else's push was carried out, or
#: that nobody knows whether ours was.
_ROUNDS = 20
#: Pushes of one landing: without an answer, or refused although nothing had moved. And pushes of a lease that
#: are refused although it had not moved.
_PUSHES = 3


def enter() -> Program:
    """Take the lane and make the candidate: PLANNED → LEASED → PREPARED."""
    view = yield Claim(takes_lane=True)
    if view is None:
        return None
    # Before main is read: what the lane's last holder may still have under way dies here.
    lease = yield from _rotate(view)
    main = (yield ReadRefs()).main
    built = yield Build(main)
    if isinstance(built, Changed):
        said = ("conflict", built.said)
        return (yield from _go(Write(A.LEASED, A.REVERTING, base=main, said=said, blamed=built.member)))
    write = Write(A.LEASED, A.PREPARED, base=main, candidate=built.candidate, lease=lease, left=built.left)
    return (yield from _go(write))


def deploy() -> Program:
    """PREPARED → DEPLOYING → DEPLOYED; a try that was killed in between begins again. REVERTING, as soon as
    a member is not wanted any more.
    """
    view = yield Claim()
    if view is None or view.state not in (A.PREPARED, A.DEPLOYING):
        return None
    if view.state is A.PREPARED:
        yield from _go(Write(A.PREPARED, A.DEPLOYING))
    deployed = yield Deploy(view.candidate)
    if isinstance(deployed, Unwanted):
        return (yield from _stop(A.DEPLOYING, deployed))
    if not deployed.done:
        said = (BROKEN if deployed.broken else "deploy_failed", deployed.said or "it was not deployed")
        return (yield from _go(Write(A.DEPLOYING, A.REVERTING, said=said)))
    return (yield from _go(Write(A.DEPLOYING, A.DEPLOYED)))


def test() -> Program:
    """DEPLOYED → TESTING → PASSED, FAILED, INVALID or TIMED_OUT; REVERTING as in :func:`deploy`."""
    view = yield Claim()
    if view is None or view.state not in (A.DEPLOYED, A.TESTING):
        return None
    if view.state is A.DEPLOYED:
        yield from _go(Write(A.DEPLOYED, A.TESTING))
    tested = yield Test(view.candidate)
    if isinstance(tested, Unwanted):
        return (yield from _stop(A.TESTING, tested))
    # Read back after the tests: what they ran on must be what was planned, at their end as well.
    if not (yield Runs(view.candidate)):
        why = "the environment did not run what was to be tested"
        return (yield from _go(Write(A.TESTING, A.INVALID, said=("not_what_was_planned", why))))
    to = {Verdict.PASSED: A.PASSED, Verdict.FAILED: A.FAILED, Verdict.TIMED_OUT: A.TIMED_OUT}[tested.verdict]
    said = None if to is A.PASSED else (f"tests_{tested.verdict}", tested.said)
    return (yield from _go(Write(A.TESTING, to, said=said)))


def land() -> Program:
    """PASSED → LANDING → LANDED, by one atomic push; or REVERTING when main moved meanwhile."""
    view = yield Claim()
    if view is None or view.state not in (A.PASSED, A.LANDING):
        return None
    if view.state is A.LANDING:
        return (yield from _land(view))
    if not view.lands:
        return (yield from _go(Write(A.PASSED, A.REVERTING, said=("tried", "it passed; it was not to land"))))
    changed = yield StillApproved()
    if changed is not None:
        said = ("stale", changed.said)
        return (yield from _go(Write(A.PASSED, A.REVERTING, said=said, blamed=changed.member)))
    return (yield from _land(view))


def settle(*, takes_over: bool = False) -> Program:
    """Whatever happened: find out whether it landed, make the environment equal to main, leave the lane.

    :param takes_over: as `Claim` has it; for whoever finds that nobody does it.
    """
    view = yield Claim(takes_over=takes_over)
    if view is None:
        return None
    if view.state in ATTEMPT_ENDS or view.state is A.QUARANTINED:
        yield Release()
        return AttemptState(view.state)
    if view.state is A.PLANNED:
        end = yield from _go(Write(A.PLANNED, A.REVERTED, said=("not_begun", "it never had the lane")))
        yield Release()
        return end
    state = view.state
    if state is A.LANDING:
        state = yield from _land(view)
    else:
        yield from _rotate(view)
    if state is not A.LANDED and state is not A.REVERTING:
        why = f"its task was cut off while it was {state}"
        said = (CUT_OFF, why) if state in (A.DEPLOYING, A.TESTING) else None
        if state is A.PASSED and view.lands:
            why = "it passed, and nobody could be asked whether it may still land, or its task was cut off"
            said = (NOT_LANDED, f"{why}; it is tried again")
        state = yield from _go(Write(state, A.REVERTING, said=said))
    proven = yield from _equal_to_main()
    ends = {A.LANDED: A.CONFIRMED, A.REVERTING: A.REVERTED}
    said = None if proven else ("not_proven", "nobody could prove that the environment runs main")
    end = yield from _go(Write(state, ends[state] if proven else A.QUARANTINED, said=said))
    yield Release()
    return end


def _land(view: View) -> Program:
    """Push, as often as it takes to know how it went; from LANDING on, nobody knows whether that was
    done before.
    """
    state, lease, landing = view.state, view.lease, view.landing
    for _ in range(_PUSHES):
        if state is A.LANDING:
            lease = yield from _rotate(view)
            if (yield InChain(landing, lease)):
                return (yield from _go(Write(A.LANDING, A.LANDED)))
            # That push is dead now, for ever.
            if (yield ReadRefs()).main != view.base:
                why = "main moved while it was tested; it is tried again on the new main"
                return (yield from _go(Write(A.LANDING, A.REVERTING, said=("main_moved", why))))
        landing = yield NewLease(view.fence, lease)
        # Written down before it is done: whoever goes on knows what to look for.
        yield from _go(Write(state, A.LANDING, lease=lease, landing=landing))
        if (yield Push(lease=(lease, landing), main=(view.base, view.candidate))) is Answer.DONE:
            return (yield from _go(Write(A.LANDING, A.LANDED)))
        state = A.LANDING
    lease = yield from _rotate(view)
    if (yield InChain(landing, lease)):
        return (yield from _go(Write(A.LANDING, A.LANDED)))
    why = "the remote does not move main, though main is where it was; may Daybreak push to that branch?"
    return (yield from _go(Write(A.LANDING, A.REVERTING, said=(LANDING_REFUSED, why))))


def _rotate(view: View) -> Generator[Effect, Any, str]:
    """Put a new lease in the place of the one that is there.

    :raises LostOp: when one with a higher fence is there: the lane is another's.
    :raises LeaseRefused: when the remote takes none.
    """
    refused, seen = 0, None
    for _ in range(_ROUNDS):
        there = (yield ReadRefs()).lease
        if there is not None and (yield FenceOf(there)) > view.fence:
            raise LostOp(f"{view.run_id} lost the lane: its lease is another's, with a higher fence")
        # Refused where another lease is there now: somebody else's push came first.
        refused, seen = (refused if there == seen else 0), there
        if refused == _PUSHES:
            raise LeaseRefused(
                "the remote does not take refs/heads/daybreak/lease, though nobody moved it; may Daybreak "
                "push there? See docs/github.md"
            )
        fresh = yield NewLease(view.fence, there)
        # Refused or unclear: the next look tells what is there now, and starts from that.
        answer = yield Push(lease=(there, fresh))
        if answer is Answer.DONE:
            return str(fresh)
        refused += answer is Answer.REFUSED
    why = "each time it had moved, or nobody knows how the push went"
    raise MainTooBusy(f"{view.run_id}: {_ROUNDS} tries did not rotate the lease: {why}")


def _equal_to_main() -> Generator[Effect, Any, bool]:
    """Make the environment run main, and read it back; main may move meanwhile."""
    for _ in range(_ROUNDS):
        main = (yield ReadRefs()).main
        proven = (yield Deploy(main)).done and (yield Runs(main))
        if (yield ReadRefs()).main == main:
            return bool(proven)
    return False


def _stop(state: AttemptState, unwanted: Unwanted) -> Program:
    """Nobody is to blame, and the lane is for those who wait."""
    return (yield from _go(Write(state, A.REVERTING, said=(unwanted.code, unwanted.said))))


def _go(write: Write) -> Program:
    """Write, or stop: a try that may not write must do nothing more.

    :raises LostOp: when another try or holder took over.
    """
    if not (yield write):
        raise LostOp(f"another try took over before {write.state} could become {write.to}")
    return write.to
