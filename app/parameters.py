"""Rules for every option and argument of every command, looked at once they are parsed: numbers and paths."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

__all__ = ["check_parameters"]

MOST = 2**31 - 1
"""The greatest whole number that every database keeps."""


def check_parameters(command: Any) -> Any:
    """Have a command and those below it refuse what no option can mean: in one line, before anything is done.

    Numbers are finite, whole ones no greater than `MOST`; a path is one that the system can have.
    """
    for parameter in command.params:
        parameter.callback = _checking(parameter.callback)
    for below in getattr(command, "commands", {}).values():
        check_parameters(below)
    return command


def _checking(callback: Callable[..., Any] | None) -> Callable[..., Any]:
    """Check a value before, and as, its own callback does."""

    def check(context: Any, parameter: Any, value: Any) -> Any:
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if (reason := _reason(each)) is not None:
                raise typer.BadParameter(reason, ctx=context, param=parameter)
        return value if callback is None else callback(context, parameter, value)

    return check


def _reason(value: Any) -> str | None:
    """Why a value cannot be; None where it can."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number."
    if isinstance(value, int) and abs(value) > MOST:
        return f"{str(value)[:40]} is more than {MOST}."
    if isinstance(value, Path):
        if "\0" in str(value):
            return "a path has no NUL."
        try:
            value.expanduser().exists()
        except (OSError, RuntimeError) as error:
            return f"'{str(value)[:80]}' cannot be: {getattr(error, 'strerror', None) or error}."
    return None
