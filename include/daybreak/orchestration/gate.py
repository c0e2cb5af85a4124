"""Waiting for the lane without a worker: the trigger looks into the registry, the task waits deferred.

Light: the triggerer imports it, and Airflow's DAG files do.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from daybreak.merge.gate import Look
    from daybreak.merge.run import Merge

log = logging.getLogger(__name__)

#: Seconds between two looks of one run, with as much again at random, so that many do not look at once.
POLL = 2.0


class LaneTrigger(BaseTrigger):
    """Fires when the run's entry is next and the lane is free, or when its entry is over; for nothing else.

    :param run_id: the run that waits.
    :param entry: the entry that it is for.
    """

    def __init__(self, run_id: str, entry: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id, self.entry = run_id, entry

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow keeps it."""
        return f"{__name__}.{type(self).__name__}", {"run_id": self.run_id, "entry": self.entry}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to do. A registry that is away for a moment ends nothing."""
        said = ""
        while True:
            try:
                seen = await asyncio.to_thread(self.look)
            except Exception as error:  # the triggerer would end the task with any of them
                log.warning("the registry cannot be asked: %s", error)
            else:
                if seen.may != "wait":
                    yield TriggerEvent({"may": str(seen.may), "why": seen.why})  # type: ignore[no-untyped-call]
                    return
                if seen.why != said:
                    said = seen.why
                    log.info("waiting: %s", said)
            await asyncio.sleep(POLL * random.uniform(1, 2))  # noqa: S311 - spreads load

    def look(self) -> Look:
        """One look; blocking."""
        from daybreak.merge.gate import look

        merge = self._merge
        return look(merge.installation, merge.queue, merge.environment, self.run_id, self.entry)

    @cached_property
    def _merge(self) -> Merge:
        from daybreak.environment.installation import Installation
        from daybreak.merge.run import Merge
        from daybreak.settings import load

        return Merge(Installation.open(load()))
