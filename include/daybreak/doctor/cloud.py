"""The AWS accounts of the allow-list, and the SQL servers of the environments."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from daybreak.doctor.finding import Finding
from daybreak.doctor.local import skew
from daybreak.settings import Account, EnvironmentSettings, Settings


def accounts(settings: Settings) -> Iterator[Finding]:
    """Who we are in each account, and whether the night may delete there."""
    from sqlalchemy.exc import OperationalError

    from daybreak import registry
    from daybreak.environment.records import Switches
    from daybreak.registry.clock import utc_now

    if not settings.aws.accounts:
        yield Finding("aws", "fail", "no account is on the allow-list", "add `aws.accounts` to daybreak.yaml")
        return
    engine = registry.connect(settings.registry_url)
    # Without it the registry's own finding says what to do; the identity is asked all the same.
    try:
        switches = Switches(engine, utc_now) if registry.revision(engine) else None
    except OperationalError:
        switches = None
    for number, account in settings.aws.accounts.items():
        yield from _account(settings, number, account)
        if switches is not None and not switches.is_armed(number):
            yield Finding(
                f"aws {number}", "warn", "not armed: a night says what it would delete, and deletes nothing",
                f"`daybreak arm {number}` when its plans look right",
            )  # fmt: skip
    if switches is not None and switches.is_frozen():
        yield Finding("aws", "warn", "frozen: nothing is deleted", "`daybreak thaw` takes it back")


def _account(settings: Settings, number: str, account: Account) -> Iterator[Finding]:
    from botocore.exceptions import BotoCoreError, ClientError

    from daybreak.aws import session as aws_session

    area = f"aws {number}"
    by = f"profile {account.profile!r}" if account.profile else "boto3's own search for credentials"
    regions = [each.region for each in settings.environments if each.account == number]
    region = regions[0] if regions else "us-east-1"
    try:
        session = aws_session.session(account, region, max_attempts=1)
        sts = aws_session.client(session, "sts", region, settings.aws.endpoint_url)
        answer = sts.get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        yield Finding(
            area, "fail", f"{by} gives no identity: {error}",
            "the CLI uses `profile`, Airflow the connection of that account; `aws sts get-caller-identity` "
            "must answer with it",
        )  # fmt: skip
        return
    if answer["Account"] != number:
        yield Finding(
            area, "fail", f"{by} is of account {answer['Account']}; everything there would be refused",
            f"give it credentials of {number}",
        )  # fmt: skip
        return
    yield Finding(area, "ok", f"{answer['Arn']}")
    if date := answer["ResponseMetadata"]["HTTPHeaders"].get("date"):
        yield skew("AWS", parsedate_to_datetime(date))


def sql(settings: Settings) -> Iterator[Finding]:
    """Each SQL server of an environment lets us in."""
    for environment in settings.environments:
        if environment.sql is not None:
            yield _server(environment)


def _server(environment: EnvironmentSettings) -> Finding:
    from sqlalchemy import create_engine, make_url, text
    from sqlalchemy.exc import SQLAlchemyError

    area = f"sql {environment.name}"
    assert environment.sql is not None
    # The server's own database: those of the resources come with the first night.
    url = make_url(environment.sql.get_secret_value())
    maintenance = {"postgresql": "postgres"}.get(url.get_backend_name(), "")
    try:
        with create_engine(url.set(database=maintenance)).connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        return Finding(area, "fail", said, "correct `sql`; its user must be able to make databases")
    return Finding(area, "ok", f"{url.get_backend_name()} {url.host or url.query.get('host') or ''}".strip())
