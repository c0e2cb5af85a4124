"""One request to Bobby with all that its answer needs."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from daybreak.environment.installation import Installation
from daybreak.environment.leases.desk import Desk
from daybreak.environment.leases.lease import Lease, Leases
from daybreak.environment.machine import Environment
from daybreak.errors import DaybreakError, UsageError
from daybreak.talk.bobby.views import Scene
from daybreak.talk.grammar import Command
from daybreak.talk.people import Actor, People, Person
from daybreak.talk.reply import Press
from daybreak.talk.when import instant

#: Makes a DAG run, or finds the one of that id: ``trigger(dag_id, run_id, conf)`` gives its URL, if any.
Trigger = Callable[[str, str, Mapping[str, Any]], str | None]


class NotAllowed(DaybreakError):
    """This person may not do that."""

    code = "not_allowed"
    exit_code = 77  # EX_NOPERM of sysexits


@dataclass(frozen=True)
class Ask:
    """A command of somebody, at a moment.

    :param at: when it was said, which decides what "tonight" is; it may be answered later.
    :param request: names it, so that it is carried out once however often it is delivered.
    :param press: the button, when it was one.
    """

    installation: Installation
    people: People
    trigger: Trigger | None
    command: Command
    actor: Actor
    at: datetime
    request: str | None = None
    press: Press | None = None

    @property
    def person(self) -> Person:
        """Whoever asks, who is known: Bobby lets strangers only read."""
        if self.actor.person is None:
            raise NotAllowed("I do not know who you are here; say `link`")
        return self.actor.person

    @property
    def me(self) -> str:
        """The name that leases carry."""
        return self.person.name

    @property
    def name(self) -> str:
        """The one environment of the command."""
        return self.command.environments[0]

    @property
    def pressed(self) -> int | None:
        """The lease that the button was offered for."""
        return self.press.lease if self.press else None

    @property
    def leases(self) -> Leases:
        """The verbs on behalf of this request."""
        return self.installation.leases.answering(self.request, lease=self.pressed)

    @property
    def desk(self) -> Desk:
        """The desk on behalf of this request."""
        return self.installation.desk.answering(self.request, lease=self.pressed)

    @cached_property
    def until(self) -> datetime | None:
        """The instant after ``until``."""
        said = self.command.until
        return instant(said, self.at, self.installation.settings.night) if said else None

    @property
    def row(self) -> Environment:
        """The environment as it is now."""
        return self.installation.environments.get(self.name)

    @property
    def scene(self) -> Scene:
        """Everything as it is now."""
        return Scene.read(self.installation, self.actor.person.name if self.actor.person else None)

    def someone(self, said: str) -> Person:
        """The person whom the command names.

        :raises UsageError: when nobody is.
        """
        found = self.people.by_slack(said[1:]) if said.startswith("@") else self.people.by_name(said)
        if found is None:
            known = ", ".join(each.name for each in self.people.all())
            raise UsageError(f"I do not know {said}; in `people:` of daybreak.yaml are: {known or 'none'}")
        return found

    def run_id(self, kind: str) -> str:
        """The id of the DAG run that this request asks for: the same one when it is delivered again."""
        seed = self.request or secrets.token_hex(8)
        return f"{kind}-{self.name}-{hashlib.sha256(seed.encode()).hexdigest()[:10]}"

    def start(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> str:
        """Trigger a run; says where to look at it.

        :raises UsageError: when nobody told us where Airflow is.
        """
        if self.trigger is None:
            raise UsageError("I cannot reach Airflow: `airflow:` is missing in daybreak.yaml")
        url = self.trigger(dag_id, run_id, conf)
        return url or f"{dag_id}, run {run_id}"


def lease_data(lease: Lease) -> dict[str, Any]:
    """A lease for `--json`."""
    return {
        "environment": lease.environment, "owner": lease.owner, "until": lease.until.isoformat(),
        "since": lease.since.isoformat(), "reason": lease.reason,
    }  # fmt: skip
