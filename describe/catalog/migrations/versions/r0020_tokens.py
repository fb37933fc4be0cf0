"""Which tokens count in an extraction, and a head's rows by what it suppresses."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("extraction", sa.Column("tokens", sa.JSON, nullable=True))
    op.add_column("head", sa.Column("suppressing_rows", sa.JSON, nullable=True))
