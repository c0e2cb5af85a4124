"""Every call to AWS, told to whoever listens: tests, counters, a limiter.

A listener is called in the thread that made the call, right after the answer, once for each *try*. What
it gets holds names and times only, never parameters: those may hold secrets.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """One try of one call.

    :param operation: as the service calls it (``DescribeStacks``).
    :param attempt: 1 for the first try.
    :param seconds: from the request to the answer.
    :param error: AWS's error code, or the exception's name; ``None`` when it worked.
    """

    service: str
    operation: str
    region: str
    attempt: int
    seconds: float
    error: str | None


Listener = Callable[[Call], None]
_listeners: list[Listener] = []


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call ``listener`` for every call of this process while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def record(call: Call) -> None:
    """Tell all listeners; called by the clients of :mod:`daybreak.aws.session`."""
    log.debug(
        "aws %s.%s in %s: %s after %.3f s (try %d)",
        call.service, call.operation, call.region, call.error or "ok", call.seconds, call.attempt,
    )  # fmt: skip
    for listener in tuple(_listeners):
        listener(call)
