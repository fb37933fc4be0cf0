"""Lines of text to the terminal. Names of models, studies and files stand in them, which may be anything."""

from __future__ import annotations

import typer

from describe.text import printable

__all__ = ["say"]


def say(words: str = "", *, err: bool = False) -> None:
    """Print words, with what cannot be seen or would act on the terminal as escapes."""
    typer.echo(printable(words), err=err)
