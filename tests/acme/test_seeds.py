"""acme's generated rows: dummy data that looks alive, and is the same every morning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from daybreak.environment.seeding.sources import Row, generate

ACME = Path(__file__).parents[2] / "examples" / "acme"
MANIFESTS = sorted(ACME.rglob("seeds.yaml"))


def blocks() -> dict[str, dict[str, Any]]:
    """The ``generate`` blocks of all manifests, by table."""
    entries = [entry for path in MANIFESTS for entry in yaml.safe_load(path.read_text())["seeds"]]
    return {
        (entry.get("sql") or entry["dynamodb"])["table"]: entry["generate"]
        for entry in entries
        if "generate" in entry
    }


def varied(rows: list[Row]) -> dict[str, list[Any]]:
    """The columns in which rows differ, as texts."""
    columns = {name: [str(row[name]) for row in rows] for name in rows[0]}
    return {name: values for name, values in columns.items() if len(set(values)) > 1}


def test_acme_generates_for_more_than_one_table() -> None:
    assert set(blocks()) == {"drivers", "{environment}-positions"}


@pytest.mark.parametrize("table", blocks())
def test_the_same_seed_gives_the_same_rows_and_another_seed_others(table: str) -> None:
    block = blocks()[table]
    rows = list(generate(block))
    assert len(rows) == block["rows"]
    assert list(generate(block)) == rows
    others = list(generate({**block, "seed": block["seed"] + 1}))
    # Counted columns are the same by design; what is drawn is not.
    drawn = [name for name, spec in block["columns"].items() if {"faker", "uniform", "choice"} & set(spec)]
    assert drawn
    for name in drawn:
        assert [row[name] for row in rows] != [row[name] for row in others], name


def test_no_column_of_one_table_repeats_one_of_another() -> None:
    drivers, positions = (varied(list(generate(block))) for block in blocks().values())
    for one, left in drivers.items():
        for two, right in positions.items():
            assert left[: len(right)] != right[: len(left)], f"{one} is {two}"


def test_the_rows_of_a_table_differ_from_each_other() -> None:
    for table, block in blocks().items():
        rows = list(generate(block))
        assert len({tuple(row.items()) for row in rows}) == len(rows), table
        for name, values in varied(rows).items():
            assert len(set(values)) >= 3, f"{table}.{name}"
