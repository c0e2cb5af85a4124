"""Processes of a machine on which any of them may be stopped, or end without a word, between any two effects.

Each is a greenlet that runs real code. It gives way before and after each effect of the protocol, and in
the middle of a deploy and of tests, never within a transaction. One that is killed is not switched to any
more: as with SIGKILL, nothing of it runs, no ``finally`` either.
"""

from __future__ import annotations

from collections.abc import Callable

from greenlet import getcurrent, greenlet

from daybreak.errors import DaybreakError


class Process:
    """One task's process.

    :ivar asleep: it is stopped, and may wake when others did its work.
    :ivar killed: it is gone.
    :ivar error: why its work failed.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._greenlet = greenlet(self._run)
        self.asleep = self.killed = False
        self.error: DaybreakError | None = None

    def _run(self) -> None:
        try:
            self._work()
        except DaybreakError as error:
            self.error = error

    def go_on(self) -> None:
        """Until it gives way."""
        self._greenlet.switch()

    def kill(self) -> None:
        """Now; it keeps what it holds, as nobody hears of its end."""
        self.killed = True

    @property
    def over(self) -> bool:
        """It came to its end by itself."""
        return bool(self._greenlet.dead)

    @property
    def alive(self) -> bool:
        """It goes on, or would if it were awake."""
        return not (self.killed or self.over)


def give_way() -> None:
    """Let others work; outside a process nothing happens."""
    main = getcurrent().parent
    if main is not None:
        main.switch()


def myself() -> greenlet:
    """Whoever asks."""
    return getcurrent()
