"""Questions about the rater, asked once, of studies that want them; each may be left open. None tells who it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from describe.errors import InputError

__all__ = ["ABOUT", "checked_about"]


class Asked(NamedTuple):
    """A question in words, and its answers."""

    words: str
    answers: tuple[str, ...]


ABOUT = {
    "english": Asked("How well do you read English?", ("first language", "fluently", "well", "with effort")),
    "models": Asked(
        "What do you know of how language models work?",
        ("nothing", "a little", "I have studied it", "I work with them"),
    ),
    "linguistics": Asked("Have you studied languages or linguistics?", ("no", "some courses", "a degree")),
}


def checked_about(told: Mapping[str, str]) -> dict[str, str]:
    """Answers to `ABOUT`, those left open left out. Raises `InputError` for any other question or answer."""
    for name, answer in told.items():
        if name not in ABOUT or answer not in ABOUT[name].answers:
            raise InputError(f"'{answer}' is no answer about the rater for '{name}'")
    return dict(told)
