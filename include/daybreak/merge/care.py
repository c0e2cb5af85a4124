"""Attempts of which nobody works any more, and an environment that could not prove itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta

from daybreak.environment.dead import GIVEN_UP
from daybreak.environment.machine import LANE_STEP, USABLE, State
from daybreak.errors import DaybreakError
from daybreak.git import merging, pushing
from daybreak.merge import protocol as p
from daybreak.merge.rows import Attempt
from daybreak.merge.rules import AttemptState
from daybreak.merge.run import Merge

log = logging.getLogger(__name__)

ACTOR = "caretaker"
#: By run id: why it is over, nothing while it goes on, ``None`` where nobody but we knows it.
Over = Callable[[str], str | None]
#: The op's holder while it is healed.
_HEALER = f"{ACTOR}/heal"
#: As long as a revert may take.
_HEALING = timedelta(hours=1)
#: Between two tries to heal by itself.
_PAUSE = timedelta(minutes=10)


def settle_dead(merge: Merge, over: Over) -> Iterator[tuple[str, AttemptState]]:
    """End each attempt whose run is over, or was silent for long: whether it landed, what runs there; and
    free the lane of one that came to its end and died before it gave the lane back.
    """
    for attempt in [*merge.attempts.unfinished(), *_ended_in_lane(merge)]:
        said = over(attempt.run_id)
        why = _silent(merge, attempt) if said is None else said
        if not why:
            continue
        log.info("%s: %s", attempt.run_id, why)
        holder = f"{ACTOR}/{attempt.run_id}"
        try:
            merge.lane.run(attempt.run_id, p.settle(takes_over=True), holder=holder, actor=ACTOR)
        except DaybreakError as error:
            log.warning("%s: %s; tried again later", attempt.run_id, error)
            continue
        state = merge.queue.attempt(attempt.run_id).state
        if state is not attempt.state or (attempt.ended and not _ended_in_lane(merge)):
            merge.finish(attempt.run_id)
            yield attempt.run_id, state


def _ended_in_lane(merge: Merge) -> list[Attempt]:
    env = merge.installation.environments.get(merge.environment)
    if env.op_token is None or env.op_step != LANE_STEP:
        return []
    found = merge.attempts.find(str(env.op_holder).partition("/")[2])
    return [found] if found is not None and found.ended else []


def _silent(merge: Merge, attempt: Attempt) -> str:
    installation = merge.installation
    now, env = installation.clock(), installation.environments.get(merge.environment)
    held = env.op_token is not None and str(env.op_holder).endswith(f"/{attempt.run_id}")
    heard = env.op_heartbeat_at if held and env.op_heartbeat_at else attempt.changed_at
    return "" if now - max(heard, attempt.changed_at) <= GIVEN_UP else "nobody was heard of"


def heal(merge: Merge, *, asked: bool = False) -> str:
    """Prove that the environment runs main where that could not be proven before; says how it went.

    One that was shut is opened only when that is read back. One that an admin opened (`env heal`) is shut
    again when it is not; until then nothing enters (`gate.busy`). Whoever is killed or meets an error in the
    middle leaves the op to the next try, which takes it over at once.

    :param asked: somebody asks for it now; else a try waits for some minutes after what happened last.
    :raises GitError: main cannot be read; nothing was begun.
    :raises LostOp: somebody else has the environment by now.
    """
    environments = merge.installation.environments
    env = environments.get(merge.environment)
    if env.op_token is not None and env.op_holder != _HEALER:
        return ""
    # A try before that died or met an error, and never gave the op back: it is gone on with at once.
    left = env.op_token is not None
    shut = env.state is State.FAULTED and env.fault_code == p.QUARANTINED
    if shut and not asked and not left and merge.installation.clock() - env.changed_at < _PAUSE:
        return ""
    if not shut and not left and (env.state not in USABLE or not merge.attempts.quarantined()):
        return ""
    # Before the op is taken: while git is away, nothing is begun.
    main = pushing.read(merge.url, merge.branch)[merge.branch]
    if not merging.has(merge.repository, main):
        pushing.fetch(merge.repository, merge.url, main)
    op = environments.begin(
        env.name, step="heal", holder=_HEALER, actor=ACTOR, expect={env.state}, deadline=_HEALING,
        takeover=True,
    )  # fmt: skip
    deployed = merge.lane.ground.deploy(main, op)
    assert isinstance(deployed, p.Deployed), "no attempt is deployed or tested"
    if not (deployed.done and merge.lane.ground.runs(main)):
        why = f"still nobody can prove that it runs main: {deployed.said or 'it runs something else'}"
        environments.finish(op) if shut else environments.fault(op, p.QUARANTINED, why)
        return f"{env.name}: {why}"
    # The op goes last: whoever dies before that is gone on with.
    environments.update(op, commit=main, message="it runs main, read back")
    if shut:
        environments.unfault(env.name, by=ACTOR, reason=f"it runs main, {main[:12]}, read back")
    closed = merge.attempts.close_quarantined(actor=ACTOR)
    environments.finish(op)
    return f"{env.name} runs main again; closed: {', '.join(closed) or 'nothing'}"
