"""Who gets which of the contract's variables."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.environment.contract import plain_url, variables
from daybreak.errors import UsageError
from daybreak.settings import Account, Aws, EnvironmentSettings, Settings, Workload

ACCOUNT = "111111111111"
R, T = CatalogResource, ResourceType
CATALOG = Catalog(
    "c" * 40,
    {
        resource.name: resource
        for resource in (
            R("fleet_db", T.DATABASE),
            R("bill_db", T.DATABASE),
            R("old_db", T.DATABASE, enabled=False),
            R("ledger", T.PACKAGE, depends_on=("bill_db",)),
            R("fleet", T.SERVICE, depends_on=("fleet_db", "old_db")),
            R("fleet_admin", T.SERVICE, depends_on=("fleet",)),
            R("scorer", T.LAMBDA),
            R("trips", T.SERVICE, packages=("ledger",), depends_on=("fleet", "scorer")),
            R("both", T.SERVICE, depends_on=("fleet_db", "bill_db")),
        )
    },
)
URLS = {
    "FLEET_URL": "http://127.0.0.1:1", "FLEET_ADMIN_URL": "http://127.0.0.1:2", "TRIPS_URL": "http://127.0.0.1:3",
    "SCORER_FUNCTION": "dev-01-scorer",
}  # fmt: skip
AWS = {"AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
ALWAYS = {"DAYBREAK_ENVIRONMENT", "DAYBREAK_COMMIT", *AWS}


def given(
    name: str | None, *, sql: str | None = "postgresql+psycopg2://u:p%40ss@h/{database}"
) -> dict[str, str]:
    workload = Workload(access_key_id="AKIA", secret_access_key=SecretStr("shh"))
    environment = EnvironmentSettings(name="dev-01", account=ACCOUNT, sql=SecretStr(sql) if sql else None)
    settings = Settings(
        aws=Aws(endpoint_url="http://aws", accounts={ACCOUNT: Account(workload=workload)}),
        environments=(environment,),
    )
    return variables(settings, environment, "abc", CATALOG, CATALOG[name] if name else None, URLS)


def test_a_service_with_one_database_gets_its_plain_url() -> None:
    found = given("fleet")
    assert set(found) == ALWAYS | {"DATABASE_URL", "FLEET_DB_DATABASE_URL"}
    assert found["DATABASE_URL"] == "postgresql://u:p%40ss@h/dev_01_fleet_db"
    assert (found["DAYBREAK_ENVIRONMENT"], found["DAYBREAK_COMMIT"]) == ("dev-01", "abc")
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == ("AKIA", "shh")


def test_who_calls_a_service_gets_its_address_and_not_its_database() -> None:
    found = given("fleet_admin")
    assert set(found) == ALWAYS | {"FLEET_URL"}


def test_what_a_package_needs_is_needed_by_whoever_contains_it() -> None:
    found = given("trips")
    assert set(found) == ALWAYS | {"FLEET_URL", "SCORER_FUNCTION", "DATABASE_URL", "BILL_DB_DATABASE_URL"}


def test_two_databases_have_no_default_one() -> None:
    assert set(given("both")) == ALWAYS | {"FLEET_DB_DATABASE_URL", "BILL_DB_DATABASE_URL"}


def test_e2e_gets_everything_that_is_enabled() -> None:
    assert set(given(None)) == ALWAYS | {"FLEET_DB_DATABASE_URL", "BILL_DB_DATABASE_URL", *URLS}


def test_a_database_without_a_server_names_the_setting() -> None:
    assert given("scorer", sql=None)
    with pytest.raises(UsageError, match="dev-01 has no `sql` URL, but resource fleet_db is a database"):
        given("fleet", sql=None)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("mysql+pymysql://u:p@h:3306/d?charset=utf8mb4", "mysql://u:p@h:3306/d?charset=utf8mb4"),
        ("postgresql+psycopg2://u@/d?host=%2Ftmp%2Fpg", "postgresql://u@/d?host=%2Ftmp%2Fpg"),
    ],
)
def test_urls_lose_their_driver_and_nothing_else(url: str, plain: str) -> None:
    assert plain_url(url) == plain
