"""What people are to be told of an entry: put into the outbox in the transaction that changes it.

A payload names the entry and what of it is to be seen; whoever sends it (`talk/gandalf/reports.py`) reads
the rest at that moment, so that nobody is told what is over. The same key is edited in place:

* ``merge/pr/12``: the one comment on a pull request, whatever entries it had;
* ``merge/7/check``: what stands beside the commit of an entry;
* ``merge/7/person``: the message to whoever asked for it;
* ``merge/7/landed``: the post in the merges channel, for each landing one;
* ``merge/stopped/3``: the post there that the queue stopped by itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from daybreak.merge.rules import AttemptState, EntryState
from daybreak.registry import merge_tables as tables
from daybreak.registry import outbox
from daybreak.registry.outbox import Notice

A, E = AttemptState, EntryState

#: The merges channel, as a recipient.
MERGES = "merges"
#: What of an attempt people want to see while it goes on; what lies between takes no time.
SHOWN = frozenset({A.LEASED, A.DEPLOYING, A.TESTING, A.REVERTING})
#: Up to here each place is told when it changes; behind, each fifth one.
_NEAR = 5

_ENTRIES, _ATTEMPTS = tables.entries, tables.attempts


def pull(number: int) -> str:
    """A pull request, as a recipient."""
    return f"github:pr/{number}"


def comment_on(number: int) -> str:
    """The key of the one comment on a pull request."""
    return f"merge/pr/{number}"


def entry(connection: Connection, number: int, at: datetime) -> None:
    """The entry changed, and with it the places of those behind it."""
    places = _places(connection)
    row = connection.execute(_query(_ENTRIES.c.id == number)).one()
    _put(connection, row, places, at, all_of_it=True)
    near = [each for each, place in places.items() if place <= _NEAR + 1 or place % _NEAR in (0, 1)]
    for row in connection.execute(_query(_ENTRIES.c.id.in_([each for each in near if each != number]))).all():
        _put(connection, row, places, at)


def attempt(connection: Connection, run_id: str, at: datetime) -> None:
    """An attempt went on: its members' messages say so."""
    members = _query(_ENTRIES.c.run_id == run_id, _ENTRIES.c.state == E.IN_ATTEMPT)
    for row in connection.execute(members).all():
        if row.attempt in SHOWN:
            _put(connection, row, {}, at, all_of_it=True)


def stopped(connection: Connection, version: int, by: str, reason: str, at: datetime) -> None:
    """The queue was paused by nobody's command; with its version, told once."""
    payload = {"kind": "merge_stopped", "by": by, "reason": reason}
    outbox.put(connection, Notice(f"merge/stopped/{version}", MERGES, payload), at)


def _query(*conditions: Any) -> Any:
    columns = (
        _ENTRIES.c.id, _ENTRIES.c.pr, _ENTRIES.c.version, _ENTRIES.c.state, _ENTRIES.c.person,
        _ENTRIES.c.run_id, _ATTEMPTS.c.state.label("attempt"),
    )  # fmt: skip
    joined = _ENTRIES.outerjoin(_ATTEMPTS, _ENTRIES.c.run_id == _ATTEMPTS.c.run_id)
    return select(*columns).select_from(joined).where(*conditions).order_by(_ENTRIES.c.id)


def _places(connection: Connection) -> dict[int, int]:
    """The place of each entry that waits; the first one is 1."""
    order = (_ENTRIES.c.priority.desc(), _ENTRIES.c.queued_at, _ENTRIES.c.id)
    waiting = select(_ENTRIES.c.id).where(_ENTRIES.c.state == E.QUEUED).order_by(*order)
    return {each: place for place, each in enumerate(connection.execute(waiting).scalars(), start=1)}


def _put(
    connection: Connection, row: Row[Any], places: dict[int, int], at: datetime, *, all_of_it: bool = False
) -> None:
    place = places.get(row.id, 0) if row.state == E.QUEUED else 0
    phase = row.attempt if row.state == E.IN_ATTEMPT else ""
    seen = {"entry": row.id, "version": row.version, "phase": phase}
    # The comment alone has the place: what changes without a change of one's own rings nobody's telephone.
    comment = {"kind": "merge_comment", **seen, "pr": row.pr, "place": _rounded(place)}
    notices: list[Notice] = [Notice(comment_on(row.pr), pull(row.pr), comment)]
    if all_of_it:
        notices.append(Notice(f"merge/{row.id}/check", pull(row.pr), {"kind": "merge_check", **seen}))
        if row.person:
            told = {"kind": "merge_entry", **seen}
            notices.append(Notice(f"merge/{row.id}/person", outbox.person(row.person), told))
        if row.state == E.LANDED:
            landed = {"kind": "merge_landed", "entry": row.id}
            notices.append(Notice(f"merge/{row.id}/landed", MERGES, landed))
    for each in notices:
        outbox.put(connection, each, at, replace=True)


def _rounded(place: int) -> int:
    return place if place <= _NEAR else -(-place // _NEAR) * _NEAR
