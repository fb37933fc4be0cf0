"""How the catalogue's schema came to be: Alembic revisions, append only."""
