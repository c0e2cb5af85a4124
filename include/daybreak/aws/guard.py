"""Asking whether we still may, immediately before a request that changes something leaves this process.

A caller that asks before a call asks too early: between its question and the request lie the waits between
tries, the renewal of credentials, the signing. A process that was stopped there, or whose supervisor was
killed, would still change the world. So the question belongs to the client: it is asked before *each try* of
each mutating call, when the request is signed and about to be written to the socket.

What remains is the moment between the registry's answer and the socket. AWS takes no fencing tokens, so it
cannot be closed from here (docs/under-fire.md).
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any, TypeVar

from daybreak.aws import retry

Guard = Callable[[], None]
T = TypeVar("T")

_guard: contextvars.ContextVar[Guard | None] = contextvars.ContextVar("daybreak_aws_guard", default=None)


def guarded(client: T, guard: Guard) -> T:
    """The same client, which calls ``guard`` before each try of each mutating call.

    What ``guard`` raises ends the call, and nothing was sent. Connections, credentials and models are shared
    with ``client``, which itself stays as it is. Only for clients of :mod:`daybreak.aws.session`.
    """
    # Not copy.copy: it asks the half-made copy for __setstate__, which botocore's __getattr__ cannot answer.
    view = object.__new__(type(client))
    view.__dict__.update(client.__dict__, _daybreak_guard=guard)
    return view


def install(client: Any) -> None:
    """Let the views of a new client be asked; called once by :mod:`daybreak.aws.session`."""
    client.meta.events.register_last("before-send", _ask)


def call(client: Any, operation: str, once: Callable[[], T]) -> T:
    """Make one call of ``client`` with its guard, if it has one and the call changes something."""
    found: Guard | None = client.__dict__.get("_daybreak_guard")
    token = _guard.set(None if retry.reads(operation) else found)
    try:
        return once()
    finally:
        _guard.reset(token)


def _ask(**_: Any) -> None:
    # A call is made in one thread from end to end, so this is the guard of the call that sends.
    if (guard := _guard.get()) is not None:
        guard()
