"""Airflow's connections → plain clients that the rooms below understand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daybreak.errors import UsageError
from daybreak.settings import EnvironmentSettings, Settings, load

if TYPE_CHECKING:
    import boto3

    from daybreak.environment.installation import Installation
    from daybreak.merge.run import Known, Merge
    from daybreak.orchestration.rest import Rest
    from daybreak.talk.github.access import Access as GithubAccess
    from daybreak.talk.slack.app import Access


def installation(patience: float | None = None) -> Installation:
    """The installation, with AWS sessions from the connections that the settings' accounts name.

    :param patience: seconds that a registry which is away is waited for; by default as long as a task should.
    """
    from daybreak.aws import session as aws_session
    from daybreak.aws.retry import Policy
    from daybreak.environment.installation import PATIENCE, Installation

    settings = load()

    def session_for(environment: EnvironmentSettings) -> boto3.Session:
        # Here, because who only answers people needs no AWS and should not wait for it.
        from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

        account = settings.aws.accounts[environment.account]
        hook = AwsBaseHook(aws_conn_id=account.connection, client_type="sts")
        session: boto3.Session = hook.get_session(region_name=environment.region)
        aws_session.prepare(session, Policy(attempts=settings.aws.max_attempts))
        return session

    return Installation.open(settings, session_for, patience=PATIENCE if patience is None else patience)


def slack(settings: Settings) -> Access:
    """Slack's app: bot token and, in its extra, signing secret of the connection that the settings name.

    :raises UsageError: when there is no `slack:` in them.
    """
    from airflow.providers.slack.hooks.slack import SlackHook

    from daybreak.talk.slack.app import TIMEOUT, Access

    if settings.slack is None:
        raise UsageError("daybreak.yaml has no `slack:` section; see docs/slack.md")
    hook = SlackHook(slack_conn_id=settings.slack.connection, timeout=TIMEOUT)
    extra = hook.get_connection(settings.slack.connection).extra_dejson
    return Access(hook.client, signing_secret=str(extra.get("signing_secret") or ""))


def github(settings: Settings) -> GithubAccess:
    """The repository of the settings: token or App's key, and in its extra the webhooks' secret, of the
    connection that the settings name.

    :raises UsageError: when there is no `github:` in them, or the connection cannot be used.
    """
    from airflow.providers.github.hooks.github import GithubHook

    from daybreak.talk.github import access

    name = access.required(settings).connection
    said = GithubHook.get_connection(name)
    if said.host and not said.host.startswith(("https://", "http://")):
        raise UsageError(
            f"the host of Airflow's connection {name!r} is {said.host!r}: it must be the API's URL, such as "
            f"https://github.acme.example/api/v3, or empty for github.com (docs/github.md)"
        )
    try:
        client = GithubHook(github_conn_id=name).client
    except ValueError as error:
        raise UsageError(
            f"Airflow's connection {name!r} cannot be used: {error} Its password is a token, or its extra "
            f"has an App's key (docs/github.md)"
        ) from error
    assert client is not None
    return access.of(settings, client, str(said.extra_dejson.get("webhook_secret") or ""))


def airflow(settings: Settings) -> Rest | None:
    """Airflow's own REST API, as the user of the settings; ``None`` where they name none."""
    from daybreak.orchestration.rest import Rest

    return None if settings.airflow is None else Rest.of(settings)


def merge(installation: Installation) -> Merge:
    """The lane, with the gates of GitHub where the settings name a repository there."""
    from daybreak.merge.run import Known, Merge
    from daybreak.talk.gandalf.gates import Gates
    from daybreak.talk.people import People

    settings = installation.settings
    if settings.github is None:
        return Merge(installation)
    gates = Gates.of(settings, github(settings).client)

    people = People(settings, installation.engine, installation.clock)

    def ready(pr: int, head: str, lands: bool, by: str) -> Known:
        pull = gates.check(pr, head, lands=lands).pull
        person = people.by_airflow(by) or people.by_github(pull.author)
        return Known(pull.title, pull.author, person.name if person else None, pull.url)

    return Merge(installation, gates.approved, ready)
