"""The queue can be paused, an entry held, a landing delegated; a request is carried out once."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("entries", sa.Column("url", sa.Text(), nullable=True))
    op.add_column("entries", sa.Column("person", sa.String(length=64), nullable=True))
    op.add_column("entries", sa.Column("held_by", sa.String(length=255), nullable=True))
    op.add_column("entries", sa.Column("hold_reason", sa.Text(), nullable=True))
    op.add_column("merge_events", sa.Column("request", sa.String(length=255), nullable=True))
    op.create_index("uq_merge_events_request", "merge_events", ["request"], unique=True)
    op.create_table(
        "merge_queue",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("paused_by", sa.String(length=255), nullable=True),
        sa.Column("pause_reason", sa.Text(), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("emergency", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_merge_queue")),
    )
    op.create_table(
        "delegations",
        sa.Column("pr", sa.Integer(), nullable=False),
        sa.Column("login", sa.String(length=255), nullable=False),
        sa.Column("by", sa.String(length=255), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("pr", "login", name=op.f("pk_delegations")),
    )


def downgrade() -> None:
    op.drop_table("delegations")
    op.drop_table("merge_queue")
    op.drop_index("uq_merge_events_request", "merge_events")
    op.drop_column("merge_events", "request")
    for column in ("hold_reason", "held_by", "person", "url"):
        op.drop_column("entries", column)
