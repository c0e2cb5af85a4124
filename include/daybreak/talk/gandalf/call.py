"""One request to Gandalf with all that its answer needs."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from functools import cached_property

from daybreak.environment.installation import Installation
from daybreak.errors import UsageError
from daybreak.merge.conf import DAG, conf_of, run_id_of
from daybreak.merge.control import Control
from daybreak.merge.queue import Queue
from daybreak.merge.rows import Entry
from daybreak.talk.bobby.ask import NotAllowed, Trigger
from daybreak.talk.gandalf.gates import Gates, at_least
from daybreak.talk.github.client import Permission
from daybreak.talk.grammar import Command
from daybreak.talk.people import Actor, People

#: What GitHub allows in a login, an App's and a managed user's included.
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,60})(?:\[bot\])?")


@dataclass(frozen=True)
class Call:
    """A command of somebody.

    :param gates: ``None`` where nobody told how GitHub is reached: only looking works then.
    :param commit: that the command's place speaks of (a review's), when it names none itself.
    :param request: names it, so that it is carried out once however often it is delivered.
    :param late: as :meth:`Gandalf.answer` has it.
    """

    installation: Installation
    people: People
    trigger: Trigger | None
    command: Command
    actor: Actor
    gates: Gates | None = None
    commit: str | None = None
    request: str | None = None
    late: bool = False

    @property
    def me(self) -> str:
        """The name that entries carry."""
        return self.actor.name

    @property
    def pull(self) -> int:
        """The pull request of the command."""
        assert self.command.pull is not None, "the grammar sees to it"
        return self.command.pull

    @cached_property
    def queue(self) -> Queue:
        """The queue, with the settings' bounds."""
        installation = self.installation
        return Queue(installation.engine, installation.clock, installation.settings.merge.batch)

    @cached_property
    def control(self) -> Control:
        """Pause, hold and their like."""
        return Control(self.installation.engine, self.installation.clock)

    @property
    def asked(self) -> Gates:
        """The gates.

        :raises UsageError: when GitHub cannot be asked.
        """
        if self.gates is None:
            missing = "its token" if self.installation.settings.github is not None else "`github:`"
            where = "DAYBREAK_GITHUB__TOKEN" if missing == "its token" else "daybreak.yaml"
            raise UsageError(f"I cannot ask GitHub: {missing} is missing in {where} (docs/github.md)")
        return self.gates

    @cached_property
    def login(self) -> str:
        """Whoever speaks, on GitHub.

        :raises NotAllowed: when nobody knows.
        """
        if self.actor.kind == "github":
            return self.actor.external
        if self.actor.person is None:
            raise NotAllowed("I do not know who you are here, so you may look only; say `/bobby link`")
        found = self.people.identity(self.actor.person, "github")
        if found is None:
            raise NotAllowed(
                f"I do not know {self.me}'s login on GitHub, by which I see what you may; "
                "an admin adds `github:` to you in `people:` of daybreak.yaml"
            )
        return found

    @cached_property
    def permission(self) -> Permission:
        """What they may do in the repository."""
        return self.asked.github.permission(self.login)

    def require(self, *, admin: bool = False, passes: bool = False) -> None:
        """Check that they may do it: whoever may write, or whom somebody let land this pull request.

        :param passes: they pass it on, which nobody may by delegation.
        :raises NotAllowed: when they may not.
        """
        wanted: Permission = "admin" if admin else "write"
        if at_least(self.permission, wanted):
            return
        if not admin and not passes and self.control.delegated(self.pull, self.login):
            return
        name = self.command.verb.name
        more = "" if admin or passes else f", or for whom somebody with it says `delegate #{self.pull}`"
        raise NotAllowed(
            f"`{name}` is for those with the permission `{wanted}` in the repository{more}; "
            f"{self.login} has `{self.permission}`"
        )

    def someone(self) -> str:
        """The login on GitHub of the person whom the command names.

        On GitHub ``@dana`` is the login; elsewhere it is the person of the settings of that name, who may
        have another login while ``dana`` on GitHub is a stranger.

        :raises UsageError: when nobody is.
        """
        said = self.command.person
        if self.actor.kind == "github" and not said.startswith("@"):
            if not _LOGIN.fullmatch(said):
                raise UsageError(f"`{said[:40]}` is no login of GitHub's")
            return said
        person = self.people.by_slack(said[1:]) if said.startswith("@") else self.people.by_name(said)
        if person is None:
            known = ", ".join(each.name for each in self.people.all())
            raise UsageError(f"I do not know {said}; in `people:` of daybreak.yaml are: {known or 'none'}")
        login = self.people.identity(person, "github")
        if login is None:
            raise UsageError(
                f"nobody knows {person.name}'s login; add `github:` in `people:` of daybreak.yaml"
            )
        return login

    def tells(self, author: str) -> str | None:
        """The person to tell how it goes: who asked for it, or the author of the pull request."""
        person = self.actor.person or self.people.by_github(author)
        return person.name if person else None

    def entry(self) -> Entry:
        """The entry of the pull request that goes on.

        :raises UsageError: when there is none.
        """
        found = self.queue.of(self.pull)
        if found is None:
            raise UsageError(f"#{self.pull} is not in the queue; `merge #{self.pull}` puts it there")
        return found

    def start(self, entry: Entry) -> str:
        """Make the entry's run, or leave that to the caretaker; says where to look, or nothing."""
        if self.trigger is None:
            return ""
        return self.trigger(DAG, run_id_of(entry), conf_of(entry)) or ""

    def run_id(self, kind: str) -> str:
        """The id of a run that this request asks for: the same one when it is delivered again."""
        seed = self.request or secrets.token_hex(8)
        return f"{kind}-{hashlib.sha256(seed.encode()).hexdigest()[:10]}"
