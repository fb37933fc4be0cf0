"""Material for every study: the guideline, the consent text, practice items, obvious items."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from annotations.records import PracticeItem, Row, ScreeningItem

__all__ = ["catch_material", "consent_text", "guideline_text", "practice_items", "screening_items"]


@cache
def practice_items() -> tuple[PracticeItem, ...]:
    """The practice items, in order."""
    return tuple(
        PracticeItem(
            rows=tuple(Row(source, tuple(targets)) for source, targets in found["rows"]),
            inputs=found["inputs"],
            pattern=found["pattern"],
            presence=tuple(found["presence"]),
            fit=tuple(found["fit"]),
            feedback_a=found["feedback_a"],
            feedback_b=found["feedback_b"],
        )
        for found in json.loads(_read("practice.json"))
    )


@cache
def screening_items() -> tuple[tuple[ScreeningItem, ...], ...]:
    """The items of the check before the items, for each of its tries."""
    return tuple(
        tuple(
            ScreeningItem(
                rows=tuple(Row(source, tuple(targets)) for source, targets in found["rows"]),
                inputs=found["inputs"],
                pattern=found["pattern"],
                fit=tuple(found["fit"]),
            )
            for found in of_a_try
        )
        for of_a_try in json.loads(_read("screening.json"))
    )


@cache
def catch_material() -> dict[str, Any]:
    """Parts of obvious items: ``words`` of each operation, and ``items``."""
    found: dict[str, Any] = json.loads(_read("catch.json"))
    return found


def guideline_text() -> str:
    """The instructions that raters get unless a study brings its own (Markdown)."""
    return _read("guideline.md")


def consent_text() -> str:
    """The consent that raters give unless a study brings its own (Markdown)."""
    return _read("consent.md")


def _read(name: str) -> str:
    return (resources.files("annotations") / "data" / name).read_text(encoding="utf-8")
