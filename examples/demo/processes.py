"""Start processes, recognise them later, and end exactly those with all that they started.

A number alone may belong to somebody else by now, so a process is known by its number and the time it began.
Airflow's tasks and the builds in them have process groups of their own: what is ended is a family, not a
group.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

#: Seconds before one that ended is started again: doubled each time, forgotten after a quiet while.
_FIRST_PAUSE, _LONGEST_PAUSE, _QUIET = 1.0, 60.0, 120.0
#: The kernel counts from boot, and what it takes for the time of boot moves when the clock is set (seconds).
_CLOCK_MOVES = 2.0


@dataclass(frozen=True)
class Mark:
    """What a process is recognised by: its number, and when it began (seconds since 1970)."""

    pid: int
    began: float

    @classmethod
    def of(cls, pid: int) -> Mark:
        """The mark of a process that runs now."""
        return cls(pid, psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The process, if it is still the same one and has not ended."""
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.pid)
            return found if self._is(found) and found.status() != psutil.STATUS_ZOMBIE else None
        return None

    def reused(self) -> bool:
        """Whether the number belongs to somebody else now."""
        with suppress(psutil.NoSuchProcess):
            return not self._is(psutil.Process(self.pid))
        return False

    def _is(self, process: psutil.Process) -> bool:
        return abs(process.create_time() - self.began) < _CLOCK_MOVES


@dataclass
class Kept:
    """One that is started again whenever it ends.

    :param due: when, on the monotonic clock; 0 while it runs.
    """

    begin: Callable[[], None]
    began: float
    pause: float = _FIRST_PAUSE
    due: float = 0.0


@dataclass
class Processes:
    """What the demo started, in order; ended in reverse.

    :param changed: called whenever one was started, so that a killed demo leaves a true record.
    """

    logs: Path
    changed: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)

    def keep(self, name: str, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        """As :meth:`start`; :meth:`tend` starts it again when it ended."""
        begin = functools.partial(self.start, name, command, env, cwd)
        begin()
        self.kept[name] = Kept(begin, self.clock())

    def tend(self) -> list[str]:
        """Start again what ended and whose pause is over; what there is to say of it, a line each.

        What it left is ended first, as in a container that ends with its first process. Airflow's workers are
        forked from their scheduler: while one lives, so does the killed scheduler's connection to the
        database, whose last transaction keeps the run's row locked, and no other scheduler looks at that run.
        """
        said, now = [], self.clock()
        for name, kept in self.kept.items():
            if not kept.due and (code := self.started[name].poll()) is not None:
                if now - kept.began > _QUIET:
                    kept.pause = _FIRST_PAUSE
                end([self.marks[name]], grace=0)
                kept.due, kept.pause = now + kept.pause, min(_LONGEST_PAUSE, 2 * kept.pause)
                said.append(f"{name} {_ended(code)}; it is started again in {kept.due - now:.0f} s")
            elif kept.due and now >= kept.due:
                kept.due, kept.began = 0.0, now
                kept.begin()
                said.append(f"{name} is started again")
        return said

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        """Start ``command`` in a group of its own; its output goes to ``<logs>/<name>.log``."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            self.started[name] = subprocess.Popen(
                list(command), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.note(name, self.started[name].pid)

    def note(self, name: str, pid: int) -> None:
        """Remember a process that somebody else starts and stops."""
        self.marks[name] = Mark.of(pid)
        self.changed()

    def finish(self, name: str) -> None:
        """Wait for the end of one that ends by itself; a bad end is one of the demo's, too."""
        if self.started[name].wait() != 0:
            raise SystemExit(f"{name} failed:\n{self.tail(name, 30)}")
        del self.started[name], self.marks[name]

    def dead(self) -> list[str]:
        """The processes that ended by themselves."""
        return [name for name, process in self.started.items() if process.poll() is not None]

    def tail(self, name: str, lines: int = 15) -> str:
        """The end of a process's log."""
        return "\n".join((self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])

    def stop(self, grace: float = 15.0) -> None:
        """End what was started here with all its children, at most ``grace`` seconds politely."""
        end([self.marks[name] for name in reversed(self.marks) if name in self.started], grace)
        for process in self.started.values():
            process.wait()
        self.started.clear()
        self.kept.clear()


def _ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def end(marks: Iterable[Mark], grace: float, polite: signal.Signals = signal.SIGTERM) -> list[psutil.Process]:
    """Ask these processes to end; after ``grace`` seconds, SIGKILL what is left of them and their families.

    :param polite: what they are asked with.
    :returns: what had to be killed.
    """
    marks = list(marks)
    members = family(marks)
    for leader in [found for mark in marks if (found := mark.find())]:
        with suppress(psutil.NoSuchProcess):
            leader.send_signal(polite)
    _wait(members, grace)
    # A task that was just beginning may have come since.
    left = [each for each in members | family(marks) if _lives(each)]
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    _wait(left, 5)
    return left


def family(marks: Iterable[Mark]) -> set[psutil.Process]:
    """The processes of these marks, what they started, and what is left in the sessions of those that ended.

    Only those that live: who ended and was not buried yet, or never will be, holds nothing any more. A
    session's number is not given away while somebody is in it, so whoever is in the session of a process that
    ended, and began after it, came from it.
    """
    known = {mark.pid: mark for mark in marks if not mark.reused()}
    found = {process for mark in known.values() if (process := mark.find())}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            mark = known.get(os.getsid(process.pid))
            if mark and process.create_time() > mark.began - _CLOCK_MOVES:
                found.add(process)
    for process in tuple(found):
        with suppress(psutil.NoSuchProcess):
            found.update(process.children(recursive=True))
    return {process for process in found if _lives(process)}


def _wait(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Until all have ended. A zombie has: whose turn it is to bury it may take its time, or never do it."""
    deadline = time.monotonic() + seconds
    while any(map(_lives, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
