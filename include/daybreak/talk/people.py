"""Who is who: one person in Slack, GitHub, Airflow and on the command line, by ids, never by display names.

The settings name people (``people:``). What they leave out is linked later, with proof: by the e-mail address
that Slack's workspace vouches for, or by a code that one asks for where one is known and says where one is
not.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from sqlalchemy import Engine, delete, select

from daybreak.errors import UsageError
from daybreak.registry import tables
from daybreak.registry.clock import Clock, utc_now
from daybreak.registry.engine import upsert
from daybreak.settings import PersonSettings, Settings

Kind = Literal["slack", "github", "airflow", "os"]
#: How long a code for linking is good for.
CODE_LIFE = timedelta(minutes=10)
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


@dataclass(frozen=True)
class Person:
    """Somebody of ``people:``. ``name`` is what leases and events carry."""

    name: str
    email: str | None = None
    admin: bool = False


@dataclass(frozen=True)
class Actor:
    """Whoever speaks: the id that the other side vouches for, and the person that it is, if known."""

    kind: Kind
    external: str
    person: Person | None = None

    @property
    def name(self) -> str:
        """For messages: the person's name, or what is known of a stranger."""
        return self.person.name if self.person else f"{self.kind} {self.external}"


class People:
    """The people of the settings, with the identities that were linked later."""

    def __init__(self, settings: Settings, engine: Engine, clock: Clock = utc_now) -> None:
        self.settings, self.engine, self.clock = settings, engine, clock
        self._named = {each.name: each for each in settings.people}

    def all(self) -> list[Person]:
        """Everybody, in the order of the settings."""
        return [_person(each) for each in self._named.values()]

    def by_name(self, name: str) -> Person | None:
        """By the name of the settings, exactly."""
        found = self._named.get(name)
        return _person(found) if found else None

    def by_email(self, email: str) -> Person | None:
        """By e-mail address; case does not matter."""
        for each in self._named.values():
            if each.email and each.email.lower() == email.lower():
                return _person(each)
        return None

    def by_slack(self, user_id: str) -> Person | None:
        """By Slack's user id."""
        return self._by("slack", user_id)

    def by_github(self, login: str) -> Person | None:
        """By GitHub's login; case does not matter, as on GitHub."""
        return self._by("github", login.lower())

    def by_airflow(self, user: str) -> Person | None:
        """By the user name in Airflow."""
        return self._by("airflow", user)

    def by_os_user(self, user: str) -> Person | None:
        """By the login on this machine."""
        return self._by("os", user)

    def actor(self, kind: Kind, external: str) -> Actor:
        """Whoever speaks there with that id."""
        return Actor(kind, external, self._by(kind, external.lower() if kind == "github" else external))

    def identity(self, person: Person, kind: Kind) -> str | None:
        """Who the person is there, or ``None``: whom to write to in Slack, whom to mention on GitHub."""
        said = self._named[person.name].known_as.get(kind) if person.name in self._named else None
        if said:
            return said
        table = tables.identities
        query = select(table.c.external).filter_by(kind=kind, person=person.name).order_by(table.c.at.desc())
        with self.engine.connect() as connection:
            return connection.execute(query).scalars().first()

    # Linking

    def link(self, kind: Kind, external: str, person: Person, proof: str) -> None:
        """Remember that ``external`` is that person; the caller has the proof (``email``, ``code``).

        :raises UsageError: when the settings say that it is somebody else.
        """
        present = self._by_settings(kind, external)
        if present is not None and present != person:
            raise UsageError(f"{kind} {external} is {present.name} in daybreak.yaml")
        values = {"person": person.name, "proof": proof, "at": self.clock()}
        with self.engine.begin() as connection:
            upsert(connection, tables.identities, {"kind": kind, "external": external}, values)

    def link_by_email(self, kind: Kind, external: str, email: str) -> Person | None:
        """Link by an address that the other side vouches for (a Slack workspace does for its members').

        :returns: the person, or ``None`` when nobody of the settings has that address.
        """
        person = self.by_email(email)
        if person is not None:
            self.link(kind, external, person, "email")
        return person

    def code_for(self, person: Person) -> str:
        """A code for :meth:`link_by_code`, good once and for ten minutes."""
        code = "".join(secrets.choice(_ALPHABET) for _ in range(8))
        values = {"person": person.name, "expires_at": self.clock() + CODE_LIFE}
        with self.engine.begin() as connection:
            table = tables.link_codes
            connection.execute(
                delete(table).where((table.c.person == person.name) | (table.c.expires_at <= self.clock()))
            )
            connection.execute(table.insert().values(digest=_digest(code), **values))
        return code

    def link_by_code(self, kind: Kind, external: str, code: str) -> Person:
        """Link with the code that the person was given where they are known.

        :raises UsageError: when the code is not, or not any more, good.
        """
        table = tables.link_codes
        good = (table.c.digest == _digest(code), table.c.expires_at > self.clock())
        with self.engine.begin() as connection:
            name = connection.execute(delete(table).where(*good).returning(table.c.person)).scalar()
        person = self.by_name(name) if name else None
        if person is None:
            raise UsageError(
                "that code is not good, or not any more; ask for a new one with `daybreak bobby link`"
            )
        self.link(kind, external, person, "code")
        return person

    def _by(self, kind: Kind, external: str) -> Person | None:
        found = self._by_settings(kind, external)
        if found is not None:
            return found
        query = select(tables.identities.c.person).filter_by(kind=kind, external=external)
        with self.engine.connect() as connection:
            name = connection.execute(query).scalar()
        return self.by_name(name) if name else None

    def _by_settings(self, kind: Kind, external: str) -> Person | None:
        for each in self._named.values():
            if each.known_as.get(kind) == external:
                return _person(each)
        return None


def names(settings: Settings) -> list[str]:
    """How people are called in a command."""
    return [f"@{each.name}" for each in settings.people]


def _person(settings: PersonSettings) -> Person:
    return Person(settings.name, settings.email, settings.admin)


def _digest(code: str) -> str:
    return hashlib.sha256(code.strip().lower().encode()).hexdigest()
