"""Make the environments what they are in the evening: built from yesterday's main, used, and dirty."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.environment.night.engine import run_night
from daybreak.environment.night.prepare import Request

log = logging.getLogger(__name__)

#: They belong to nobody, or somebody protected them: they must still be there in the morning.
UNTAGGED_TABLE, PROTECTED_TABLE = "payroll-do-not-touch", "dev-01-support-case-4711"


def build(installation: Installation, commit: str) -> None:
    """Build every environment from ``commit``, by the same steps as the night, without Airflow."""
    said: list[str] = []

    def say(line: str) -> None:
        log.info(line)
        said.append(line)

    summary = run_night(
        installation, "yesterday", Request(wait=False, ref=commit), actor="make demo", say=say
    )
    ended = {environment.name: environment.state for environment in installation.environments.all()}
    if set(ended.values()) != {State.READY}:
        # With each step: an environment says what it missed, the build of that says why.
        raise SystemExit("\n".join(["yesterday was not a good day:", *said, *summary.lines]))


def dirty(installation: Installation) -> None:
    """Leave things lying about."""
    from sqlalchemy import create_engine, text

    settings = installation.settings
    for environment in settings.environments:
        session = installation.session_for(environment)
        endpoint = settings.aws.endpoint_url
        dynamodb = session.client("dynamodb", endpoint_url=endpoint)
        dynamodb.put_item(
            TableName=f"{environment.name}-reference", Item={"id": {"S": "left by a debugging session"}}
        )
        session.client("s3", endpoint_url=endpoint).put_object(
            Bucket=f"{environment.name}-lake-{environment.account}", Key="tmp/export.csv", Body=b"stale"
        )
        engine = create_engine(environment.database_url("fleet_db"))
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS scratch_of_dana (note VARCHAR(80))"))
            connection.execute(
                text("INSERT INTO vehicles (vin, model, odometer_km) VALUES ('TEST0000000000000', 'fake', 1)")
            )
        engine.dispose()
    nonce = installation.environments.get("dev-01").nonce or ""
    protected = {"daybreak:env": "dev-01", "daybreak:nonce": nonce, "daybreak:protect": "until it is closed"}
    _table_by_hand(dynamodb, UNTAGGED_TABLE, {})
    _table_by_hand(dynamodb, PROTECTED_TABLE, protected)


def _table_by_hand(dynamodb: Any, name: str, tags: Mapping[str, str]) -> None:
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    dynamodb.put_item(TableName=name, Item={"id": {"S": "not to be lost"}})
