"""All that talks, together: who answers in Slack and on GitHub, and who sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daybreak.talk.bobby import notices
from daybreak.talk.bobby.ask import Trigger
from daybreak.talk.desk import Desk
from daybreak.talk.gandalf.bot import Gandalf
from daybreak.talk.gandalf.delivery import GithubDelivery
from daybreak.talk.gandalf.desk import GithubDesk
from daybreak.talk.gandalf.gates import Gates
from daybreak.talk.gandalf.reports import Reports
from daybreak.talk.outbox import Delivery, Sender
from daybreak.talk.people import People
from daybreak.talk.reply import Reply
from daybreak.talk.slack.delivery import SlackDelivery
from daybreak.talk.slack.reception import Reception, unpacked

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation
    from daybreak.talk.github.access import Access as GithubAccess
    from daybreak.talk.github.client import Client
    from daybreak.talk.slack.app import Access as SlackAccess

#: Kinds of notices whose words are read from the queue when they are sent.
_MERGING = ("merge_entry", "merge_landed", "merge_digest", "merge_stopped")


@dataclass(frozen=True)
class Talk:
    """See the module.

    :param gates: what may land, and ``github`` whom they ask; ``None`` where GitHub cannot be asked.
    """

    installation: Installation
    desks: Sequence[Desk]
    sender: Sender
    gates: Gates | None = None
    github: Client | None = None

    @classmethod
    def open(
        cls, installation: Installation, slack: SlackAccess | None, github: GithubAccess | None = None,
        trigger: Trigger | None = None,
    ) -> Talk:  # fmt: skip
        """For the apps that there are; what another one would reach waits in the registry."""
        settings = installation.settings
        people = People(settings, installation.engine, installation.clock)
        gates = Gates.of(settings, github.client) if github is not None else None
        gandalf = Gandalf(installation, gates, people, trigger)
        reports = Reports(installation)
        desks: list[Desk] = []
        deliveries: list[Delivery] = []
        if slack is not None:

            def words(payload: Mapping[str, Any]) -> Reply:
                if payload["kind"] == "answer":
                    return unpacked(payload)
                if payload["kind"] in _MERGING:
                    return reports.reply(payload)
                return notices.render(payload, installation.clock(), settings.night.tzinfo)

            desks.append(Reception(installation, slack, trigger, gandalf))
            channel = settings.slack.channel if settings.slack else ""
            names = [each.name for each in settings.environments]
            deliveries.append(
                SlackDelivery(slack, people, words, channel, merges=settings.merge.channel, names=names)
            )
        if github is not None:
            desks.append(GithubDesk(installation, gandalf))
            deliveries.append(GithubDelivery(github.client, reports))
        sender, client = Sender(installation.outbox, deliveries), github.client if github else None
        return cls(installation, desks, sender, gates, client)

    def work(self) -> int:
        """Answer what is due; returns how many requests were answered."""
        return sum(desk.work() for desk in self.desks)
