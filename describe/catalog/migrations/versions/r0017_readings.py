"""A head's rows by distinctness, and the part that it writes whatever it reads."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("head", sa.Column("distinct_rows", sa.JSON, nullable=True))
    op.add_column("head", sa.Column("constant", sa.JSON, nullable=True))
