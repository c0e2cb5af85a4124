"""`daybreak scorch ENV --plan`: what would go, exactly, and why not; proven to change nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import InternalError
from sqlalchemy.pool import NullPool

from daybreak.cli.main import main
from daybreak.deploy.marker import TABLE, write_marker
from daybreak.environment.calendar import Phase, tonight
from daybreak.environment.installation import Installation
from daybreak.environment.machine import Op, State
from daybreak.environment.records import PlanStatus
from daybreak.environment.scorch.plan import ScorchPlan
from daybreak.settings import load
from tests.fixtures.cloud import Cloud, bucket, queue, table
from tests.monorepo import HEADER, Monorepo

pytestmark = [pytest.mark.aws, pytest.mark.postgres]

CATALOG = f"{HEADER}DB = Resource(name='fleet_db', type=rt.DATABASE, dependent_paths=['fleet'])\n"


class House:
    """One environment, provisioned as n1: tables, a bucket, a database; beside it what is not ours."""

    def __init__(self, folder: Path, cloud: Cloud, server: str) -> None:
        self.cloud, self.name = cloud, f"e{uuid4().hex[:8]}"
        self.server = make_url(server)
        self.config = folder / "daybreak.yaml"
        Monorepo(folder / "acme").commit({"resources.py": CATALOG, "fleet/1.sql": "-- nothing\n"})
        self.write()
        self.installation = Installation.open(load(self.config), lambda _: cloud.session())
        self.installation.register()
        self.database = f"{self.name}_fleet_db"
        self.sql(None, f"CREATE DATABASE {self.database}")
        self.sql(self.database, "CREATE TABLE cars (id INT)", "CREATE VIEW fleet AS SELECT id FROM cars")
        with create_engine(self.url(self.database), poolclass=NullPool).begin() as connection:
            write_marker(connection, self.name, "n1")
        cloud.make(
            {
                "Cars": table(f"{self.name}-cars"),
                "Ingest": queue(f"{self.name}-ingest"),
                "Lake": bucket(cloud.bucket_name(self.name), **{"Metadata": {}}),
            },
            self.name,
        )
        cloud.client("s3").put_object(Bucket=cloud.bucket_name(self.name), Key="a/b", Body=b"x")
        url = cloud.client("sqs").get_queue_url(QueueName=f"{self.name}-ingest")["QueueUrl"]
        cloud.client("sqs").tag_queue(QueueUrl=url, Tags={"daybreak:protect": "audit"})
        cloud.client("sqs").create_queue(QueueName=f"{self.name}-stray")

    def write(self, **more: object) -> None:
        environment = {"name": self.name, "account": self.cloud.account, "sql": self.url("{database}")}
        settings = {
            "monorepo": {"url": str(self.config.parent / "acme")},
            "home": str(self.config.parent / "home"),
            "aws": {"endpoint_url": self.cloud.endpoint_url, "accounts": {self.cloud.account: {}}},
            "environments": [environment],
            **more,
        }
        self.config.write_text(yaml.safe_dump(settings))

    def provision(self) -> None:
        """What a night writes down on its way to READY."""
        environments = self.installation.environments
        for state in (State.PROVISIONING, State.DEPLOYING, State.SEEDING, State.VERIFYING):
            op = self.begin(to=state)
            if state is State.PROVISIONING:
                environments.rotate_nonce(op, nonce="n1")
            environments.finish(op, State.READY if state is State.VERIFYING else None)
        self.installation.switches.arm(self.cloud.account, "test")

    def begin(self, to: State | None = None) -> Op:
        return self.installation.environments.begin(
            self.name, step="infra", holder="run-1", actor="test", expect=set(State), to=to,
            deadline=timedelta(minutes=5),
        )  # fmt: skip

    def url(self, database: str) -> str:
        made = self.server.set(database="DB").render_as_string(hide_password=False)
        return made.replace("DB", database)

    def sql(self, database: str | None, *statements: str) -> list[tuple[object, ...]]:
        engine = create_engine(
            self.url(database or "postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        rows: list[tuple[object, ...]] = []
        with engine.connect() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                rows = [tuple(row) for row in result] if result.returns_rows else []
        return rows


@pytest.fixture
def house(
    tmp_path: Path, cloud: Cloud, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    made = House(tmp_path, cloud, postgres_url)
    monkeypatch.setenv("DAYBREAK_CONFIG", str(made.config))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", cloud.account)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    yield made
    made.sql(None, f"DROP DATABASE {made.database} WITH (FORCE)")


def asked(house: House, capsys, *words: str) -> tuple[int, dict]:
    code = main(["scorch", house.name, "--plan", "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def refusals(answer: dict) -> list[str]:
    return [each["code"] for each in answer["refusals"]]


def test_it_names_exactly_what_would_go_and_what_is_spared_and_why(house: House, capsys) -> None:
    house.provision()
    code, answer = asked(house, capsys)
    assert (code, answer["executable"], answer["refusals"]) == (0, True, [])
    plan = ScorchPlan.from_json(answer["plan"])
    label = f"postgresql://{house.server.query['host']}/{house.database}"
    assert [(item.kind.value, item.identifier) for item in plan.items] == [
        ("sql", label),
        ("dynamodb", f"{house.name}-cars"),
        ("s3", house.cloud.bucket_name(house.name)),
    ]
    assert set(plan.items[0].detail["objects"]) >= {"table public.cars", "view public.fleet"}
    assert [spared.code for spared in plan.protected] == ["protected"]
    assert [spared.identifier.rsplit("/", 1)[1] for spared in plan.orphans] == [f"{house.name}-stray"]
    assert answer["size"] == plan.size == sum(answer["counts"].values())

    assert main(["scorch", house.name, "--plan"]) == 0
    said = capsys.readouterr().out
    for word in (plan.digest, label, "table public.cars", f"{house.name}-cars", "protected", "-stray"):
        assert word in said
    assert said.endswith("the night could carry it out\n")


def test_it_changes_nothing_in_aws_and_nothing_in_sql(house: House, capsys) -> None:
    house.provision()
    before = house.cloud.seen()
    databases = house.sql(None, "SELECT datname FROM pg_database ORDER BY 1")
    # The server itself refuses every statement that would change something.
    house.sql(None, f"ALTER DATABASE {house.database} SET default_transaction_read_only = on")
    with pytest.raises(InternalError, match="read-only transaction"):
        house.sql(house.database, "DROP TABLE cars")

    code, answer = asked(house, capsys)

    assert (code, answer["refusals"]) == (0, [])
    assert answer["size"] > 2
    assert house.cloud.seen() == before
    assert house.sql(None, "SELECT datname FROM pg_database ORDER BY 1") == databases


def test_what_stands_in_the_way_is_named_by_its_code_and_the_plan_is_still_shown(
    house: House, capsys
) -> None:
    house.provision()
    night = tonight(house.installation.settings.night, house.installation.clock()).key
    house.installation.leases.preserve(house.name, night, "dana", "load test")
    house.installation.switches.freeze("ops", "incident 42")
    house.installation.switches.disarm(house.cloud.account)
    house.write(scorch={"cap": 1})

    code, answer = asked(house, capsys)

    assert code == 1
    assert not answer["executable"]
    assert refusals(answer) == ["preserved", "frozen", "not_armed", "plan_too_large"]
    assert "dana (load test)" in answer["refusals"][0]["reason"]
    assert "incident 42" in answer["refusals"][1]["reason"]
    assert len(answer["plan"]["items"]) == 3
    assert main(["scorch", house.name, "--plan"]) == 1
    said = capsys.readouterr().out
    assert "plan_too_large" in said
    assert "carry it out" not in said


def test_a_step_at_work_and_a_database_of_somebody_else_refuse_it(house: House, capsys) -> None:
    house.provision()
    house.begin()
    house.sql(house.database, f"DELETE FROM {TABLE}")
    code, answer = asked(house, capsys)
    assert (code, refusals(answer)) == (1, ["op_busy", "marker_missing"])


def test_a_database_that_the_settings_forbid_refuses_it_as_the_night_would(house: House, capsys) -> None:
    house.provision()
    house.write(scorch={"forbidden": [house.url(house.database)]})
    code, answer = asked(house, capsys)
    assert (code, refusals(answer)) == (1, ["forbidden_database"])


def test_credentials_of_another_account_see_nothing(house: House, capsys, monkeypatch) -> None:
    house.provision()
    stranger = str(int(house.cloud.account) ^ 1).zfill(12)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", stranger)
    code, answer = asked(house, capsys)
    assert (code, refusals(answer), answer["plan"]) == (1, ["wrong_account"], None)
    calls = {call["action"] for call in house.cloud.emulator.journal(account=stranger)}
    assert calls == {"GetCallerIdentity"}
    assert main(["scorch", house.name, "--plan"]) == 1
    assert "nothing was looked at" in capsys.readouterr().out


def test_what_was_never_provisioned_has_nothing_to_lose(house: House, capsys) -> None:
    house.installation.switches.arm(house.cloud.account, "test")
    code, answer = asked(house, capsys)
    assert (code, answer["size"], answer["refusals"]) == (0, 0, [])
    assert main(["scorch", house.name, "--plan"]) == 0
    assert "never provisioned" in capsys.readouterr().out


def test_a_scorch_that_was_cut_off_is_said_to_come_first(house: House, capsys) -> None:
    house.provision()
    _, answer = asked(house, capsys)
    plan = answer["plan"]
    house.installation.scorch_plans.record(
        date(2026, 3, 5), house.name, Phase.REBUILD, digest=plan["digest"], size=answer["size"], plan=plan,
        status=PlanStatus.STARTED,
    )  # fmt: skip
    _, answer = asked(house, capsys)
    assert answer["unfinished"] == [
        {"night": "2026-03-05", "digest": plan["digest"], "size": answer["size"]}
    ]  # fmt: skip
    main(["scorch", house.name, "--plan"])
    said = capsys.readouterr().out
    assert f"first goes on with plan {plan['digest'][:12]} of the night 2026-03-05" in said


def test_without_plan_it_says_what_does_delete(house: House, capsys) -> None:
    assert main(["scorch", house.name]) == 2
    said = capsys.readouterr().err
    assert f"daybreak env rebuild {house.name}" in said
    assert "`nightly`" in said


def test_an_unknown_environment_and_aws_that_cannot_be_asked_are_one_line(house: House, capsys) -> None:
    assert main(["scorch", "dev-99", "--plan"]) == 2
    assert "no environment is called 'dev-99'" in capsys.readouterr().err
    accounts = {house.cloud.account: {"profile": "nobody"}}
    house.write(aws={"endpoint_url": house.cloud.endpoint_url, "accounts": accounts})
    assert main(["scorch", house.name, "--plan"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"daybreak: {house.name}: AWS cannot be asked: The config profile (nobody)")
    assert "Traceback" not in said
