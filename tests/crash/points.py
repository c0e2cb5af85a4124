"""Every moment at which a night changes something, by name; and a kill at one of them.

The points are not written into the code: they are where it changes the world (an AWS call that mutates, a
statement on a database, a request to the host of the services, a file in the store) or writes that down (a
statement on the registry, its commit). So none can be forgotten, and production code carries nothing.

``scorch/aws:dynamodb.DeleteTable:after`` is the moment in the step `scorch` after the answer came,
``infra/registry:UPDATE steps:before`` the one before the statement, ``…:committed`` the one after its commit.
``DAYBREAK_CRASH_AT=point[:nth]`` kills the process there, ``nth`` counted within the step;
``DAYBREAK_STOP_AT`` stops it, as a process that was forgotten and wakes later. A step begins where it takes
its op; what comes before the first is in `decide`, and what builds is in `build`.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import botocore.client
from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect

from daybreak.deploy.host import HostClient
from daybreak.environment.records import Runs
from daybreak.environment.state import Environments
from daybreak.store import Store

#: From the pinning of main to the first step of the morning.
BUILD = "build"
_READING = re.compile(r"(Describe|Get|List|Head|Scan|Query|BatchGet|Lookup|AssumeRole)")
_CHANGING = re.compile(r"\s*(INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|TRUNCATE|RENAME)\s+(.*)", re.IGNORECASE)
_NOISE = re.compile(r"\b(INTO|FROM|TABLE|DATABASE|SEQUENCE|IF|NOT|EXISTS|ONLY)\b", re.IGNORECASE)


class Gate:
    """Calls of other threads, held up while one is stopped: what was asked for before and is under way cannot
    be called back by anybody, so it is over when the process stops.
    """

    def __init__(self) -> None:
        self._out, self._shut = 0, False
        self._changed = threading.Condition()
        self._mine = threading.local()

    @contextmanager
    def call(self) -> Iterator[None]:
        """One call; one within another passes with it."""
        inner = getattr(self._mine, "depth", 0)
        with self._changed:
            self._changed.wait_for(lambda: inner or not self._shut)
            self._out += not inner
        self._mine.depth = inner + 1
        try:
            yield
        finally:
            self._mine.depth = inner
            with self._changed:
                self._out -= not inner
                self._changed.notify_all()

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Nobody else is in a call, and nobody begins one."""
        mine = bool(getattr(self._mine, "depth", 0))
        with self._changed:
            self._shut = True
            self._changed.wait_for(lambda: self._out == mine)
        try:
            yield
        finally:
            with self._changed:
                self._shut = False
                self._changed.notify_all()


class Points:
    """What is called at each point: counts it, and does what was asked for when it is the one.

    :param at: a point's name; ``*/begin`` is the beginning of every step.
    """

    def __init__(self, act: Callable[[], None] | None = None, at: str = "") -> None:
        name, _, nth = at.rpartition(":")
        self.name, self.nth = (name, int(nth)) if nth.isdigit() else (at, 1)
        self.act = act
        self.step = "decide"
        self.seen: Counter[str] = Counter()
        self.path: list[str] = []
        self._lock = threading.Lock()
        self._gate = Gate()

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Points:
        """As the variables say."""
        if at := environ.get("DAYBREAK_CRASH_AT"):
            return cls(lambda: os.kill(os.getpid(), signal.SIGKILL), at)
        if at := environ.get("DAYBREAK_STOP_AT"):
            # To this thread: a stop that is sent to the process reaches another one first, and meanwhile this
            # one goes on, past its point.
            points = cls(at=at)

            def stop() -> None:
                with points._gate.shut():
                    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

            points.act = stop
            return points
        return cls()

    def reached(self, name: str) -> None:
        """This thread is at the point of that name."""
        with self._lock:
            name = f"{self.step}/{name}"
            self.seen[name] += 1
            self.path.append(f"{name}:{self.seen[name]}")
            hit = name == self.name and self.seen[name] == self.nth
        if hit and self.act is not None:
            self.act()

    def begins(self, step: str) -> None:
        """A step is about to take its op."""
        with self._lock:
            self.step = step
            self.seen.clear()
        if self.name == "*/begin" and step != BUILD and self.act is not None:
            self.act()

    def install(self, registry: Engine) -> None:
        """From now on, and for good: only in a process that ends with its night."""
        self._aws()
        self._sql(registry)
        self._around(HostClient, "_ask", lambda *_, **words: words["op"] in ("put", "remove") and
                     f"host:{words['op']}")  # fmt: skip
        self._steps()
        self._around(Store, "put", lambda _, path, *__: f"store:{path.split('/')[0]}")

    def _aws(self) -> None:
        self._around(
            botocore.client.BaseClient,
            "_make_api_call",
            lambda client, operation, _: (
                not _READING.match(operation) and f"aws:{client.meta.service_model.service_name}.{operation}"
            ),
        )

    def _around(self, owner: type, method: str, name: Callable[..., str | bool]) -> None:
        original = getattr(owner, method)

        def around(*args: Any, **words: Any) -> Any:
            point = name(*args, **words)
            if not point:
                return original(*args, **words)
            self.reached(f"{point}:before")
            with self._gate.call():
                answer = original(*args, **words)
            self.reached(f"{point}:after")
            return answer

        setattr(owner, method, around)

    def _steps(self) -> None:
        original = Environments.begin

        def begin(environments: Environments, name: str, **words: Any) -> Any:
            self.begins(words["step"])
            return original(environments, name, **words)

        Environments.begin = begin  # type: ignore[method-assign]
        pin = Runs.pin

        def pinned(runs: Runs, run_id: str, **words: Any) -> Any:
            self.begins(BUILD)
            return pin(runs, run_id, **words)

        Runs.pin = pinned  # type: ignore[method-assign]

    def _sql(self, registry: Engine) -> None:
        last = threading.local()

        def before(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            found = _CHANGING.match(statement)
            if found is None:
                return
            where = "registry" if connection.engine is registry else "sql"
            what = _NOISE.sub("", found.group(2)).split("(")[0].split()[0].strip('"`')
            last.point = f"{where}:{found.group(1).upper()} {what.rsplit('.')[-1]}"
            self.reached(f"{last.point}:before")

        def do_commit(dialect: Any, connection: Any) -> None:
            original(dialect, connection)
            point, last.point = getattr(last, "point", None), None
            if point:
                self.reached(f"{point}:committed")

        event.listen(Engine, "before_cursor_execute", before)
        original = DefaultDialect.do_commit
        DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]
