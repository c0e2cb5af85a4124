"""Where requests of one source are answered: taken out of the inbox, done, the answer put into the outbox."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from daybreak.errors import DaybreakError
from daybreak.registry.inbox import Received
from daybreak.talk.reply import Reply
from daybreak.talk.when import show

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation

log = logging.getLogger(__name__)

#: Nobody waits longer for an answer; what was said before that may not be meant any more.
STALE = timedelta(minutes=15)
#: So many failures and the person is told that there is trouble; half a minute after they spoke.
TROUBLE = 3


class Desk(ABC):
    """Whoever dies in between leaves the request in the inbox: the next worker asks the bot again, which does
    nothing twice, and answers with how things are now.
    """

    source: ClassVar[str]

    def __init__(self, installation: Installation) -> None:
        self.installation = installation

    def work(self) -> int:
        """Work on what is due until nothing is; returns how many requests were answered."""
        answered = 0
        while batch := self.installation.inbox.claim(source=self.source):
            for received in batch:
                try:
                    self._take(received)
                except Exception as error:
                    log.exception("%s is worked on again", received.key)
                    self.installation.inbox.failed(received, f"{type(error).__name__}: {error}")
                    if received.attempts + 1 == TROUBLE:
                        self._put(received, _trouble(error))
                else:
                    answered += self.installation.inbox.done(received)
        return answered

    @abstractmethod
    def _take(self, received: Received) -> None:
        """Do what was asked and put the answer into the outbox."""

    @abstractmethod
    def _put(self, received: Received, reply: Reply, what: str = "trouble") -> None:
        """Put an answer into the outbox, once for each ``what``."""

    def _too_late(self, received: Received, said_at: datetime) -> Reply | None:
        """The answer to what was said so long ago that it may not be meant any more."""
        now = self.installation.clock()
        if now - said_at <= STALE:
            return None
        when = show(said_at, now, self.installation.settings.night.tzinfo)
        why = "it could not be done until now" if received.attempts else "nobody was there to do it"
        return Reply(
            f"You said that at {when}, and {why}. Nothing was done; say it again if it is still meant.",
            code="stale", exit_code=1,
        )  # fmt: skip


def _trouble(error: Exception) -> Reply:
    """With the reason, if it is one in words for people."""
    why = f" ({str(error).rstrip('.')})" if isinstance(error, DaybreakError) else ""
    return Reply(f"I could not do that yet{why}; I go on trying, and answer here.")
