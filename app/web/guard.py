"""Nothing that goes wrong is shown as a traceback: visitors get a plain sentence, the log gets the rest."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from annotations.patience import AWAY
from app.web.drawing import notice
from describe.errors import HeadscribeError

__all__ = ["guarded"]

_log = logging.getLogger("headscribe.app")


@contextmanager
def guarded() -> Iterator[None]:
    """Run a page, or a part that Streamlit reruns alone. Streamlit's own signals pass: they are no ``Exception``."""
    try:
        yield
    except HeadscribeError as error:
        notice(str(error), "bad")
    except AWAY:
        _log.exception("the database does not answer")
        notice(
            "The database does not answer just now. What was shown as saved is kept. Reload the page in a moment.",
            "bad",
        )
    except Exception:
        _log.exception("a page failed")
        notice("Something went wrong here, and was noted. What was shown as saved is kept. Reload the page.", "bad")
