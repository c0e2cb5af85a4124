"""Whether what waits is still what was approved, and what somebody said: also when its webhook was lost; and
what we said, if it is there twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from daybreak.errors import DaybreakError, UsageError
from daybreak.merge.queue import Queue
from daybreak.merge.rows import Entry, TooLate
from daybreak.merge.rules import EntryState as E
from daybreak.registry.inbox import Inbox
from daybreak.registry.outbox import Outbox
from daybreak.talk.addressed import addressed
from daybreak.talk.gandalf.delivery import message_of
from daybreak.talk.gandalf.gates import Gates
from daybreak.talk.github.client import Said, marker_of
from daybreak.talk.github.deliveries import Commented, comment_key, to_json, written

log = logging.getLogger(__name__)

#: Who says so, in events.
ACTOR = "gandalf"


class Comments(Protocol):
    """What is asked of GitHub (:class:`daybreak.talk.github.client.Client`)."""

    def me(self) -> str:
        """Our own login."""

    def commented_since(self, at: datetime) -> Sequence[Said]:
        """Each comment written since then."""

    def only(self, number: int, *, marker: str, known: int) -> int:
        """Delete our other comments with the marker; returns how many."""


def overheard(inbox: Inbox, comments: Iterable[Said]) -> int:
    """Put into the inbox what was said to Gandalf and no webhook brought; returns how many.

    :param comments: the last ones: what was said earlier than `STALE` ago would not be done any more.
    """
    count = 0
    for said in comments:
        if addressed(said.body) is not None:
            event = Commented(said.number, said.comment, said.author, said.body, at=written(said.at))
            count += inbox.record(comment_key(said.comment), "github", to_json(event))
    return count


def told_once(outbox: Outbox, github: Comments, comments: Iterable[Said]) -> int:
    """Delete what we said twice: a comment whose answer was lost may be there later than it was looked for.

    :param comments: the last ones.
    :returns: how many were deleted.
    """
    count = 0
    for said in comments:
        marker = marker_of(said.body)
        if marker is None or said.author.lower() != github.me().lower():
            continue
        reference = outbox.reference(message_of(said.number, marker))
        # While nobody knows of one, the next try looks for it by its marker, and keeps the first.
        if reference is not None and reference["comment"] != said.comment:
            count += github.only(said.number, marker=marker, known=reference["comment"])
    return count


def reconcile(queue: Queue, gates: Gates) -> list[Entry]:
    """Ask GitHub about every entry that goes on: head, state, base branch, draft, labels, reviews.

    One that GitHub does not tell about now is left for the next time, and holds up no other.

    :returns: those that are STALE now, each with its reason.
    """
    gates = gates.for_a_round()
    # One that is queued meanwhile passed the gates later than the round asked what people may do.
    ended = (_look(queue, gates, queue.get(each.id)) for each in queue.open())
    return [each for each in ended if each is not None]


def look_again(queue: Queue, gates: Gates, number: int) -> Entry | None:
    """The same for one pull request; ``None``: it goes on, is landing, or is in no queue."""
    entry = queue.of(number)
    return None if entry is None else _look(queue, gates, entry)


def _look(queue: Queue, gates: Gates, entry: Entry) -> Entry | None:
    if entry.ended_at is not None or entry.state is E.LANDING:
        return None
    try:
        changed = gates.approved(entry)
    except DaybreakError as error:
        log.warning("%s is looked at later: %s", entry.name, error)
        return None
    if changed is None:
        return None
    try:
        return queue.end(entry.pr, E.STALE, by=ACTOR, code="stale", message=changed, only=entry.id)
    except (TooLate, UsageError):
        return None  # it landed, or somebody took it back or asked for another commit, in this moment
