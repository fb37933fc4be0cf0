"""The targets that a head suppresses, and calls entered in the ledger before they are sent."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("head", sa.Column("suppressed", sa.JSON, nullable=True))
    op.add_column("call", sa.Column("client_id", sa.String(36), nullable=True))
    op.create_index("ix_call_client_id", "call", ["client_id"], unique=True)
