"""Takes what people said in Slack out of the inbox, lets Bobby or Gandalf do it, and puts the answer into the
outbox.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from daybreak.errors import UsageError
from daybreak.registry.inbox import Received
from daybreak.registry.outbox import Notice
from daybreak.talk.bobby.ask import Trigger
from daybreak.talk.bobby.bot import Bobby
from daybreak.talk.desk import Desk
from daybreak.talk.gandalf.bot import Gandalf
from daybreak.talk.people import Actor, People
from daybreak.talk.reply import Button, Link, Press, Reply, Section
from daybreak.talk.slack import app, home
from daybreak.talk.slack.delivery import ANSWER
from daybreak.talk.slack.incoming import Said, words

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation

log = logging.getLogger(__name__)

#: How long a stranger is not looked up again.
_STRANGER = timedelta(minutes=10)


class Reception(Desk):
    """Answers for one Slack app.

    :param trigger: makes DAG runs; see :data:`daybreak.talk.bobby.ask.Trigger`.
    :param gandalf: by default one who cannot ask GitHub.
    """

    source: ClassVar[str] = "slack"

    def __init__(
        self,
        installation: Installation,
        access: app.Access,
        trigger: Trigger | None = None,
        gandalf: Gandalf | None = None,
    ) -> None:
        super().__init__(installation)
        self.access = access
        self.people = People(installation.settings, installation.engine, installation.clock)
        self.bobby = Bobby(installation, self.people, trigger)
        self.gandalf = gandalf or Gandalf(installation, people=self.people, trigger=trigger)
        self._strangers: dict[str, datetime] = {}
        self._team: str | None = None

    def _take(self, received: Received) -> None:
        said = Said.from_json(received.payload)
        actor = self._actor(said.user)
        if said.how != "home":
            self._put(received, self._answer(received, said, actor), "answer")
            return
        # The Home tab answers by being drawn anew, with the answer above it.
        reply = self._answer(received, said, actor) if said.text else None
        view = home.view(self.installation, actor, reply)
        self.access.client.views_publish(user_id=said.user, view=view)

    def _answer(self, received: Received, said: Said, actor: Actor) -> Reply:
        if said.to not in ("bobby", "gandalf"):
            return Reply(f"/{said.to} is not set up here.", code="unknown_command", exit_code=2)
        late = self._too_late(received, received.received_at)
        if late is not None and not self._carried_out(received.key):
            return late
        try:
            what = Press.of(said.text) if said.how in ("press", "home") else words(said.text)
        except UsageError as error:
            return Reply(str(error), code=error.code, exit_code=error.exit_code)
        if said.to == "gandalf" or (isinstance(what, Press) and what.bot == "gandalf"):
            return self.gandalf.answer(
                what, actor, received.received_at, request=received.key, patient=True
            )  # fmt: skip
        return self.bobby.answer(what, actor, received.received_at, request=received.key)

    def _carried_out(self, request: str) -> bool:
        environments, control = self.installation.environments, self.gandalf.control
        return bool(environments.carried_out(request)) or control.carried_out(request)

    def _put(self, received: Received, reply: Reply, what: str = "trouble") -> None:
        said = Said.from_json(received.payload)
        to = {
            "response_url": said.response_url, "channel": said.channel, "thread": said.thread,
            "public": reply.public,
        }  # fmt: skip
        payload = {"kind": "answer", "to": to, **packed(reply)}
        self.installation.outbox.put(Notice(f"{what}/{received.key}", f"{ANSWER}{said.user}", payload))

    def _actor(self, user: str) -> Actor:
        """Who that is; somebody new is known by the address that the workspace vouches for."""
        actor, now = self.people.actor("slack", user), self.installation.clock()
        if actor.person is not None or now < self._strangers.get(user, now):
            return actor
        try:
            if self._team is None:
                self._team = str(self.access.client.auth_test()["team_id"])
            found = app.vouched(self.access.client.users_info(user=user)["user"], self._team)
        except Exception as error:
            # Reading needs no name; a person who may do more says `link`.
            log.warning("Slack does not say who %s is: %s", user, error)
            return actor
        if found is None or self.people.link_by_email("slack", user, found) is None:
            self._strangers[user] = now + _STRANGER
            return actor
        return self.people.actor("slack", user)


def packed(reply: Reply) -> dict[str, Any]:
    """A reply as plain data, as far as Slack shows it."""
    return {
        "text": reply.text,
        "sections": [
            {
                "text": part.text,
                "buttons": [[each.label, each.style, each.value()] for each in part.buttons],
                "links": [[each.label, each.url] for each in part.links],
            }
            for part in reply.sections
        ],
    }


def unpacked(data: Mapping[str, Any]) -> Reply:
    """The inverse of :func:`packed`."""
    sections = tuple(
        Section(
            part["text"],
            tuple(_button(*each) for each in part["buttons"]),
            tuple(Link(*each) for each in part.get("links", ())),
        )
        for part in data["sections"]
    )
    return Reply(data["text"], sections)


def _button(label: str, style: Any, value: str) -> Button:
    press = Press.of(value)
    return Button(label, press.command, style, press.lease, press.night, press.bot)
