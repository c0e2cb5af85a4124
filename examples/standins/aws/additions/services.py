"""What is added to ministack's services."""

from __future__ import annotations

from .faults import Faults


def install(faults: Faults) -> None:
    """Put every addition in place; once, before the first request."""
