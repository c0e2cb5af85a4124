"""Alembic's entry: run the migrations in the transaction that `registry.migrate` opened."""

from alembic import context

from daybreak.registry import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    transactional_ddl=True,
    # SQLite cannot ALTER most things; Alembic then copies the table.
    render_as_batch=context.config.attributes["connection"].dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
