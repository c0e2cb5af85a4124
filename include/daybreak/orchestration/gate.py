"""Waiting for the lane without a worker: the trigger looks into the registry, the task waits deferred.

Light: the triggerer imports it, and Airflow's DAG files do.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from abc import abstractmethod
from collections.abc import AsyncIterator
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation
    from daybreak.merge.gate import Look
    from daybreak.merge.run import Merge
    from daybreak.settings import Settings

log = logging.getLogger(__name__)

#: Seconds between two looks of one run, with as much again at random, so that many do not look at once.
POLL = 2.0


class Looking(BaseTrigger):
    """Looks into the registry until there is something to do; for nothing else it fires.

    A registry that is away for a moment ends nothing.
    """

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until :meth:`look` has something to tell."""
        said = ""
        while True:
            try:
                event, why = await asyncio.to_thread(self.seen)
            except Exception as error:  # the triggerer would end the task with any of them
                log.warning("the registry cannot be asked: %s", error)
            else:
                if event is not None:
                    yield TriggerEvent(event)  # type: ignore[no-untyped-call]
                    return
                if why != said:
                    said = why
                    log.info("waiting: %s", said)
            await asyncio.sleep(POLL * random.uniform(1, 2))  # noqa: S311 - spreads load

    @abstractmethod
    def seen(self) -> tuple[dict[str, str] | None, str]:
        """One look, blocking: what to tell the task, if anything; and why, in words."""

    @cached_property
    def _installation(self) -> Installation:
        return _Shared.installation()


class _Shared:
    """One installation for all triggers of a process: hundreds of runs may wait, and each of its own would
    keep a connection to the registry's database.
    """

    _lock = threading.Lock()
    _known: ClassVar[tuple[Settings, Installation] | None] = None

    @classmethod
    def installation(cls) -> Installation:
        """As the settings are now."""
        from daybreak.environment.installation import Installation
        from daybreak.settings import load

        settings = load()
        with cls._lock:
            if cls._known is None or cls._known[0] != settings:
                cls._known = settings, Installation.open(settings)
            return cls._known[1]


class LaneTrigger(Looking):
    """Fires when the run's entry is next and the lane is free, or when its entry is over.

    :param run_id: the run that waits.
    :param entry: the entry that it is for.
    """

    def __init__(self, run_id: str, entry: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id, self.entry = run_id, entry

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow keeps it."""
        return f"{__name__}.{type(self).__name__}", {"run_id": self.run_id, "entry": self.entry}

    def seen(self) -> tuple[dict[str, str] | None, str]:
        """See :class:`Looking`."""
        look = self.look()
        return (None if look.may == "wait" else {"may": str(look.may), "why": look.why}), look.why

    def look(self) -> Look:
        """One look; blocking."""
        from daybreak.merge.gate import look

        merge = self._merge
        return look(merge.installation, merge.queue, merge.environment, self.run_id, self.entry)

    @cached_property
    def _merge(self) -> Merge:
        from daybreak.merge.run import Merge

        return Merge(self._installation)


class TurnTrigger(Looking):
    """Fires when the night may have the lane: no attempt is in it, or the night's patience is over.

    :param environment: the merge environment.
    :param until: when patience is over, in ISO 8601 with its offset.
    """

    def __init__(self, environment: str, until: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.environment, self.until = environment, until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow keeps it."""
        return f"{__name__}.{type(self).__name__}", {"environment": self.environment, "until": self.until}

    def seen(self) -> tuple[dict[str, str] | None, str]:
        """See :class:`Looking`."""
        from daybreak.environment.night.work import in_lane

        holder = in_lane(self._installation, self.environment)
        if not holder:
            return {"why": "the lane is free"}, ""
        why = f"{holder} is in the lane of {self.environment}"
        over = self._installation.clock() >= datetime.fromisoformat(self.until)
        return ({"why": f"{why} until {self.until}, and longer"} if over else None), why
