"""Prompts: a template with ``<X>`` and the words that stand there, as token ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from describe.errors import InputError

__all__ = ["PAPER_TEMPLATES", "Prompt", "Template", "read_templates"]

PLACE = "<X>"

PAPER_TEMPLATES = (
    "This is a document about <X>",
    "No <X> means no",
    "The story of <X> contains",
    "When I think about <X> I think about",
)
"""The four templates of MAPS."""


class Prompt(NamedTuple):
    """A prompt's token ids, and the position of its source token among them (the last one of a longer entity)."""

    ids: tuple[int, ...]
    source: int


@dataclass(frozen=True)
class Template:
    """A text with one place for an entity, which always comes after a space.

    Attributes:
        before, after: the text around the place; the space before the place belongs to the entity.
    """

    before: str
    after: str

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a text with one ``<X>``. Raises `InputError` for anything else."""
        if text.count(PLACE) != 1:
            raise InputError(f"the template '{text[:80]}' must hold {PLACE} once, where the entity goes")
        before, after = text.split(PLACE)
        return cls(before.removesuffix(" "), after)

    def prompts(
        self,
        entities: Sequence[Sequence[int]],
        start: Callable[[str], list[int]],
        inside: Callable[[str], list[int]],
        examples: str = "",
    ) -> list[Prompt]:
        """The prompt of each entity, given by its token ids.

        Args:
            start: the ids of a text's beginning, with what the tokenizer puts before any text.
            inside: the ids of a text as it goes on.
            examples: what precedes the template.
        """
        before = tuple(start(examples + self.before))
        after = tuple(inside(self.after)) if self.after else ()
        return [Prompt((*before, *ids, *after), len(before) + len(ids) - 1) for ids in entities]


def read_templates(path: Path) -> list[str]:
    """The templates of a file: a JSON list of texts, or one text a line. Raises `InputError` when there is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"the templates in '{path}' cannot be read: {error}") from error
    try:
        found = json.loads(text)
    except ValueError:
        found = [line.strip() for line in text.splitlines() if line.strip()]
    if not (isinstance(found, list) and found and all(isinstance(entry, str) for entry in found)):
        raise InputError(f"'{path}' holds no templates: write a line, or a JSON list, of texts with {PLACE}")
    for entry in found:
        Template.parse(entry)
    return list(dict.fromkeys(found))
