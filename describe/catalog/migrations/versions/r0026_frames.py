"""The words of descriptions are entered anew: those of phrases around what is said rank behind all others."""

import sqlalchemy as sa
from alembic import op

from describe.catalog.passages import fill

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sa.text("DELETE FROM passage WHERE description_id IS NOT NULL"))
    fill(op.get_bind())
