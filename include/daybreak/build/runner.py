"""Build and test many resources at once, in dependency order; a failure skips its dependents only."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.build.artifact import Artifacts
from daybreak.build.builder import BuildStatus, Log, build
from daybreak.build.checks import TestStatus, test
from daybreak.build.process import stopped, stopping
from daybreak.catalog.graph import Catalog
from daybreak.catalog.resource import Action
from daybreak.errors import DaybreakError
from daybreak.git.repository import Repository

if TYPE_CHECKING:
    from daybreak.settings import BuildSettings

#: Codes of errors for which a resource's own code has to answer; the others (a full disk, a store that is
#: away, a time limit, a killed process) are the world's, too.
BROKEN = frozenset({"build_failed", "command_failed", "tests_failed", "usage"})

_LOOK_SECONDS = 1.0


class Outcome(StrEnum):
    """How one resource came out of :func:`build_all`."""

    BUILT = "built"
    REUSED = "reused"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Progress:
    """One resource is done.

    :param tests: how many unit tests passed, now or before.
    :param detail: the error's message, or which failure it was skipped for.
    :param code: the error's.
    """

    resource: str
    key: str
    outcome: Outcome
    seconds: float = 0.0
    tests: int = 0
    detail: str = ""
    code: str = ""


def build_all(
    repo: Repository,
    catalog: Catalog,
    names: Iterable[str],
    keys: Mapping[str, str],
    artifacts: Artifacts,
    home: Path,
    settings: BuildSettings,
    log: Log = print,
    *,
    tests: bool = True,
) -> Iterator[Progress]:
    """Build ``names`` and what they need on ``settings.workers`` threads, each followed by its unit tests.

    Yields a :class:`Progress` for every resource that is built, as it is done. Only errors that people can
    act on become a FAILED; a bug is raised. Ends early, without what was under way, where the caller's thread
    is to stop (`process.stopping`).

    :param keys: content keys; what has none is not built, and nobody waits for it.
    """
    needed = catalog.closure(names) & keys.keys()
    order = [name for name in catalog.order() if name in needed]
    lost: dict[str, str] = {}
    done: set[str] = set()
    running: dict[Future[Progress], str] = {}

    stop, outer = threading.Event(), stopping.get()

    def one(name: str) -> Progress:
        stopping.set(stop)
        started = time.monotonic()
        try:
            built = build(repo, catalog, name, keys, artifacts, home, settings, log)
            checked = test(repo, catalog, name, keys, artifacts, home, settings, log) if tests else None
        except DaybreakError as error:
            return Progress(
                name, keys[name], Outcome.FAILED, time.monotonic() - started, 0, str(error), error.code
            )
        fresh = built.status is BuildStatus.BUILT or (checked and checked.status is TestStatus.PASSED)
        outcome = Outcome.BUILT if fresh else Outcome.REUSED
        return Progress(
            name, keys[name], outcome, time.monotonic() - started, checked.tests if checked else 0
        )

    with ThreadPoolExecutor(settings.workers, thread_name_prefix="build") as pool:
        try:
            waiting = list(order)
            while waiting or running:
                for name in list(waiting):
                    needs = needed.intersection(catalog.dependencies(name))
                    cause = next((lost[other] for other in sorted(needs) if other in lost), None)
                    if cause is None and not done.issuperset(needs):
                        continue
                    waiting.remove(name)
                    builds = Action.BUILD in catalog[name].actions
                    if cause is not None:
                        lost[name] = cause
                        if builds:
                            yield Progress(name, keys[name], Outcome.SKIPPED, detail=f"{cause} failed")
                    elif builds:
                        running[pool.submit(one, name)] = name
                    else:
                        done.add(name)
                if not running:
                    continue
                look = None if outer is None else _LOOK_SECONDS
                for future in wait(running, look, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    progress = future.result()
                    if progress.outcome is Outcome.FAILED:
                        lost[name] = name
                    else:
                        done.add(name)
                    yield progress
                if stopped():
                    return
        finally:
            # Reached early by Ctrl-C, a bug, or a caller that has seen enough: nobody waits for builds then.
            stop.set()
            for future in running:
                future.cancel()
