"""Carrying out what the programs of `protocol` ask for: on git, the registry and the merge environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from daybreak.environment.machine import LANE_STEP, USABLE, Op, OpBusy, StaleState
from daybreak.environment.state import Environments
from daybreak.errors import LostOp
from daybreak.merge import protocol as p
from daybreak.merge.attempts import Attempts
from daybreak.merge.queue import Queue
from daybreak.merge.remote import Remote
from daybreak.merge.rows import LAND, Attempt, Entry
from daybreak.merge.rules import ATTEMPT_ENDS, IN_LANE, AttemptState


class Ground(Protocol):
    """The merge environment: what runs there, and how that is changed and tested."""

    def deploy(self, commit: str, op: Op) -> p.Deployed | p.Unwanted:
        """Make it run ``commit`` from artifacts that are there."""

    def test(self, commit: str, op: Op) -> p.Tested | p.Unwanted:
        """Test ``commit`` on it."""

    def runs(self, commit: str) -> bool:
        """Whether, read back, it runs exactly ``commit`` with all that was planned."""


@dataclass
class Lane:
    """The lane to main: one environment, one remote, one holder at a time.

    :param approved: what changed about an entry since it was approved, in words; ``None``: nothing.
    :param limit: how long one step of an attempt may have the lane.
    """

    environments: Environments
    queue: Queue
    attempts: Attempts
    remote: Remote
    environment: str
    ground: Ground
    approved: Callable[[Entry], str | None]
    limit: timedelta

    def run(self, run_id: str, program: p.Program, *, holder: str, actor: str) -> AttemptState | None:
        """Run one program of the protocol to its end.

        :param holder: ``<who>/<run_id>``: the same for all tries and steps of a run, and another ``who`` for
            whoever takes over.
        :returns: the state in which it left the attempt; ``None`` when it was not its turn.
        :raises LostOp: another try or holder took over; this one changed nothing since.
        :raises LeaseRefused: the remote takes no lease; the queue is paused, and people are told.
        """
        hand = _Hand(self, run_id, holder, actor)
        try:
            effect = next(program)
            while True:
                effect = program.send(hand.perform(effect))
        except StopIteration as end:
            state: AttemptState | None = end.value
            return state
        except p.LeaseRefused as refused:
            self.attempts.stop(run_id, str(refused))
            raise

    def void(self, run_id: str, *, holder: str, actor: str) -> None:
        """Make what an earlier try of the run still does void, before somebody waits for it to be quiet."""
        _Hand(self, run_id, holder, actor).perform(p.Claim())


@dataclass
class _Hand:
    """One try at work."""

    lane: Lane
    run_id: str
    holder: str
    actor: str
    op: Op | None = field(default=None)
    #: What the environment was last seen to run.
    proven: str | None = field(default=None)
    token: str | None = field(default=None)

    def perform(self, effect: p.Effect) -> Any:
        lane = self.lane
        match effect:
            case p.Claim():
                return self._claim(effect)
            case p.Write():
                return self._write(effect)
            case p.ReadRefs():
                return lane.remote.refs()
            case p.FenceOf(lease):
                return lane.remote.fence_of(lease)
            case p.InChain(lease, tip):
                return lane.remote.in_chain(lease, tip)
            case p.NewLease(fence, parent):
                return lane.remote.new_lease(fence, parent, self.holder)
            case p.Push(lease, main):
                return lane.remote.push(lease, main)
            case p.Build(base):
                attempt = lane.attempts.find(self.run_id)
                assert attempt is not None
                return lane.remote.candidate(base, attempt, self._members())
            case p.StillApproved():
                changed = ((each, lane.approved(each)) for each in self._members())
                return next((p.Changed(each.id, said) for each, said in changed if said is not None), None)
            case p.Deploy(commit):
                lane.remote.bring(commit)
                return lane.ground.deploy(commit, self._mine())
            case p.Test(commit):
                lane.remote.bring(commit)
                return lane.ground.test(commit, self._mine())
            case p.Runs(commit):
                lane.remote.bring(commit)
                self.proven = commit if lane.ground.runs(commit) else None
                return self.proven is not None
            case p.Release():
                return self._release()

    # The lane's row

    def _claim(self, claim: p.Claim) -> p.View | None:
        lane = self.lane
        attempt = lane.attempts.find(self.run_id)
        if attempt is None:
            return None
        env = lane.environments.get(lane.environment)
        held = env.op_holder if env.op_token is not None else None
        ours = held is not None and held.endswith(f"/{self.run_id}")
        planned = attempt.state is AttemptState.PLANNED
        if claim.takes_lane:
            # A holder that died is not passed by: whoever takes over from it finds out first what it landed.
            may = (planned and held is None) or (ours and (planned or attempt.state is AttemptState.LEASED))
        elif claim.takes_over:
            may = ours or (held is None and attempt.state in IN_LANE)
        else:
            may = held == self.holder
        if not may:
            # What never had the lane can be ended without it.
            return _view(attempt) if planned and not claim.takes_lane and not ours else None
        try:
            self.op = lane.environments.begin(
                lane.environment, step=LANE_STEP, holder=self.holder, actor=self.actor, expect=USABLE,
                deadline=lane.limit, takeover=True,
            )  # fmt: skip
        except (OpBusy, StaleState):
            # Somebody is at work on it; or the night rebuilds it, or it is shut, and nobody can use it.
            return None
        self.token = self.op.token
        claimed = lane.attempts.claim(
            self.run_id, token=self.op.token, fence=self.op.fence, actor=self.actor, enters=claim.takes_lane
        )
        return None if claimed is None else _view(claimed)

    def _write(self, write: p.Write) -> bool:
        if self.op is not None and self.proven is not None and write.to in ATTEMPT_ENDS:
            # Before the end: whoever comes after that only gives the lane back, and proves nothing.
            self.lane.environments.update(self.op, commit=self.proven, message=f"after {self.run_id}")
        return self.lane.attempts.write(self.run_id, self.token, write, actor=self.actor)

    def _release(self) -> None:
        """Give the lane back; an environment that could not prove itself stays shut."""
        if self.op is None:
            return
        attempt = self.lane.attempts.find(self.run_id)
        # The attempt is over. Before the lane is given back, since nobody comes again after that.
        self.lane.remote.forget(self.run_id)
        try:
            if attempt is not None and attempt.state is AttemptState.QUARANTINED:
                said = f"after {self.run_id}, nobody could prove that it runs main"
                self.lane.environments.fault(self.op, p.QUARANTINED, said)
            else:
                self.lane.environments.finish(self.op)
        except LostOp:
            return  # somebody took over: it is theirs to give back

    def _mine(self) -> Op:
        assert self.op is not None, "no program changes the environment before it claimed it"
        return self.op

    def _members(self) -> list[Entry]:
        attempt = self.lane.attempts.find(self.run_id)
        assert attempt is not None
        return [self.lane.queue.get(each) for each in attempt.members]


def _view(attempt: Attempt) -> p.View:
    return p.View(
        attempt.run_id, attempt.state, attempt.fence, attempt.base, attempt.candidate, attempt.lease,
        attempt.landing, attempt.mode == LAND,
    )  # fmt: skip
