"""Where a head looks: its attention on text and on random tokens, in figures, kinds, pairs of tokens and contexts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from describe.attention import SAYS, Attended, Context, HeadAttention, Spread, TokenClass, TokenPair
from describe.head_record.form import Json, Record
from describe.head_record.relations import Run
from describe.text import quoted, visible
from describe.values import Count, Number, Several, Share, Size, Text, Word

__all__ = ["AttentionFound", "AttentionProvenance", "AttentionRecord", "ContextRecord", "FigureRecord", "PairRecord"]


LEAST_TOLD = 0.005
"""Of the attention of a place, less is not told: it would be written as none."""


class FigureRecord(Record):
    """One figure of where the head looks, over the documents of one text."""

    mean: Number | None
    """mean over documents; null where none has what the figure asks for"""

    sd: Number | None
    """standard deviation over documents"""

    uniform: Number | None
    """of a head that attends to all tokens so far alike, on the same documents"""


class PairRecord(Record):
    """A token from which the head looks, and one that it looks at, the first token of a text left out."""

    source: Text
    """the token from which it looks"""

    target: Text
    """the token that it looks at"""

    count: Size
    """how many of its strongest looks are such a pair"""

    attention: Share
    """mean attention of these"""

    strength: Share
    """attention times the length of what is written for it, as a share of that of all its strongest looks"""


class ClassRecord(Record):
    """A class of tokens on one side of the head's strongest looks, more often than the text has it."""

    side: Literal["from", "at"]
    """whether the head looks from such tokens, or at them"""

    name: Word
    """a machine word"""

    words: Text
    """what the tokens are called"""

    count: Count
    """how many of its strongest looks"""

    looks: Count
    """of so many"""

    expected: Share
    """the share of the text's tokens that are such"""

    effect: Number
    """Cohen's h, from the expected to the observed share"""

    q_value: Share
    """after Benjamini and Hochberg, over all classes, sides and heads of the model"""


class AttendedRecord(Record):
    """A token of a context at which the head looks."""

    place: Count
    """which of the tokens"""

    attention: Share
    """how much of the attention goes there"""


class ContextRecord(Record):
    """A place of a text from which the head looks, with some of the text before it."""

    tenth: Count
    """by strength among places drawn at random, from 1, the weakest, to 10; 0: one of the strongest of all"""

    tokens: Several[Text]
    """tokens of the text, in order"""

    cut: Count | None
    """the token before which some of the text is left out; null where none is"""

    query: Count
    """which of the tokens the head looks from"""

    attended: Several[AttendedRecord]
    """at which it looks, and how much of its attention goes there, the strongest first"""

    text: Text
    """of what kind of text; empty where that is not known"""

    @property
    def key(self) -> int | None:
        """Which of the tokens it looks at most."""
        return self.attended[0].place if self.attended else None

    @property
    def shades(self) -> list[float]:
        """For every token, how much of the attention goes there, as far as that is kept."""
        by_place = {one.place: one.attention for one in self.attended}
        return [by_place.get(place, 0.0) for place in range(len(self.tokens))]

    @property
    def plain(self) -> Context:
        """The context as the parts below the records have it."""
        attended = tuple(Attended(one.place, one.attention) for one in self.attended)
        return Context(self.tenth, tuple(self.tokens), self.cut, self.query, attended, self.text)

    @property
    def told(self) -> str:
        """In one line, for who sees no shades: from which token, at which, how strongly."""
        told = (one for one in self.attended if one.attention >= LEAST_TOLD)
        looks = ", ".join(f"{quoted(self.tokens[one.place])} {one.attention:.2f}" for one in told)
        return f"from {quoted(self.tokens[self.query])} at {looks or 'nothing much'}"


class AttentionRecord(Record):
    """Where the head looks while the model runs."""

    kinds: Several[Word]
    """kinds of head, as the field names them; none is an answer"""

    halves: Several[Several[Word]]
    """the kinds by every other document, and by the others"""

    figures: dict[Word, dict[Word, FigureRecord]]
    """by text (`text`, `shuffled`: its tokens in random order, `random`: random tokens that come twice) and figure"""

    pairs: Several[PairRecord]
    """the pairs of tokens that it connects most strongly"""

    contexts: Several[ContextRecord]
    """the strongest, then one of each tenth"""

    held_out: Several[ContextRecord]
    """strong contexts of other documents, which no describer has seen"""

    classes: Several[ClassRecord]
    """classes of tokens from which it looks, and at which, beyond the text's own frequencies"""

    @classmethod
    def of_head(cls, head: HeadAttention) -> AttentionRecord:
        """The record of what was found of a head."""
        found: Json = asdict(head)
        return cls.of(**{name: value for name, value in found.items() if name not in ("layer", "head")})

    def of_id(self, layer: int, head: int) -> HeadAttention:
        """Where this head looks, as the parts below the records have it."""
        return HeadAttention(
            layer,
            head,
            tuple(self.kinds),
            (tuple(self.halves[0]), tuple(self.halves[1])) if len(self.halves) == 2 else ((), ()),
            {of: {name: Spread(**dict(one)) for name, one in named.items()} for of, named in self.figures.items()},
            tuple(TokenPair(**dict(pair)) for pair in self.pairs),
            tuple(context.plain for context in self.contexts),
            tuple(context.plain for context in self.held_out),
            tuple(TokenClass(**dict(one)) for one in self.classes),
        )

    @property
    def names(self) -> str:
        """The kinds by name."""
        return ", ".join(visible(kind) for kind in self.kinds) or "none"

    @property
    def words(self) -> str:
        """The kinds, and what a head of each does; with the first token's share, where that is no kind already."""
        said = [f"{visible(kind)}: {SAYS[kind]}" if kind in SAYS else visible(kind) for kind in self.kinds]
        first = self.mean("first")
        if first is not None and "first-token sink" not in self.kinds:
            said.append(f"{first:.2f} of its attention goes to the first token")
        return "; ".join(said if self.kinds else ["no kind of head", *said])

    @property
    def stable(self) -> bool:
        """Whether both halves of the documents give the same kinds."""
        return len({tuple(sorted(half)) for half in self.halves}) < 2

    def means(self, text: str = "text") -> dict[str, float | None]:
        """The mean of each figure on a text; nothing where it was not run."""
        return {name: figure.mean for name, figure in self.figures.get(text, {}).items()}

    def mean(self, figure: str, text: str = "text") -> float | None:
        """A figure's mean, where there is one."""
        found = self.figures.get(text, {}).get(figure)
        return None if found is None else found.mean


class AttentionFound(Record):
    """Findings of a run that are no single head's."""

    documents: dict[Word, Count]
    """by text, how many documents were run"""

    tokens: Count
    """tokens of text that were run"""

    sources: dict[Text, Count]
    """what the documents of text were cut from, and how many of each"""

    heads: Count
    """heads whose kinds were looked at"""

    same: Count
    """heads of the same kinds in both halves of the documents"""

    seconds: Number
    """time taken"""


class AttentionProvenance(Run):
    """How `attend` was run."""

    found: AttentionFound
    """what is no single head's"""
