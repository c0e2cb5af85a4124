"""How GitHub is reached: by Airflow's connection in Airflow, by the settings elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daybreak.errors import UsageError
from daybreak.talk.github.client import Client

if TYPE_CHECKING:
    from github import Github

    from daybreak.settings import Github as GithubSettings
    from daybreak.settings import Settings


@dataclass(frozen=True)
class Access:
    """One repository on GitHub. Its secrets are in no message and in no log.

    :param webhook_secret: empty where nothing comes in.
    """

    client: Client
    webhook_secret: str = field(default="", repr=False)


def required(settings: Settings) -> GithubSettings:
    """The section ``github:``.

    :raises UsageError: when there is none.
    """
    if settings.github is None:
        raise UsageError("daybreak.yaml has no `github:` section; see docs/github.md")
    return settings.github


def access(settings: Settings) -> Access:
    """The repository of the settings, for what is not Airflow.

    :raises UsageError: when there is no `github:` in them, or no token.
    """
    from github import Auth, Github

    said = required(settings)
    if said.token is None:
        raise UsageError("no token: set DAYBREAK_GITHUB__TOKEN (docs/github.md)")
    made = Github(auth=Auth.Token(said.token.get_secret_value()), base_url=said.base_url)
    return of(settings, made)


def of(settings: Settings, github: Github, webhook_secret: str = "") -> Access:
    """The repository of the settings, by a client that is there already."""
    said = required(settings)
    return Access(Client(github, said.repository, login=said.login), webhook_secret)
