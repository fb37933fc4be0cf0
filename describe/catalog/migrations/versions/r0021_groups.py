"""The kind of head that a description says it is of, and the rows that do one thing together."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("description", sa.Column("kind", sa.String(16)))
    op.add_column("description", sa.Column("groups", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("description", sa.Column("covered", sa.Float))
