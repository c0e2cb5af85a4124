"""Sends what stands in the outbox: in order for each recipient, patiently, and edits what was sent before.

A message that arrived while its sender died is sent again where the other side takes no key by which it
would know (Slack); where it has one (the marker of a comment on GitHub) it is edited. What nobody would take
is given up with a record in the outbox, never silently.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from daybreak.registry.outbox import Outbox, Outgoing

log = logging.getLogger(__name__)


class Undeliverable(Exception):
    """No try will bring it to anybody."""


class Later(Exception):
    """The other side takes no message now: after so long, if it said so."""

    def __init__(self, why: str, after: timedelta | None = None) -> None:
        super().__init__(why)
        self.after = after


class Delivery(Protocol):
    """One way to reach people."""

    @property
    def to(self) -> Sequence[str]:
        """How the recipients begin that it reaches."""

    def send(self, outgoing: Outgoing) -> Any:
        """Send it, or edit what was sent before; gives plain data by which to edit it later.

        :raises Later: when no message could be sent now.
        :raises Undeliverable: when no try will bring it to anybody.
        :raises Exception: when this one could not be sent; another try may bring it.
        """


@dataclass(frozen=True)
class Flushed:
    """What one flush did."""

    sent: int = 0
    later: int = 0
    given_up: int = 0


class Sender:
    """Sends what the deliveries reach; the rest waits for a sender that does."""

    def __init__(self, outbox: Outbox, deliveries: Sequence[Delivery]) -> None:
        self.outbox, self.deliveries = outbox, deliveries

    def flush(self, *, only: Sequence[str] | None = None) -> Flushed:
        """Send what is due, until nothing is or the other side asks for patience.

        :param only: of what the deliveries reach; by default all.
        """
        sent = later = given_up = 0
        reached = [
            (start, each) for each in self.deliveries for start in each.to if only is None or start in only
        ]  # fmt: skip
        starts, ways = [start for start, _ in reached], [way for _, way in reached]
        while starts and (batch := self.outbox.claim(to=starts)):
            for outgoing in batch:
                way = next(
                    way for way, start in zip(ways, starts, strict=True)
                    if outgoing.recipient.startswith(start)
                )  # fmt: skip
                try:
                    reference = way.send(outgoing)
                except Later as wait:
                    self.outbox.away(outgoing, str(wait), after=wait.after)
                    log.warning("%s is sent later: %s", outgoing.key, wait)
                    later += 1
                except Undeliverable as never:
                    self.outbox.failed(outgoing, str(never), final=True)
                    log.error("%s is not sent: %s", outgoing.key, never)
                    given_up += 1
                except Exception as error:
                    self.outbox.failed(outgoing, f"{type(error).__name__}: {error}")
                    log.exception("%s is sent later", outgoing.key)
                    later += 1
                else:
                    self.outbox.sent(outgoing, reference)
                    sent += 1
        return Flushed(sent, later, given_up)
