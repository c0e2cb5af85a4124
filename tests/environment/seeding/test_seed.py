"""Seeds: fresh rows in every store, the same ones each time, and clear words when a manifest is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.driver import Target
from daybreak.deploy.marker import write_marker
from daybreak.environment.seeding.seed import SeedError, put_items, seed
from daybreak.environment.seeding.sources import generate
from daybreak.errors import LostOp, Refused
from daybreak.settings import EnvironmentSettings
from tests.fixtures.cloud import Cloud, bucket, table

DB = CatalogResource("fleet_db", ResourceType.DATABASE, seeds="databases/fleet/seeds/seeds.yaml")
SCHEMA = """
CREATE TABLE vehicles (
  vin VARCHAR(20) PRIMARY KEY, electric BOOLEAN, since DATE, price DECIMAL(8,2), note VARCHAR(40));
CREATE TABLE drivers (
  id {serial} PRIMARY KEY, vin VARCHAR(20) NOT NULL REFERENCES vehicles (vin),
  name VARCHAR(80) DEFAULT 'nobody');
"""
MANIFEST = """
version: 1
seeds:
  - sql: {table: vehicles}
    from: vehicles.csv
  - sql: {table: drivers}
    generate: {rows: 1203, seed: 7, columns: {id: {sequence: 1}, vin: A-1, name: {faker: name}}}
  - sql: {table: drivers}
    from: drivers.json
"""
FILES = {
    "seeds.yaml": MANIFEST,
    "vehicles.csv": 'vin,electric,since,price,note\nA-1,true,2026-01-05,19.90,"a, b"\nA-2,0,,,\n',
    "drivers.json": '[{"id": 5000, "vin": "A-2", "name": "Ada"}, {"id": 5001, "vin": "A-2"}]',
}


class Sql:
    """One environment whose database has tables and marker."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder, self.log, self.lost = url, folder, [], None
        self.log: list[str]
        self.lost: Exception | None
        serial = "SERIAL" if "postgresql" in url else "INT AUTO_INCREMENT"
        with self.connect() as connection, connection.begin():
            for statement in filter(str.strip, SCHEMA.format(serial=serial).split(";")):
                connection.execute(text(statement))
            write_marker(connection, "dev-1", "n1")

    def connect(self) -> Any:
        return create_engine(self.url, poolclass=NullPool).connect()

    def all(self, query: str) -> list[Any]:
        with self.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def do(self, statement: str) -> None:
        with self.connect() as connection, connection.begin():
            connection.execute(text(statement))

    def guard(self) -> None:
        if self.lost:
            raise self.lost

    def seed(self, nonce: str = "n1", **files: str) -> dict[str, int]:
        for name, content in {**FILES, **files}.items():
            path = self.folder / "seeds" / name.replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        settings = EnvironmentSettings(name="dev-1", account="1" * 12, sql=SecretStr(self.url))
        target = Target(
            environment=settings, nonce=nonce, session=None, endpoint_url=None, stack={}, home=self.folder,
            guard=self.guard, log=self.log.append,
        )  # fmt: skip
        return seed(self.folder, DB, target)


@pytest.fixture(params=["fresh_postgres", "fresh_mariadb"])
def sql(request: pytest.FixtureRequest, tmp_path: Path) -> Sql:
    return Sql(request.getfixturevalue(request.param), tmp_path)


@pytest.fixture
def postgres(fresh_postgres: str, tmp_path: Path) -> Sql:
    return Sql(fresh_postgres, tmp_path)


def test_tables_hold_the_rows_with_the_types_of_their_columns(sql: Sql) -> None:
    counts = sql.seed()

    assert counts == {"fleet_db.vehicles": 2, "fleet_db.drivers": 1205}
    assert [
        (vin, bool(electric), str(since), str(price), note)
        for vin, electric, since, price, note in sql.all("SELECT * FROM vehicles ORDER BY vin")
    ] == [("A-1", True, "2026-01-05", "19.90", "a, b"), ("A-2", False, "None", "None", "")]
    assert sql.all("SELECT count(*), count(DISTINCT id) FROM drivers WHERE vin = 'A-1'") == [(1203, 1203)]
    assert sql.all("SELECT name FROM drivers WHERE id >= 5000 ORDER BY id") == [("Ada",), ("nobody",)]


def test_seeding_again_gives_the_same_rows_and_takes_foreign_ones_away(sql: Sql) -> None:
    sql.seed()
    before = sql.all("SELECT * FROM drivers ORDER BY id")
    sql.do("UPDATE drivers SET name = 'changed' WHERE id < 100")
    sql.do("INSERT INTO vehicles (vin) VALUES ('yesterday')")
    sql.do("INSERT INTO drivers (id, vin) VALUES (9999, 'yesterday')")

    sql.seed()

    assert sql.all("SELECT * FROM drivers ORDER BY id") == before
    assert sql.all("SELECT count(*) FROM vehicles") == [(2,)]


def test_generated_ids_follow_the_seeded_ones(sql: Sql) -> None:
    sql.seed()
    sql.do("INSERT INTO drivers (vin) VALUES ('A-1')")
    assert sql.all("SELECT max(id) FROM drivers") == [(5002,)]


def test_one_bad_row_leaves_everything_as_it_was(sql: Sql) -> None:
    sql.seed()
    with pytest.raises(
        SeedError, match=r"databases/fleet/seeds/seeds\.yaml: table drivers: .*foreign key constraint"
    ):
        sql.seed(drivers__json='[{"id": 7000, "vin": "nothing-has-this"}]')
    assert sql.all("SELECT count(*) FROM drivers") == [(1205,)]


def test_a_database_of_another_provisioning_is_refused(sql: Sql) -> None:
    sql.seed()
    with pytest.raises(Refused):
        sql.seed(nonce="n2", vehicles__csv="vin\nX\n")
    assert sql.all("SELECT count(*) FROM vehicles") == [(2,)]


def test_who_lost_the_op_seeds_nothing(sql: Sql) -> None:
    sql.lost = LostOp("another try works here")
    with pytest.raises(LostOp):
        sql.seed()
    assert sql.all("SELECT count(*) FROM vehicles") == [(0,)]


def entry(text: str) -> str:
    return f"version: 1\nseeds:\n  - {text}\n"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"seeds__yaml": "version: 2\nseeds: []"}, r"seeds\.yaml:1: expected `version: 1`"),
        ({"seeds__yaml": "{"}, r"seeds\.yaml cannot be read"),
        ({"seeds__yaml": entry("mongo: {}")}, r"seeds\.yaml:3: expected exactly one of sql, dynamodb, s3"),
        ({"seeds__yaml": entry("{sql: {table: t}, form: x.csv}")}, r"seeds\.yaml:3: no such field: form"),
        (
            {"seeds__yaml": entry("{sql: {}, from: vehicles.csv}")},
            r"seeds\.yaml:3: sql\.table: expected a text",
        ),
        (
            {"seeds__yaml": entry("sql: {table: vehicles}")},
            r"seeds\.yaml:3: expected either `from` or `generate`",
        ),
        (
            {"seeds__yaml": entry("{sql: {table: v}, from: ../../x.csv}")},
            r"seeds\.yaml:3: from: .* is outside",
        ),
        (
            {"seeds__yaml": entry("{sql: {table: v}, from: gone.csv}")},
            r"seeds\.yaml:3: from: gone\.csv does not exist",
        ),
        ({"seeds__yaml": entry("{sql: {table: trucks}, from: vehicles.csv}")}, "there is no table trucks"),
        ({"vehicles__csv": "vin,wheels\nA-1,4\n"}, "table vehicles has no column wheels"),
        ({"vehicles__csv": "vin,since\nA-1,yesterday\n"}, "table vehicles, column since: 'yesterday'"),
        ({"vehicles__csv": "vin,price\nA-1,cheap\n"}, "table vehicles, column price: 'cheap'"),
        ({"vehicles__csv": "vin,note\nA-1\n"}, r"vehicles\.csv:2: not as many cells"),
        ({"drivers__json": "{}"}, r"drivers\.json: expected a list of objects"),
    ],
)
def test_a_wrong_manifest_is_named_with_file_and_field(
    postgres: Sql, files: dict[str, str], message: str
) -> None:
    with pytest.raises(SeedError, match=message):
        postgres.seed(**files)


def block(**columns: Any) -> dict[str, Any]:
    return {"rows": 50, "seed": 20, "columns": columns}


def test_a_block_generates_the_same_rows_from_the_same_seed() -> None:
    columns = {
        "id": {"sequence": 5},
        "vin": {"faker": "bothify", "args": {"text": "ACME####"}},
        "lat": {"uniform": [31, 32]},
        "seats": {"integer": [2, 7]},
        "status": {"choice": ["moving", "parked"]},
        "source": "generated",
        "at": {"datetime": {"start": "2026-01-05T06:00:00+00:00", "step_seconds": 30}},
    }
    rows = list(generate(block(**columns)))

    assert rows == list(generate(block(**columns)))
    assert rows != list(generate({**block(**columns), "seed": 21}))
    assert [row["id"] for row in rows] == list(range(5, 55))
    assert rows[2]["at"] == "2026-01-05T06:01:00+00:00"
    assert all(
        31 <= row["lat"] <= 32 and 2 <= row["seats"] <= 7 and row["source"] == "generated" for row in rows
    )
    assert {row["status"] for row in rows} == {"moving", "parked"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"faker": "no_such_provider"}, r"generate\.columns\.x: .*no_such_provider"),
        ({"faker": "bothify", "args": {"txt": "#"}}, r"generate\.columns\.x: .*txt"),
        ({"uniform": ["low", "high"]}, r"generate\.columns\.x: .*could not convert"),
        ({"datetime": {"start": "soon", "step_seconds": 1}}, r"generate\.columns\.x: .*soon"),
        ({"choice": []}, r"generate\.columns\.x: .*expected sequence, choice"),
        ({"random": 1}, r"generate\.columns\.x: .*expected sequence, choice"),
    ],
)
def test_a_wrong_column_is_named(spec: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(generate(block(x=spec)))


def test_a_block_without_a_seed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"generate\.seed: expected a value of type int"):
        list(generate({"rows": 1, "columns": {}}))


POSITIONS = """
version: 1
seeds:
  - dynamodb: {table: "{environment}-positions"}
    from: positions.json
  - dynamodb: {table: "{environment}-positions"}
    generate: {rows: 60, seed: 3, columns: {
      id: {faker: bothify, args: {text: "??????????"}}, lat: {uniform: [1, 2]}}}
  - s3: {bucket: "{environment}-{account}", key: reference/zones.bin}
    from: zones.bin
  - s3: {bucket: "{environment}-{account}", key: "{environment}/rows.jsonl"}
    generate: {rows: 3, seed: 3, columns: {id: {sequence: 1}, at: {faker: date_object}}}
"""
INFRA = CatalogResource("infra", ResourceType.INFRA, seeds="infra/seeds/seeds.yaml")


@pytest.fixture
def seed_cloud(cloud: Cloud, tmp_path: Path) -> Callable[..., dict[str, int]]:
    cloud.make({"Positions": table("dev-1-positions"), "Lake": bucket(cloud.bucket_name("dev-1"))})
    folder = tmp_path / "artifact" / "seeds"
    folder.mkdir(parents=True)
    (folder / "zones.bin").write_bytes(b"\0\1")
    (folder / "seeds.yaml").write_text(POSITIONS)
    (folder / "positions.json").write_text(
        '[{"id": "a", "lat": 1.5, "tags": ["x", {"deep": 0.1}]}, {"id": "b"}]'
    )

    def run(**changes: Any) -> dict[str, int]:
        return seed(folder.parent, INFRA, replace(cloud.target(), **changes))

    return run


def test_items_and_objects_are_there_and_seeding_twice_is_seeding_once(
    cloud: Cloud, seed_cloud: Callable[..., dict[str, int]]
) -> None:
    lake = cloud.bucket_name("dev-1")
    for _ in range(2):
        counts = seed_cloud()
        assert counts == {
            "dev-1-positions": 62,
            f"s3://{lake}/reference/zones.bin": 1,
            f"s3://{lake}/dev-1/rows.jsonl": 3,
        }

    dynamodb, s3 = cloud.client("dynamodb"), cloud.client("s3")
    assert dynamodb.scan(TableName="dev-1-positions", Select="COUNT")["Count"] == 62
    item = dynamodb.get_item(TableName="dev-1-positions", Key={"id": {"S": "a"}})["Item"]
    assert item["lat"] == {"N": "1.5"}
    assert item["tags"] == {"L": [{"S": "x"}, {"M": {"deep": {"N": "0.1"}}}]}
    assert s3.get_object(Bucket=lake, Key="reference/zones.bin")["Body"].read() == b"\0\1"
    lines = s3.get_object(Bucket=lake, Key="dev-1/rows.jsonl")["Body"].read().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 2, 3]


def test_items_are_written_in_full_batches(cloud: Cloud, seed_cloud: Callable[..., dict[str, int]]) -> None:
    seed_cloud()
    # 2 rows, then 60 in lists of at most 25.
    assert cloud.mutations.count("dynamodb.BatchWriteItem") == 4


def test_a_table_that_is_missing_is_named_with_file_and_line(
    cloud: Cloud, seed_cloud: Callable[..., dict[str, int]]
) -> None:
    cloud.client("dynamodb").delete_table(TableName="dev-1-positions")
    with pytest.raises(SeedError, match=r"infra/seeds/seeds\.yaml:4: there is no table dev-1-positions"):
        seed_cloud()


def test_a_lost_op_stops_the_next_batch(cloud: Cloud, seed_cloud: Callable[..., dict[str, int]]) -> None:
    def lost() -> None:
        raise LostOp("another try works here")

    with pytest.raises(LostOp):
        seed_cloud(guard=lost)
    assert cloud.client("dynamodb").scan(TableName="dev-1-positions", Select="COUNT")["Count"] == 0


class Stubborn:
    """A table that leaves some items of a batch over; the emulator takes everything at once."""

    class exceptions:
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self, leaves: list[int]) -> None:
        self.leaves, self.sent = leaves, []
        self.sent: list[int]

    def describe_table(self, **_: Any) -> Any:
        return {
            "Table": {
                "KeySchema": [{"AttributeName": "id"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "N"}],
            }
        }

    def batch_write_item(self, RequestItems: Any) -> Any:
        [(name, requests)] = RequestItems.items()
        self.sent.append(len(requests))
        left = requests[: self.leaves.pop(0) if self.leaves else 0]
        return {"UnprocessedItems": {name: left} if left else {}}


def test_items_that_were_left_over_are_sent_again_after_a_pause() -> None:
    stubborn, slept = Stubborn([3, 2]), []
    assert put_items(stubborn, "t", [{"id": n} for n in range(10)], slept.append) == 10
    assert stubborn.sent == [10, 3, 2]
    assert len(slept) == 2


def test_items_that_are_never_taken_are_an_error() -> None:
    with pytest.raises(ValueError, match="table t: 1 items were not taken after 10 tries"):
        put_items(Stubborn([1] * 99), "t", [{"id": 1}], lambda _: None)


def test_a_key_twice_is_one_item_and_a_missing_key_an_error() -> None:
    stubborn = Stubborn([])
    # From CSV a number of the key comes as text.
    assert put_items(stubborn, "t", [{"id": "1"}, {"id": 1}]) == 1
    with pytest.raises(ValueError, match="a row has no id"):
        put_items(stubborn, "t", [{"name": "x"}])
