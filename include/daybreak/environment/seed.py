"""Fill the data stores with fresh dummy data, as a resource's seed manifest says (docs/resource-contract.md).

Idempotent: a SQL table is emptied and filled in one transaction, items and objects are put under the same keys.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from daybreak.aws.batches import batches
from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Target
from daybreak.deploy.marker import require_marker
from daybreak.errors import DaybreakError

#: Rows of one INSERT; DynamoDB's limit for one BatchWriteItem is 25.
SQL_BATCH, DYNAMODB_BATCH = 500, 25


class SeedError(DaybreakError):
    """A seed manifest is wrong, or a store did not take its rows."""

    code = "seed_failed"


def seed(folder: Path, resource: CatalogResource, target: Target) -> dict[str, int]:
    """Fill everything that the manifest of ``resource`` names; returns the rows by store.

    :param folder: the resource's artifact, with ``seeds/`` in it.
    :raises SeedError: naming the manifest's entry.
    """
    manifest = folder / "seeds" / Path(str(resource.seeds)).name
    data = yaml.safe_load(manifest.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or data.get("version") != 1:
        raise SeedError(f"{resource.seeds}: expected `version: 1`")
    counts: dict[str, int] = {}
    for number, entry in enumerate(data.get("seeds", [])):
        where = f"{resource.seeds}: seeds[{number}]"
        try:
            rows = list(_rows(manifest.parent, entry))
            store, count = _fill(resource, entry, rows, target)
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise SeedError(f"{where}: {type(error).__name__}: {error}") from error
        target.log(f"seeded {store} with {count} rows")
        counts[store] = counts.get(store, 0) + count
    return counts


def _fill(
    resource: CatalogResource, entry: Mapping[str, Any], rows: list[dict[str, Any]], target: Target
) -> tuple[str, int]:
    if "sql" in entry:
        table = str(entry["sql"]["table"])
        return f"{resource.name}.{table}", _sql(resource, table, rows, target)
    if "dynamodb" in entry:
        table = _named(entry["dynamodb"]["table"], target)
        return table, _dynamodb(table, rows, target)
    if "s3" in entry:
        bucket, key = _named(entry["s3"]["bucket"], target), str(entry["s3"]["key"])
        target.guard()
        target.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(rows, default=str).encode())
        return f"s3://{bucket}/{key}", len(rows)
    raise ValueError("expected one of sql, dynamodb, s3")


def _named(text: Any, target: Target) -> str:
    environment = target.environment
    return str(text).replace("{environment}", environment.name).replace("{account}", environment.account)


def _sql(resource: CatalogResource, table: str, rows: list[dict[str, Any]], target: Target) -> int:
    from sqlalchemy import MetaData, Table, create_engine, delete
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    engine = create_engine(target.environment.database_url(resource.name), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            require_marker(connection, target.environment.name, {target.nonce})
            found = Table(table, MetaData(), autoload_with=connection)
            target.guard()
            connection.execute(delete(found))
            for batch in batches([_typed(found, row) for row in rows], SQL_BATCH):
                target.guard()
                connection.execute(found.insert(), batch)
    except SQLAlchemyError as error:
        raise ValueError(f"table {table}: {getattr(error, 'orig', error)}") from None
    finally:
        engine.dispose()
    return len(rows)


def _typed(table: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """CSV holds text; dates and numbers get the type of their column. An empty cell is NULL."""
    typed: dict[str, Any] = {}
    for name, value in row.items():
        kind = table.c[name].type.python_type
        if value is None or (value == "" and kind is not str):
            typed[name] = None
        elif isinstance(value, str) and kind is not str:
            typed[name] = (
                kind.fromisoformat(value)
                if hasattr(kind, "fromisoformat")
                else value.lower() in ("1", "true")
                if kind is bool
                else kind(value)
            )
        else:
            typed[name] = value
    return typed


def _dynamodb(table: str, rows: list[dict[str, Any]], target: Target) -> int:
    from boto3.dynamodb.types import TypeSerializer

    serializer = TypeSerializer()
    client = target.client("dynamodb")
    for batch in batches(rows, DYNAMODB_BATCH):
        left: list[Any] = [
            {"PutRequest": {"Item": {name: serializer.serialize(_number(v)) for name, v in row.items()}}}
            for row in batch
        ]
        for attempt in range(10):
            target.guard()
            answer = client.batch_write_item(RequestItems={table: left})
            left = answer.get("UnprocessedItems", {}).get(table, [])
            if not left:
                break
            _pause(attempt)
        if left:
            raise ValueError(f"table {table}: {len(left)} items were not taken after 10 tries")
    return len(rows)


def _pause(attempt: int) -> None:
    import time

    time.sleep(random.uniform(0, min(10.0, 0.2 * 2**attempt)))  # noqa: S311 - jitter


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(str(value))
    return value.isoformat() if isinstance(value, datetime) else value


def _rows(folder: Path, entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if "from" in entry:
        path = folder / str(entry["from"])
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                yield from csv.DictReader(file)
        elif path.suffix == ".json":
            yield from json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        else:
            raise ValueError(f"{path.name}: expected .csv or .json")
    elif "generate" in entry:
        yield from generate(entry["generate"])
    else:
        raise ValueError("expected `from` or `generate`")


def generate(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a ``generate`` block; the same ``seed`` gives the same rows.

    :raises ValueError: for an unknown kind of column.
    """
    from faker import Faker

    faker = Faker()
    faker.seed_instance(block["seed"])
    chance = random.Random(block["seed"])  # noqa: S311 - dummy data
    for index in range(int(block["rows"])):
        yield {name: _column(spec, index, faker, chance) for name, spec in block["columns"].items()}


def _column(spec: Any, index: int, faker: Any, chance: random.Random) -> Any:
    if not isinstance(spec, dict):
        return spec
    if "sequence" in spec:
        return int(spec["sequence"]) + index
    if "choice" in spec:
        return chance.choice(spec["choice"])
    if "uniform" in spec:
        low, high = spec["uniform"]
        return round(chance.uniform(low, high), 6)
    if "integer" in spec:
        low, high = spec["integer"]
        return chance.randint(low, high)
    if "datetime" in spec:
        start = datetime.fromisoformat(spec["datetime"]["start"])
        step = timedelta(seconds=float(spec["datetime"]["step_seconds"]))
        return (start + index * step).isoformat()
    if "faker" in spec:
        return getattr(faker, spec["faker"])(**spec.get("args", {}))
    raise ValueError(f"column {spec!r}: expected sequence, choice, uniform, integer, datetime or faker")
