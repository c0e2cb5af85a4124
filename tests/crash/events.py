"""The event log of a night that was killed, against that of one that nobody disturbed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from daybreak.environment.rows import Event

Row = tuple[str, str, str, str, int]


@dataclass
class _Try:
    step: str
    rows: list[Row]


def wrong(killed: Sequence[Event], undisturbed: Sequence[Event]) -> list[str]:
    """What differs beside one try more of the step that was killed; empty when nothing does."""
    found = _consecutive(killed)
    tries, expected = _tries(killed), _tries(undisturbed)
    merged: list[_Try] = []
    twice = []
    for each in tries:
        if merged and merged[-1].step == each.step:
            twice.append(each.step)
            merged[-1].rows += each.rows[1:]
        else:
            merged.append(each)
    if len(twice) > 1:
        found.append(f"events: {len(twice)} steps were begun again: {', '.join(twice)}")
    if [each.step for each in merged] != [each.step for each in expected]:
        return [*found, f"events: steps {[e.step for e in merged]} != {[e.step for e in expected]}"]
    for got, want in zip(merged, expected, strict=True):
        # What the first try said after it began, the second need not, or may say again: each once, in order.
        if list(dict.fromkeys(got.rows)) != list(dict.fromkeys(want.rows)):
            found.append(f"events of {got.step}: {got.rows} != {want.rows}")
    return found


def _consecutive(events: Sequence[Event]) -> list[str]:
    """Each event goes on where the one before ended."""
    found = []
    for before, after in itertools.pairwise(events):
        if after.version != before.version + 1:
            found.append(f"events: version {after.version} follows {before.version}")
        if after.from_state != before.to_state:
            found.append(f"events: {after.from_state} at {after.version} follows {before.to_state}")
    return found


def _tries(events: Sequence[Event]) -> list[_Try]:
    found = [_Try("before", [])]
    for event in events:
        if event.kind == "begin":
            found.append(_Try(event.message.split()[0], []))
        found[-1].rows.append((event.kind, event.to_state, event.actor, event.message, event.fence))
    return found
