"""Ending what an attempt has under way soon after a member was taken back or held: it could not land."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from daybreak.build.process import stopping
from daybreak.environment.machine import Op
from daybreak.errors import DaybreakError
from daybreak.merge.attempts import Attempts
from daybreak.merge.effects import Unwanted

log = logging.getLogger(__name__)

#: Between two looks into the registry.
LOOK = timedelta(seconds=3)

T = TypeVar("T")


def run_of(op: Op) -> str:
    """The run of the attempt that has the lane."""
    return op.holder.partition("/")[2]


def while_wanted(attempts: Attempts, op: Op, work: Callable[[threading.Event], T]) -> T | Unwanted:
    """Do ``work``, as long as the attempt may still land.

    :param work: is given the event that tells it to end; so are commands that its thread runs
        (`process.stopping`). Whatever it says or raises after that event is of no interest.
    :raises DaybreakError: what ``work`` raises.
    """
    stop, over, found = threading.Event(), threading.Event(), list[Unwanted]()

    def look() -> None:
        while not over.wait(LOOK.total_seconds()):
            try:
                unwanted = attempts.unwanted(run_of(op))
            except Exception as error:
                # A registry that is away for a moment is no reason to stop.
                log.warning("%s: nobody knows whether it is still wanted: %s", run_of(op), error)
                continue
            if unwanted is not None:
                log.info("%s is stopped: %s", run_of(op), unwanted.said)
                found.append(unwanted)
                stop.set()
                return

    thread = threading.Thread(target=look, name=f"wanted-{op.environment}", daemon=True)
    before = stopping.set(stop)
    thread.start()
    try:
        done = work(stop)
    except DaybreakError:
        if not found:
            raise
        return found[0]
    finally:
        over.set()
        thread.join()
        stopping.reset(before)
    return found[0] if found else done
