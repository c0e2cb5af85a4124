"""Alembic's entry: run the migrations in the transaction that `registry.migrate` opened."""

from alembic import context

from daybreak.registry import merge_tables, tables  # noqa: F401  # imported to fill the metadata
from daybreak.registry.columns import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    # SQLite cannot ALTER most things; Alembic then copies the table.
    render_as_batch=context.config.attributes["connection"].dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
