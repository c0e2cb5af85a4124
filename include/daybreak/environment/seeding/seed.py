"""Fill the data stores with fresh dummy data, as a resource's seed manifest says (docs/resource-contract.md).

Idempotent: all SQL tables of a manifest are emptied and filled in one transaction; items and objects are put
under the same keys. Nobody ever sees a half-filled database.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from daybreak.aws.batches import batches
from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Target
from daybreak.environment.seeding import sql
from daybreak.environment.seeding.sources import Row, rows, source
from daybreak.errors import DaybreakError

#: DynamoDB's limit for one BatchWriteItem, and how often what it left over is sent again.
DYNAMODB_BATCH, DYNAMODB_TRIES = 25, 10


class SeedError(DaybreakError):
    """A seed manifest is wrong, or a store did not take its rows."""

    code = "seed_failed"


@dataclass(frozen=True)
class _Entry:
    """One entry of the manifest; ``where`` names file and line."""

    where: str
    data: Mapping[str, Any]
    folder: Path

    def text(self, store: str, field: str) -> str:
        value = self.data[store].get(field) if isinstance(self.data[store], dict) else None
        if not isinstance(value, str) or not value:
            raise ValueError(f"{store}.{field}: expected a text, found {value!r}")
        return value


def seed(folder: Path, resource: CatalogResource, target: Target) -> dict[str, int]:
    """Fill everything that the manifest of ``resource`` names; returns the rows by store.

    :param folder: the resource's artifact, with ``seeds/`` in it.
    :raises SeedError: naming manifest, line and field.
    :raises Refused: when a database's marker is not this provisioning's.
    """
    entries = _read(folder / "seeds" / Path(str(resource.seeds)).name, str(resource.seeds))
    counts: dict[str, int] = {}

    def count(store: str, number: int) -> None:
        counts[store] = counts.get(store, 0) + number
        target.log(f"seeded {store} with {number} rows")

    tables = [entry for entry in entries if "sql" in entry.data]
    if tables:
        loads = [sql.Load(*_of(entry, _load)) for entry in tables]
        try:
            sql.fill(resource, loads, target)
        except ValueError as error:
            raise SeedError(f"{resource.seeds}: {error}") from None
        for load in loads:
            count(f"{resource.name}.{load.table}", len(load.rows))
    for entry in entries:
        if "sql" not in entry.data:
            store, number = _of(entry, lambda entry: _fill(entry, target))
            count(store, number)
    return counts


def _of(entry: _Entry, work: Callable[[_Entry], tuple[Any, Any]]) -> tuple[Any, Any]:
    """Do ``work``, and name the entry when it fails."""
    try:
        return work(entry)
    except (ClientError, BotoCoreError, ValueError, TypeError, ArithmeticError, OSError) as error:
        raise SeedError(f"{entry.where}: {error}") from error


def _read(path: Path, shown: str) -> list[_Entry]:
    try:
        text = path.read_text(encoding="utf-8")
        data, node = yaml.safe_load(text), yaml.compose(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SeedError(f"{shown} cannot be read: {error}") from None
    if not isinstance(data, dict) or data.get("version") != 1 or not isinstance(data.get("seeds"), list):
        raise SeedError(f"{shown}:1: expected `version: 1` and a list `seeds`")
    assert isinstance(node, yaml.MappingNode)
    listed = next(value for name, value in node.value if name.value == "seeds")
    entries = []
    for item, place in zip(data["seeds"], listed.value, strict=True):
        where = f"{shown}:{place.start_mark.line + 1}"
        if not isinstance(item, dict) or len({"sql", "dynamodb", "s3"} & set(item)) != 1:
            raise SeedError(f"{where}: expected exactly one of sql, dynamodb, s3")
        unknown = sorted(set(item) - {"sql", "dynamodb", "s3", "from", "generate"})
        if unknown:
            raise SeedError(f"{where}: no such field: {unknown[0]}")
        entries.append(_Entry(where, item, path.parent))
    return entries


def _load(entry: _Entry) -> tuple[str, list[Row]]:
    return entry.text("sql", "table"), _rows(entry)


def _rows(entry: _Entry) -> list[Row]:
    return list(rows(entry.folder, entry.data))


def _fill(entry: _Entry, target: Target) -> tuple[str, int]:
    if "dynamodb" in entry.data:
        table = _named(entry.text("dynamodb", "table"), target)
        return table, put_items(target.client("dynamodb"), table, _rows(entry))
    bucket, key = _named(entry.text("s3", "bucket"), target), _named(entry.text("s3", "key"), target)
    body, number = _object(entry, key)
    target.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return f"s3://{bucket}/{key}", number


def _named(text: str, target: Target) -> str:
    environment = target.environment
    return text.replace("{environment}", environment.name).replace("{account}", environment.account)


def _object(entry: _Entry, key: str) -> tuple[bytes, int]:
    """A file goes up as it is; generated rows are JSON, one on each line where the key ends in ``.jsonl``."""
    if "from" in entry.data:
        path = source(entry.folder, entry.data)
        known = path.suffix in {".csv", ".json"}
        return path.read_bytes(), len(_rows(entry)) if known else 1
    found = [{name: _plain(value) for name, value in row.items()} for row in _rows(entry)]
    if key.endswith(".jsonl"):
        return "".join(f"{json.dumps(row)}\n" for row in found).encode(), len(found)
    return json.dumps(found).encode(), len(found)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value) if isinstance(value, date) else value


def put_items(
    client: Any,
    table: str,
    found: Sequence[Row],
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Put all rows under their primary key, the last one of a key wins; how many items there are then.

    :raises ValueError: when the table is not there, a key is missing, or items are left over after all tries.
    """
    from boto3.dynamodb.types import TypeSerializer

    serializer = TypeSerializer()
    try:
        described = client.describe_table(TableName=table)["Table"]
    except client.exceptions.ResourceNotFoundException:
        raise ValueError(f"there is no table {table}") from None
    keys = [key["AttributeName"] for key in described["KeySchema"]]
    numbers = {
        each["AttributeName"] for each in described["AttributeDefinitions"] if each["AttributeType"] == "N"
    }
    items: dict[tuple[Any, ...], Any] = {}
    for row in found:
        missing = [key for key in keys if row.get(key) is None or row[key] == ""]
        if missing:
            raise ValueError(f"table {table}: a row has no {missing[0]}, which is part of the primary key")
        typed = {name: _attribute(value, name in numbers) for name, value in row.items()}
        # One request may not name a key twice.
        items[tuple(typed[key] for key in keys)] = {
            name: serializer.serialize(value) for name, value in typed.items()
        }
    for batch in batches(items.values(), DYNAMODB_BATCH):
        left: list[Any] = [{"PutRequest": {"Item": item}} for item in batch]
        for attempt in range(DYNAMODB_TRIES):
            answer = client.batch_write_item(RequestItems={table: left})
            left = answer.get("UnprocessedItems", {}).get(table, [])
            if not left:
                break
            sleep(random.uniform(0, min(10.0, 0.2 * 2**attempt)))  # noqa: S311 - jitter
        else:
            raise ValueError(f"table {table}: {len(left)} items were not taken after {DYNAMODB_TRIES} tries")
    return len(items)


def _attribute(value: Any, number: bool) -> Any:
    """As DynamoDB knows it: numbers are Decimal, instants text; CSV has numbers of the key as text."""
    if isinstance(value, dict):
        return {name: _attribute(each, False) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_attribute(each, False) for each in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, float) or (number and isinstance(value, str)):
        return Decimal(str(value))
    return value
