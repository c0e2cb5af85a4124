"""What the lane may take after the attempt that is in it: built while that one is deployed and tested. Pure.

An attempt lands, or its members fail. For both, the queue as it would be then is asked what the lane takes
next, by the same rules; where nobody comes or goes meanwhile, that is what it will take. A wrong guess costs
builds, nothing else: artifacts are found by their content keys, whatever they were built for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from daybreak.merge.attempts import outcome
from daybreak.merge.batch import Line
from daybreak.merge.protocol import TESTS_FAILED
from daybreak.merge.queue import other_half
from daybreak.merge.rows import TRY, Attempt, Entry
from daybreak.merge.rules import IN_LANE, ON_MAIN, AttemptState, EntryState

A, E = AttemptState, EntryState
#: From here on an attempt fails, if it did not land; up to there it may.
_LOST = frozenset({A.FAILED, A.INVALID, A.TIMED_OUT, A.REVERTING})
_WON = frozenset({A.PASSED, A.LANDING, *ON_MAIN})


@dataclass(frozen=True)
class Guess:
    """What may be next.

    :param after: the attempt that has the lane now, :param lands: whether it is what follows its landing.
    :param base: what main will be then: the attempt's candidate, or what that was made on.
    :param members: in the order in which they are merged.
    """

    after: str
    lands: bool
    base: str
    members: tuple[Entry, ...]

    @property
    def pulls(self) -> list[tuple[int, str]]:
        """Number and head of each member."""
        return [(each.pr, each.sha) for each in self.members]


def guesses(
    line: Line, attempt: Attempt, members: Sequence[Entry], impact: Mapping[int, frozenset[str]] | None = None
) -> Iterator[Guess]:
    """What may be in the lane next, the likelier first; nothing before the candidate is made.

    :param line: the queue as it is now; the attempt's members are not in it.
    :param members: the attempt's.
    :param impact: of the members and of those that wait, as :func:`daybreak.merge.batch.choose` has it.
    """
    if attempt.state not in IN_LANE or not attempt.candidate:
        return
    ends = []
    if attempt.mode != TRY and attempt.state not in _LOST:
        ends.append((True, attempt.candidate, landed(line, attempt)))
    if attempt.mode == TRY or attempt.state not in _WON:
        ends.append((False, attempt.base, failed(line, attempt, members)))
    for lands, base, then in ends:
        found = then.choose(impact)
        if found is not None:
            yield Guess(attempt.run_id, lands, base, found.members)


def landed(line: Line, attempt: Attempt) -> Line:
    """The queue once the attempt has landed."""
    # What failed together with these fails without them, as `Attempts.write` has it.
    waiting = [
        replace(each, suspects_fail=True) if each.suspects == other_half(attempt.run_id) else each
        for each in line.queued
    ]
    # Once it has, its members are counted already.
    more = () if attempt.state in ON_MAIN else attempt.members
    return replace(line, queued=waiting, decided=[*line.decided, *(True for _ in more)])


def failed(line: Line, attempt: Attempt, members: Sequence[Entry]) -> Line:
    """The queue once the attempt has failed, for the reason that it names; until it does, by its tests."""
    over = replace(attempt, state=A.REVERTING, reason_code=attempt.reason_code or TESTS_FAILED)
    back, decided = list(line.queued), list(line.decided)
    for each in members:
        if each.ended_at is not None:
            continue  # taken back meanwhile
        to, columns = outcome(each, over)
        if to is E.QUEUED:
            back.append(replace(each, state=to, **columns))
        elif to is E.REJECTED:
            decided.append(False)
    back.sort(key=lambda each: (-each.priority, each.queued_at, each.id))
    return replace(line, queued=back, decided=decided)
