"""The task of the requests of a batch: judging and comparing wait in batches as describing does."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batch", sa.Column("task", sa.String(64), nullable=False, server_default="describe"))
