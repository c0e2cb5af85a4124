"""Airflow's connections → plain clients that the rooms below understand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daybreak.settings import EnvironmentSettings, load

if TYPE_CHECKING:
    import boto3

    from daybreak.environment.installation import Installation


def installation() -> Installation:
    """The installation, with AWS sessions from the connections that the settings' accounts name."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

    from daybreak.aws import session as aws_session
    from daybreak.aws.retry import Policy
    from daybreak.environment.installation import PATIENCE, Installation

    settings = load()

    def session_for(environment: EnvironmentSettings) -> boto3.Session:
        account = settings.aws.accounts[environment.account]
        hook = AwsBaseHook(aws_conn_id=account.connection, client_type="sts")
        session: boto3.Session = hook.get_session(region_name=environment.region)
        aws_session.prepare(session, Policy(attempts=settings.aws.max_attempts))
        return session

    return Installation.open(settings, session_for, patience=PATIENCE)
