"""The one clock: injected wherever time decides something, so that tests own the time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

#: Says what time it is, aware and in UTC.
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The machine's time, in UTC."""
    return datetime.now(UTC)
