"""What is due every few minutes, whoever was killed meanwhile: the duties of `dags/caretaker.py`.

Each duty finds by itself what there is to do and does it once, however often and from wherever it is called.
A duty that breaks holds up no other one; the run ends red and says which.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from airflow.sdk import task

from daybreak.errors import DaybreakError

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation
    from daybreak.settings import Settings
    from daybreak.talk.whole import Talk

App = TypeVar("App")
log = logging.getLogger(__name__)


class Undone(DaybreakError):
    """Some duties were not done; the next run tries them again."""

    code = "undone"


@task(task_id="take_care")
def take_care() -> None:
    """Do all duties."""
    from daybreak.orchestration import connections
    from daybreak.orchestration.starting import Starter
    from daybreak.talk.whole import Talk

    installation = connections.installation()
    settings = installation.settings
    away: list[str] = []
    slack = reached(connections.slack, settings, away) if settings.slack is not None else None
    github = reached(connections.github, settings, away) if settings.github is not None else None
    for line in attend(installation, Talk.open(installation, slack, github, Starter(settings)), away):
        print(line)


def reached(connect: Callable[[Settings], App], settings: Settings, away: list[str]) -> App | None:
    """The app, or ``None`` and the reason in ``away``: a missing connection costs no lease its end."""
    try:
        return connect(settings)
    except Exception as error:
        log.exception("%s", connect.__name__)
        away.append(f"{connect.__name__}: {type(error).__name__}: {error}")
        return None


def attend(installation: Installation, talk: Talk | None, away: Sequence[str] = ()) -> Iterator[str]:
    """Do each duty; gives a line for each that had something to do.

    :param talk: the apps that there are; without it nothing is answered and nothing is sent.
    :param away: why others are not.
    :raises Undone: at the end, naming the duties that broke, and the apps that are away.
    """
    duties = {**DUTIES, **(_talk(talk) if talk is not None else {}), "prune": prune}
    broken = list(away)
    for name, duty in duties.items():
        try:
            done = duty(installation)
        except Exception as error:
            log.exception("%s", name)
            broken.append(f"{name}: {type(error).__name__}: {error}")
        else:
            if done:
                yield f"{name}: {done}"
    if broken:
        raise Undone("; ".join(broken))


def leases(installation: Installation) -> str:
    """End leases whose time is over; whoever waited has their turn."""
    return ", ".join(f"{name} is nobody's any more" for name in installation.desk.expire())


def notices(installation: Installation) -> str:
    """Tell people what is about to happen to what they have."""
    count = installation.desk.notify()
    return f"{count} new" if count else ""


def dead_deploys(installation: Installation) -> str:
    """End deploys by hand whose run is over, however it ended: marked by hand, killed, timed out."""
    from daybreak.environment.bcd.dead import settle_dead
    from daybreak.errors import UsageError
    from daybreak.orchestration import connections

    rest = connections.airflow(installation.settings)

    def over(run_id: str) -> str | None:
        if rest is None:
            return None
        try:
            run = rest.run("bcd", run_id)
        except UsageError:
            return None  # not one of Airflow's
        return f"its run in Airflow is over: {run.state}" if run.ended else ""

    return ", ".join(f"{each.run_id} {each.outcome}" for each in settle_dead(installation, over))


def dead_ops(installation: Installation) -> str:
    """End what a dead task left behind."""
    from daybreak.environment import dead

    found = dead.settle(installation)
    return ", ".join(f"{each.environment} {each.end} (was {each.step} of {each.holder})" for each in found)


def late_morning(installation: Installation) -> str:
    """Warn once when a morning that goes on will not be in time."""
    from daybreak.environment.night.forecast import forecast

    found = forecast(installation)
    if found is None or not installation.outbox.put(found.notice()):
        return ""
    return f"night {found.night} will be late: expected {found.expected}, ready-time is {found.ready}"


def digest(installation: Installation) -> str:
    """Tell the merges channel how the week was, once."""
    from daybreak.talk.gandalf.digest import due

    found = due(installation)
    return found.key if found is not None and installation.outbox.put(found) else ""


def prune(installation: Installation) -> str:
    """Forget what was said and told long ago."""
    count = installation.inbox.prune() + installation.outbox.prune()
    return f"{count} old rows" if count else ""


Duty = Callable[["Installation"], str]

#: In this order: what changes an environment, then what people are told of it.
DUTIES: dict[str, Duty] = {
    # Before their ops are freed: afterwards nobody could say what they left half done.
    "dead deploys": dead_deploys,
    "dead ops": dead_ops,
    "leases": leases,
    "notices": notices,
    "late morning": late_morning,
    "digest": digest,
}


def _talk(talk: Talk) -> dict[str, Duty]:
    def inbox(_: Installation) -> str:
        """Answer what the process that took it did not."""
        count = talk.work()
        return f"{count} answered" if count else ""

    def outbox(_: Installation) -> str:
        """Send what was not sent yet."""
        did = talk.sender.flush()
        said = {"sent": did.sent, "later": did.later, "given up": did.given_up}
        return ", ".join(f"{count} {what}" for what, count in said.items() if count)

    def stale(installation: Installation) -> str:
        """End entries that are not any more what was approved, also when no webhook said so."""
        from daybreak.merge.queue import Queue
        from daybreak.talk.gandalf.reconcile import reconcile

        assert talk.gates is not None
        ended = reconcile(Queue(installation.engine, installation.clock), talk.gates)
        return "; ".join(f"{each.name}: {each.reason}" for each in ended)

    def missed(installation: Installation) -> str:
        """Hear what somebody said to Gandalf and no webhook brought: GitHub sends none again. What he said
        twice, for an answer that was lost, is there once.
        """
        from daybreak.talk.desk import STALE
        from daybreak.talk.gandalf.reconcile import overheard, told_once

        assert talk.github is not None
        comments = talk.github.commented_since(installation.clock() - STALE)
        heard = overheard(installation.inbox, comments)
        twice = told_once(installation.outbox, talk.github, comments)
        said = {"heard": heard, "said twice and deleted": twice}
        return ", ".join(f"{count} {what}" for what, count in said.items() if count)

    # What is heard is answered, and what ended is told, in the same run.
    heard: dict[str, Duty] = {"missed comments": missed} if talk.github is not None else {}
    looked: dict[str, Duty] = {"stale entries": stale} if talk.gates is not None else {}
    return {**heard, "inbox": inbox, **looked, "outbox": outbox}
