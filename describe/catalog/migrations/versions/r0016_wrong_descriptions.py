"""A score's value for a wrong description by its own name: a placebo is a head, not a description."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("score", "placebo", new_column_name="wrong")
