"""``python -m app`` is ``headscribe``."""

from app.main import run

run()
