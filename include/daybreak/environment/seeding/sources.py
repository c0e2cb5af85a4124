"""Where the rows of seeds come from: CSV, JSON, or a ``generate`` block."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def rows(folder: Path, entry: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of one entry of a manifest.

    :param folder: where the manifest stands.
    :raises ValueError: naming the field that is wrong.
    """
    if ("from" in entry) == ("generate" in entry):
        raise ValueError("expected either `from` or `generate`")
    if "generate" in entry:
        yield from generate(entry["generate"])
        return
    path = source(folder, entry)
    if path.suffix == ".csv":
        yield from _csv(path)
    elif path.suffix == ".json":
        data = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
            raise ValueError(f"{path.name}: expected a list of objects")
        yield from data
    else:
        raise ValueError(f"from: {path.name}: expected .csv or .json")


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(f"{path.name}:{reader.line_num}: not as many cells as the header has")
                yield row
        except csv.Error as error:
            raise ValueError(f"{path.name}:{reader.line_num}: {error}") from None


def source(folder: Path, entry: Mapping[str, Any]) -> Path:
    """The file that ``from`` names; raises :class:`ValueError` when not beside or below the manifest."""
    path = (folder / str(entry["from"])).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"from: {entry['from']} is outside of the manifest's folder")
    if not path.is_file():
        raise ValueError(f"from: {entry['from']} does not exist beside the manifest")
    return path


def generate(block: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of a ``generate`` block; the same ``seed`` gives the same rows.

    :raises ValueError: naming the column or field that is wrong.
    """
    from faker import Faker

    for name, kind in (("rows", int), ("seed", int), ("columns", dict)):
        if not isinstance(block, dict) or not isinstance(block.get(name), kind):
            raise ValueError(f"generate.{name}: expected a value of type {kind.__name__}")
    faker = Faker()
    faker.seed_instance(block["seed"])
    chance = random.Random(block["seed"])  # noqa: S311 - dummy data
    columns = {name: _column(name, spec, faker, chance) for name, spec in block["columns"].items()}
    faker.seed_instance(block["seed"])  # checking the columns has used it
    for index in range(block["rows"]):
        yield {name: value(index) for name, value in columns.items()}


def _column(name: str, spec: Any, faker: Any, chance: random.Random) -> Callable[[int], Any]:
    """What makes the values of a column from a row's number."""
    if not isinstance(spec, dict):
        return lambda _: spec
    try:
        return _maker(spec, faker, chance)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"generate.columns.{name}: {spec!r}: {error}") from None


def _maker(spec: Mapping[str, Any], faker: Any, chance: random.Random) -> Callable[[int], Any]:
    match spec:
        case {"sequence": int(start)}:
            return lambda index: start + index
        case {"choice": list(values)} if values:
            return lambda _: chance.choice(values)
        case {"uniform": [low, high]}:
            least, most = float(low), float(high)
            return lambda _: round(chance.uniform(least, most), 6)
        case {"integer": [int(low), int(high)]}:
            return lambda _: chance.randint(low, high)
        case {"datetime": {"start": start, "step_seconds": step}}:
            first, seconds = datetime.fromisoformat(str(start)), float(step)
            return lambda index: (first + timedelta(seconds=index * seconds)).isoformat()
        case {"faker": str(provider)}:
            method, arguments = getattr(faker, provider), dict(spec.get("args", {}))
            method(**arguments)  # wrong arguments are found here, where the column is known
            return lambda _: method(**arguments)
    raise ValueError("expected sequence, choice, uniform, integer, datetime or faker")
