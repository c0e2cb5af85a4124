"""Bobby: answers a command of somebody, for Slack, the command line and the board alike.

    Bobby(installation).answer("lock dev-01 for 4h -- load test", people.actor("slack", "U1DANA"), at)

An error is an answer too: what is wrong, and what to say instead. Nothing of Slack is known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from daybreak.environment.installation import Installation
from daybreak.environment.rows import AlreadyDone, Event
from daybreak.errors import DaybreakError, EnvironmentLocked
from daybreak.talk.bobby import desk_verbs, run_verbs, views
from daybreak.talk.bobby.ask import Ask, NotAllowed, Trigger
from daybreak.talk.bobby.views import Scene
from daybreak.talk.grammar import Misunderstood, parse
from daybreak.talk.people import Actor, People
from daybreak.talk.reply import Button, Press, Reply, Section
from daybreak.talk.verbs import BOBBY, Verb, Vocabulary
from daybreak.talk.when import show

#: The last events of an environment that its `status` shows.
_EVENTS = 5


def _status(ask: Ask) -> Reply:
    if not ask.command.environments:
        return views.status(ask.scene)
    found = ask.installation.environments.last_events(ask.name, _EVENTS)
    return views.detail(ask.scene, ask.name, [_told(event, ask) for event in found])


def _mine(ask: Ask) -> Reply:
    return views.mine(ask.scene)


def _help(ask: Ask) -> Reply:
    if ask.command.rest:
        verb = BOBBY[ask.command.rest[0]]
        return Reply(f"`{verb.usage}`: {verb.help}.")
    admin = ask.actor.person is not None and ask.actor.person.admin
    known = [verb for verb in BOBBY.values() if admin or not verb.admin]
    lines = [f"`{verb.usage}`: {verb.help}" for verb in known]
    data = {"verbs": [{"name": verb.name, "usage": verb.usage, "help": verb.help} for verb in known]}
    return Reply("\n".join(lines), data=data)


_DO: Mapping[str, Callable[[Ask], Reply]] = {
    "status": _status, "mine": _mine, "help": _help,
    "lock": desk_verbs.lock, "extend": desk_verbs.extend, "release": desk_verbs.release,
    "preserve": desk_verbs.preserve, "unpreserve": desk_verbs.unpreserve,
    "queue": desk_verbs.queue, "leave": desk_verbs.leave, "poke": desk_verbs.poke, "give": desk_verbs.give,
    "weekend keep": desk_verbs.weekend_keep, "weekend drop": desk_verbs.weekend_drop,
    "lock!": desk_verbs.take, "release!": desk_verbs.release_for,
    "rebuild": run_verbs.rebuild, "deploy": run_verbs.deploy,
    "fault": run_verbs.fault, "unfault": run_verbs.unfault, "scorch": run_verbs.scorch,
    "freeze": run_verbs.freeze, "thaw": run_verbs.thaw, "link": run_verbs.link,
}  # fmt: skip


class Bobby:
    """Answers commands.

    :param trigger: makes DAG runs for `rebuild`, `deploy`, `scorch`; see
        :data:`daybreak.talk.bobby.ask.Trigger`.
    """

    def __init__(
        self, installation: Installation, people: People | None = None, trigger: Trigger | None = None
    ) -> None:
        self.installation, self.trigger = installation, trigger
        self.people = people or People(installation.settings, installation.engine, installation.clock)
        known = {row.name for row in installation.environments.all()}
        if any(each.name not in known for each in installation.settings.environments):
            installation.register()

    def answer(
        self, said: str | Press, actor: Actor, at: datetime | None = None, *, request: str | None = None
    ) -> Reply:
        """Understand, do, and say what was done or why not; never raises a `DaybreakError`.

        :param said: the words after ``/bobby``, or a button that was pressed.
        :param at: when it was said, by default now.
        :param request: names the request (a key of the inbox): however often it is delivered, and whatever
            dies in between, it has one effect.
        """
        at = at or self.installation.clock()
        press = said if isinstance(said, Press) else None
        try:
            done = self.installation.environments.carried_out(request) if request else []
            if done:
                return self._again(done)
            command = parse(press.command if press else str(said), self._vocabulary(actor))
            ask = Ask(self.installation, self.people, self.trigger, command, actor, at, request, press)
            _allow(command.verb, actor)
            return _DO[command.verb.name](ask)
        except AlreadyDone:
            return self._again(self.installation.environments.carried_out(str(request)))
        except DaybreakError as error:
            return _refusal(error, actor)

    def _vocabulary(self, actor: Actor) -> Vocabulary:
        own = [row.name for row in self.installation.desk.held(actor.person.name)] if actor.person else []
        return Vocabulary([each.name for each in self.installation.settings.environments], own)

    def _again(self, done: list[Event]) -> Reply:
        """The answer to a request that was carried out before: how things are now."""
        scene = Scene.read(self.installation, done[0].actor)
        names = list(dict.fromkeys(event.environment for event in done))
        rows = [row for row in scene.rows if row.name in names]
        sections = tuple(Section(views.line(scene, row), views.buttons(scene, row)) for row in rows)
        return Reply("\n".join(section.text for section in sections), sections, data={"again": True})


def _allow(verb: Verb, actor: Actor) -> None:
    if verb.reads or verb.name == "link":
        return
    if actor.person is None:
        raise NotAllowed(
            "I do not know who you are here, so you may read only (`status`, `help`); say `link`, or be "
            "one of `people:` in daybreak.yaml"
        )
    if verb.admin and not actor.person.admin:
        raise NotAllowed(f"`{verb.name}` is for admins (`admin: true` in `people:` of daybreak.yaml)")


def _refusal(error: DaybreakError, actor: Actor) -> Reply:
    text = str(error)
    text = text if text.endswith((".", "`", "?", ")")) else f"{text}."
    buttons: tuple[Button, ...] = ()
    data: dict[str, Any] = {}
    if isinstance(error, EnvironmentLocked):
        data = {"locked": {"environment": error.environment, "owner": error.owner, "until": error.until}}
        buttons = (
            Button(f"Poke {error.owner}", f"poke {error.environment}"),
            Button("Wait for it", f"queue {error.environment}"),
        )
    if isinstance(error, Misunderstood):
        data = {"nearest": error.nearest}
    return Reply(text, (Section(text, buttons),), error.code, error.exit_code, data)


def _told(event: Event, ask: Ask) -> str:
    moment = show(event.at, ask.installation.clock(), ask.installation.settings.night.tzinfo)
    states = f" {event.from_state} → {event.to_state}" if event.from_state != event.to_state else ""
    return f"{moment} {event.actor}: {event.kind}{states} {event.message}".rstrip()
