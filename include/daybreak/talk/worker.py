"""Works on requests and sends messages in the background of a process that listens to Slack or GitHub."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation
    from daybreak.talk.bobby.ask import Trigger
    from daybreak.talk.github.access import Access as GithubAccess
    from daybreak.talk.slack.app import Access

log = logging.getLogger(__name__)

#: Seconds after which a worker looks by itself: what other processes put into the outbox waits no longer.
LOOK = 5.0


class Worker:
    """One thread. Several processes may have one each: inbox and outbox give each row to one of them."""

    def __init__(
        self,
        installation: Installation,
        access: Access | None,
        trigger: Trigger | None = None,
        look: float = LOOK,
        github: GithubAccess | None = None,
    ) -> None:
        self._installation, self._access, self._trigger, self._look = installation, access, trigger, look
        self._github = github
        self._something, self._ending = threading.Event(), threading.Event()
        # A daemon: what it has in hand when the process ends is claimed again by another one.
        self._thread = threading.Thread(target=self._run, name="daybreak-talk", daemon=True)

    def start(self) -> Worker:
        """Begin; the first look is at once."""
        self._thread.start()
        return self

    def wake(self) -> None:
        """There is something to do."""
        self._something.set()

    def stop(self, seconds: float = 30) -> None:
        """End after what is in hand."""
        self._ending.set()
        self._something.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        from daybreak.talk.whole import Talk

        talk = Talk.open(self._installation, self._access, self._github, self._trigger)
        while not self._ending.is_set():
            try:
                talk.work()
                talk.sender.flush()
            except Exception:
                # The registry is away, most likely: rows keep, the next look finds them.
                log.exception("the inbox could not be worked on; it is looked at again in %g s", self._look)
            self._something.wait(self._look)
            self._something.clear()
