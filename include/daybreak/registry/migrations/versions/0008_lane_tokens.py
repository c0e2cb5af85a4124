"""Attempts keep the tokens under which they asked AWS."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("tokens", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("attempts", "tokens")
