"""Every way that the programs of `daybreak.merge.protocol` can go, with the world between any two effects.

The programs are the real ones. What is small here is the world: references are words, an environment is the
commit that it runs. Between any two effects a worker may die or be taken over, a push may be carried out at
once, later or never, with or without an answer, and people may push to main, reset it, push to the pull
request, or cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from daybreak.errors import DaybreakError, LostOp
from daybreak.merge import protocol as p
from daybreak.merge.rules import ATTEMPT_ENDS, IN_LANE, ON_MAIN, AttemptState, require
from tests.merge.model_world import (
    START,
    Attempt,
    Budget,
    Rules,
    Violation,
    Worker,
    World,
    changed,
    put,
    spend,
    without,
)

A = AttemptState
#: The programs of a run, in the order in which Airflow starts them; the last one whatever happened before.
STEPS: dict[str, Callable[[], p.Program]] = {
    "enter": p.enter,
    "deploy": p.deploy,
    "test": p.test,
    "land": p.land,
    "settle": p.settle,
    "caretaker": lambda: p.settle(takes_over=True),
}
RUN = ("enter", "deploy", "test", "land", "settle")
_BEFORE_PASSED = frozenset({A.PLANNED, A.LEASED, A.PREPARED, A.DEPLOYING, A.DEPLOYED, A.TESTING})


@dataclass
class Explorer:
    rules: Rules = field(default_factory=Rules)
    limit: int = 400_000
    seen: int = 0
    #: Codes of what programs raised.
    errors: set[str] = field(default_factory=set)

    def explore(self, start: World) -> None:
        """Visit everything that can be reached; raise at the first thing that must never be."""
        known = {start}
        ahead = [start]
        while ahead:
            world = ahead.pop()
            following = list(self.next(world))
            if not following:
                self._at_rest(world)
            for each in following:
                if each not in known:
                    known.add(each)
                    ahead.append(each)
            self.seen = len(known)
            if self.seen > self.limit:
                raise RuntimeError(f"more than {self.limit} states")

    # What can happen next

    def next(self, world: World) -> Iterator[World]:
        for number, worker in enumerate(world.workers):
            yield from self._step(world, number, worker)
            if world.left.crashes:
                yield spend(without(world, number), "crashes")
        yield from self._starts(world)
        yield from self._outside(world)

    def _step(self, world: World, number: int, worker: Worker) -> Iterator[World]:
        effect = _ahead(worker.step, worker.told)
        if effect is None or isinstance(effect, DaybreakError):
            self.errors |= {effect.code} if effect is not None else set()
            yield self._ended(world, number, worker)
            return
        for after, result, token in self._perform(world, worker, effect):
            went_on = self._alone(after, replace(worker, told=(*worker.told, result), token=token))
            yield replace(after, workers=put(after.workers, number, went_on))

    def _alone(self, world: World, worker: Worker) -> Worker:
        """What nobody else can notice or change happens at once: fewer states, and the same futures."""
        local = p.FenceOf | p.InChain | p.NewLease | p.Build
        while isinstance(effect := _ahead(worker.step, worker.told), local):
            ((_, result, _),) = self._perform(world, worker, effect)
            worker = replace(worker, told=(*worker.told, result))
        return worker

    def _ended(self, world: World, number: int, worker: Worker) -> World:
        if not worker.runs_on or worker.step == "settle":
            return without(world, number)
        step = RUN[RUN.index(worker.step) + 1]
        if step == "settle" and not self.rules.settled:
            return without(world, number)
        return replace(
            world, workers=put(world.workers, number, Worker(worker.attempt, step, runs_on=worker.runs_on))
        )

    def _starts(self, world: World) -> Iterator[World]:
        for number, attempt in enumerate(world.attempts):
            at_work = [each for each in world.workers if each.attempt == number]
            if any(each.step == "caretaker" for each in at_work):
                continue
            over = attempt.state in ATTEMPT_ENDS and world.lane != number
            if not over and not at_work and self.rules.settled:
                yield replace(world, workers=(*world.workers, Worker(number, "caretaker", runs_on=False)))
            if world.left.takeovers and at_work and attempt.state in IN_LANE:
                more = Worker(number, "caretaker", runs_on=False)
                yield spend(replace(world, workers=(*world.workers, more)), "takeovers")
            if world.left.retries and len(at_work) == 1 and at_work[0].step != "settle":
                # The supervisor was killed: its orphan works on, alone, while the retry begins.
                orphan = replace(at_work[0], runs_on=False)
                workers = tuple(orphan if each is at_work[0] else each for each in world.workers)
                again = Worker(number, orphan.step)
                yield spend(replace(world, workers=(*workers, again)), "retries")

    def _outside(self, world: World) -> Iterator[World]:
        for whose, push in world.pending:
            rest = replace(world, pending=world.pending - {(whose, push)})
            yield self._carry_out(rest, whose, push) if self._possible(rest, push) else rest
        if world.left.pushes:
            yield spend(replace(world, main=f"{world.main}>h", unseen=True), "pushes")
        if world.left.resets and world.main != START:
            yield spend(replace(world, main=START, unseen=True), "resets")
        if world.left.cancels and world.attempts[0].state not in (A.LANDING, *ON_MAIN, *ATTEMPT_ENDS):
            yield spend(changed(world, 0, cancelled=True), "cancels")
        # Later it makes no difference: what lands is what was approved when it was asked for the last time.
        if world.left.heads and world.attempts[0].state in _BEFORE_PASSED:
            yield spend(changed(world, 0, moved=True), "heads")

    # Effects

    def _perform(self, world: World, worker: Worker, effect: p.Effect) -> Iterator[tuple[World, Any, int]]:
        mine = world.attempts[worker.attempt]
        same = worker.token
        holds = mine.token == worker.token or not self.rules.writes_need_the_token
        match effect:
            case p.Claim():
                yield self._claim(world, worker, effect)
            case p.Write():
                yield (*self._write(world, worker, effect, holds), same)
            case p.ReadRefs():
                settles = worker.step in ("settle", "caretaker") and holds and mine.state not in ATTEMPT_ENDS
                after = replace(world, unseen=world.unseen and not settles)
                yield after, p.Refs(world.main, world.lease or None), same
            case p.FenceOf(lease):
                yield world, int(lease.rpartition("/")[2].split(".")[0]), same
            case p.InChain(lease, tip):
                in_chain = tip == lease or tip.startswith(f"{lease}/")
                yield world, in_chain if self.rules.chain_is_asked else mine.candidate in world.main, same
            case p.NewLease(fence, parent):
                yield world, f"{parent or ''}/{fence}.{worker.token}.{len(worker.told)}", same
            case p.Push():
                yield from ((after, answer, same) for after, answer in self._push(world, worker, effect))
            case p.Build(base):
                yield world, p.Built(f"{base}>c{worker.attempt}"), same
            case p.StillApproved():
                gone = mine.cancelled or (mine.moved and self.rules.head_is_asked)
                yield world, p.Changed(worker.attempt, "not as it was") if gone else None, same
            case p.Deploy(commit):
                if holds:
                    yield replace(world, runs=commit), p.Deployed(True), same
                    if mine.cancelled and worker.step == "deploy":
                        half = replace(world, runs=f"{commit}, half")
                        yield half, p.Unwanted("cancelled", "by dana"), same
                    if world.left.broken:
                        half = replace(world, runs=f"{commit}, half")
                        yield spend(half, "broken"), p.Deployed(True), same
                else:
                    yield world, p.Deployed(False), same
            case p.Test(commit):
                passed = world.tested | {commit} if world.runs == commit else world.tested
                yield replace(world, tested=passed), p.Tested(p.Verdict.PASSED), same
                if mine.cancelled:
                    yield world, p.Unwanted("cancelled", "by dana"), same
                if world.left.failures:
                    yield spend(world, "failures"), p.Tested(p.Verdict.FAILED), same
            case p.Runs(commit):
                yield world, world.runs == commit or not self.rules.read_back, same
            case p.Release():
                held = world.lane == worker.attempt and holds
                yield replace(world, lane=None) if held else world, None, same

    def _claim(self, world: World, worker: Worker, claim: p.Claim) -> tuple[World, Any, int]:
        number, mine = worker.attempt, world.attempts[worker.attempt]
        token = world.tokens + 1
        fence, lane, state = mine.fence, world.lane, mine.state
        if claim.takes_lane:
            if state is A.PLANNED and lane is None:
                fence, lane, state = world.fence + 1, number, A.LEASED
            elif not (state is A.LEASED and lane == number):
                return world, None, worker.token
        elif state is A.PLANNED or lane != number:
            if not (claim.takes_over and (state is A.PLANNED or lane == number)):
                return world, None, worker.token
        elif claim.takes_over:
            fence = world.fence + 1
        known = replace(mine, token=token, fence=fence, state=state)
        after = replace(
            world, tokens=token, fence=max(world.fence, fence), lane=lane,
            attempts=put(world.attempts, number, known),
        )  # fmt: skip
        view = p.View(
            f"run-{number}", state, fence, known.base, known.candidate, known.lease, known.landing
        )  # fmt: skip
        return after, view, token

    def _write(self, world: World, worker: Worker, write: p.Write, holds: bool) -> tuple[World, bool]:
        mine = world.attempts[worker.attempt]
        if not holds or (mine.state is not write.state and self.rules.writes_need_the_token):
            return world, False
        if write.to is A.LANDING and mine.cancelled and self.rules.cancel_is_compared:
            return world, False
        if write.state is not write.to:
            require(write.state, write.to)
        columns = {
            name: value
            for name in ("base", "candidate", "lease", "landing")
            if (value := getattr(write, name)) is not None
        }
        if write.to is A.LANDING and not self.rules.landing_is_written_first:
            # As if it were written with the next write only.
            return changed(world, worker.attempt, **{**columns, "landing": ""}), True
        return changed(world, worker.attempt, state=write.to, **columns), True

    def _push(self, world: World, worker: Worker, push: p.Push) -> Iterator[tuple[World, p.Answer]]:
        possible = self._possible(world, push)
        done = self._carry_out(world, worker.attempt, push) if possible else world
        if push.main is None and not self.rules.rotation_is_carried_out:
            yield world, p.Answer.DONE
            return
        yield done, p.Answer.DONE if possible else p.Answer.REFUSED
        if possible and world.left.refusals:
            yield spend(world, "refusals"), p.Answer.REFUSED
        if world.left.unclear:
            poorer = spend(world, "unclear")
            yield replace(poorer, pending=world.pending | {(worker.attempt, push)}), p.Answer.UNCLEAR
            if possible:
                yield spend(done, "unclear"), p.Answer.UNCLEAR

    def _possible(self, world: World, push: p.Push) -> bool:
        if (push.lease[0] or "") != world.lease and self.rules.lease_is_compared:
            return False
        if push.main is None:
            return True
        # Without the comparison: as a fast-forward-only update would do it.
        return world.main == push.main[0] if self.rules.main_is_compared else world.main in push.main[1]

    def _carry_out(self, world: World, whose: int, push: p.Push) -> World:
        after = replace(world, lease=push.lease[1])
        if push.main is None:
            return after
        candidate, mine = push.main[1], world.attempts[whose]
        if candidate not in world.tested:
            raise Violation(f"{candidate} came to main without having passed")
        if mine.carried_out:
            raise Violation(f"{candidate} came to main twice")
        if mine.cancelled:
            raise Violation(f"{candidate} came to main after it was cancelled")
        if mine.moved:
            raise Violation(f"{candidate} came to main after its head moved")
        if world.main != push.main[0]:
            raise Violation(f"{candidate} came to main as {world.main}, and was made on {push.main[0]}")
        return changed(replace(after, main=candidate), whose, carried_out=1)

    def _at_rest(self, world: World) -> None:
        """Nothing can happen any more."""
        for attempt in world.attempts:
            if attempt.state not in ATTEMPT_ENDS and attempt.state is not A.QUARANTINED:
                raise Violation(f"an attempt stays {attempt.state} for ever")
            said = attempt.state in ON_MAIN
            if said != bool(attempt.carried_out) and attempt.state is not A.QUARANTINED:
                raise Violation(f"it is {attempt.state}, and its push was carried out: {attempt.carried_out}")
        if world.lane is not None:
            raise Violation("the lane is never given back")
        proven = all(attempt.state is not A.QUARANTINED for attempt in world.attempts)
        if proven and not world.unseen and world.runs != world.main:
            raise Violation(f"the environment runs {world.runs}, and main is {world.main}")


@cache
def _ahead(step: str, told: tuple[Any, ...]) -> p.Effect | DaybreakError | None:
    """What a program wants next after it was told that much; ``None`` when it ended."""
    program = STEPS[step]()
    try:
        effect = next(program)
        for result in told:
            effect = program.send(result)
    except StopIteration:
        return None
    except (LostOp, p.LeaseRefused) as error:
        return error
    return effect


def begun(attempts: int = 1, **budget: int) -> World:
    """Attempts whose runs have just been started, and how often what may happen."""
    workers = tuple(Worker(number, "enter") for number in range(attempts))
    return World((Attempt(),) * attempts, workers, Budget(**budget))


def passed(**budget: int) -> World:
    """One attempt that passed, about to land."""
    world = begun()
    while world.attempts[0].state is not A.PASSED or world.workers[0].step != "land":
        world = next(Explorer().next(world))
    return replace(world, left=Budget(**budget))
