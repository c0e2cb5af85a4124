"""Seeds of SQL tables."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daybreak.aws.batches import batches
from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Target
from daybreak.deploy.marker import require_marker
from daybreak.environment.seeding.sources import Row

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection, Table

#: Rows of one INSERT.
BATCH = 500
_TRUE, _FALSE = {"1", "t", "true", "yes"}, {"0", "f", "false", "no"}


@dataclass(frozen=True)
class Load:
    """Rows for one table; ``schema.table`` outside of the default schema."""

    table: str
    rows: list[Row]


def fill(resource: CatalogResource, loads: Sequence[Load], target: Target) -> None:
    """Empty all tables, the last named first, then fill them in order: parents come before children.

    All in one transaction: readers see the old rows or the new ones.

    :raises ValueError: naming table and column.
    :raises Refused: when the database's marker is not this provisioning's.
    """
    from sqlalchemy import delete
    from sqlalchemy.exc import SQLAlchemyError

    from daybreak.deploy import connecting

    engine = connecting.engine(target.environment.database_url(resource.name))
    at = "the database"
    try:
        with engine.begin() as connection:
            require_marker(connection, target.environment.name, {target.nonce})
            tables = {load.table: _table(connection, load.table) for load in loads}
            for name, table in reversed(tables.items()):
                at = f"table {name}"
                target.guard()
                connection.execute(delete(table))
            for load in loads:
                at = f"table {load.table}"
                table = tables[load.table]
                typed = [_typed(table, row) for row in load.rows]
                # One INSERT names one set of columns; rows that leave some out get these columns' defaults.
                for _, alike in itertools.groupby(typed, key=tuple):
                    for batch in batches(alike, BATCH):
                        target.guard()
                        connection.execute(table.insert(), batch)
                _advance_sequences(connection, table, {name for row in typed for name in row})
    except SQLAlchemyError as error:
        raise ValueError(f"{at}: {str(getattr(error, 'orig', None) or error).strip()}") from None
    finally:
        engine.dispose()


def _table(connection: Connection, name: str) -> Table:
    from sqlalchemy import MetaData, Table
    from sqlalchemy.exc import NoSuchTableError

    schema, _, bare = name.rpartition(".")
    try:
        return Table(bare, MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False)
    except NoSuchTableError:
        raise ValueError(f"there is no table {name}; is its migration missing?") from None


def _typed(table: Table, row: Row) -> Row:
    typed = {}
    for name, value in row.items():
        if name not in table.c:
            raise ValueError(f"table {table.name} has no column {name}")
        try:
            typed[name] = _value(table.c[name], value)
        except (ValueError, ArithmeticError) as error:
            raise ValueError(f"table {table.name}, column {name}: {value!r}: {error}") from None
    return typed


def _value(column: Column[Any], value: Any) -> Any:
    """CSV holds text: it gets the type of its column, and an empty cell is NULL."""
    try:
        kind = column.type.python_type
    except NotImplementedError:
        return value
    if not isinstance(value, str) or kind is str:
        return value
    if value == "":
        return None
    # MySQL's BOOLEAN is a number to everybody but its users.
    if kind is bool or (kind is int and value.lower() in {"true", "false"}):
        if value.lower() not in _TRUE | _FALSE:
            raise ValueError("expected true or false")
        return value.lower() in _TRUE
    if kind in {dict, list}:
        return json.loads(value)
    if kind is bytes:
        return value.encode()
    return kind.fromisoformat(value) if hasattr(kind, "fromisoformat") else kind(value)


def _advance_sequences(connection: Connection, table: Table, given: set[str]) -> None:
    """Let the next generated id follow the seeded ones. PostgreSQL's sequences do not see explicit ids."""
    from sqlalchemy import func, select, text

    if connection.dialect.name != "postgresql":
        return
    quoted = connection.dialect.identifier_preparer.format_table(table)
    for column in table.primary_key.columns:
        if column.name not in given:
            continue
        find = text("SELECT pg_get_serial_sequence(:table, :column)")
        sequence = connection.execute(find, {"table": quoted, "column": column.name}).scalar()
        highest = connection.execute(select(func.max(column))).scalar() if sequence else None
        if highest is not None:
            connection.execute(
                text("SELECT setval(:sequence, :highest)"), {"sequence": sequence, "highest": highest}
            )
