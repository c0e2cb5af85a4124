"""Whether what waits is still what was approved, and what somebody said: also when its webhook was lost."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from daybreak.errors import DaybreakError, UsageError
from daybreak.merge.queue import Queue
from daybreak.merge.rows import Entry, TooLate
from daybreak.merge.rules import EntryState as E
from daybreak.registry.inbox import Inbox
from daybreak.talk.addressed import addressed
from daybreak.talk.desk import STALE
from daybreak.talk.gandalf.gates import Gates
from daybreak.talk.github.deliveries import Commented, comment_key, to_json

log = logging.getLogger(__name__)

#: Who says so, in events.
ACTOR = "gandalf"


class Comments(Protocol):
    """What is asked of GitHub (:class:`daybreak.talk.github.client.Client`)."""

    def commented_since(self, at: datetime) -> Sequence[tuple[int, int, str, str]]:
        """Number, id, author and body of each comment written since then."""


def overheard(inbox: Inbox, github: Comments) -> int:
    """Put into the inbox what was said to Gandalf and no webhook brought; returns how many.

    What was said earlier than `STALE` ago would not be done any more.
    """
    count = 0
    for number, comment, author, body in github.commented_since(inbox.clock() - STALE):
        if addressed(body) is not None:
            event = to_json(Commented(number, comment, author, body))
            count += inbox.record(comment_key(comment), "github", event)
    return count


def reconcile(queue: Queue, gates: Gates) -> list[Entry]:
    """Ask GitHub about every entry that goes on: head, state, base branch, draft, labels, reviews.

    One that GitHub does not tell about now is left for the next time, and holds up no other.

    :returns: those that are STALE now, each with its reason.
    """
    ended = (look_again(queue, gates, each.pr) for each in queue.open())
    return [each for each in ended if each is not None]


def look_again(queue: Queue, gates: Gates, number: int) -> Entry | None:
    """The same for one pull request; ``None``: it goes on, is landing, or is in no queue."""
    entry = queue.of(number)
    if entry is None or entry.state is E.LANDING:
        return None
    try:
        changed = gates.approved(entry)
    except DaybreakError as error:
        log.warning("%s is looked at later: %s", entry.name, error)
        return None
    if changed is None:
        return None
    try:
        return queue.end(number, E.STALE, by=ACTOR, code="stale", message=changed, only=entry.id)
    except (TooLate, UsageError):
        return None  # it landed, or somebody took it back or asked for another commit, in this moment
