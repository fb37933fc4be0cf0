"""Readings: what a head is taken to read, to write, and over which tokens, when its mappings are read from weights.

``paper`` is that of MAPS; ``direct`` takes in what a head of a running model really reads and adds to the logits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

from describe.errors import InputError

__all__ = [
    "DEFAULT",
    "DIRECT",
    "PAPER",
    "READINGS",
    "READING_NAMES",
    "Reading",
    "ReadingName",
    "Source",
    "reading_named",
    "unnamed",
]

ReadingName = Literal["paper", "direct"]
READING_NAMES: tuple[ReadingName, ...] = ("paper", "direct")

Source = Literal["x", "stream", "embedding"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One way of reading heads.

    Attributes:
        source: what heads read: ``x``, the first MLP applied to a token's embedding; ``stream``, the input of the
            layer's attention when the model reads the token alone; ``embedding``, for measuring.
        openings: texts that stand before the token, of ``stream``; the source vector is the mean over them.
        centred: the mean source vector is taken off, and kept apart as the constant part.
        gains: the gain of the final norm, that of a norm behind attention, and centring are folded into U.
        lens: what is written is carried to the last layer by a linear map before U reads it.
        tokens: which count as sources and as targets: ``all``, ``learnt``, a number, or a file of counts.
        largest: of ``learnt`` tokens, so many of the commonest count at most.
    """

    name: ReadingName
    source: Source
    openings: tuple[str, ...]
    centred: bool
    gains: bool
    lens: bool
    tokens: str
    largest: int = 16_384

    @property
    def words(self) -> str:
        """The reading in a line: what heads read, how it becomes logits, and over which tokens."""
        behind = " and ".join(f'"{opening}"' if opening else "nothing" for opening in self.openings)
        source = {
            "x": "the first MLP of a token's embedding",
            "stream": f"the stream at a token behind {behind}",
            "embedding": "a token's embedding",
        }[self.source]
        parts = {"its mean apart": self.centred, "gains folded in": self.gains, "through the output lens": self.lens}
        tokens = {"all": "all tokens", "learnt": "learnt tokens"}.get(self.tokens, f"tokens: {self.tokens}")
        return ", ".join([f"{self.name}: {source}", *(words for words, there in parts.items() if there), tokens])

    def settings(self) -> dict[str, object]:
        """Its entry in the settings of an extraction; none of `PAPER`, by which all were made before there was
        another."""
        if self == PAPER:
            return {}
        said = asdict(self) | {"openings": list(self.openings)}
        return {self.name: {key: value for key, value in said.items() if key != "name"}}

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Reading:
        """The reading that these settings of an extraction name."""
        for name, standard in READINGS.items():
            said = settings.get(name)
            if isinstance(said, dict):
                told = {field.name: said[field.name] for field in fields(cls) if field.name in said}
                return replace(standard, **told | {"openings": tuple(told.get("openings", standard.openings))})
        return PAPER


PAPER = Reading("paper", "x", (), centred=False, gains=False, lens=False, tokens="all")

DIRECT = Reading("direct", "stream", ("The", "It is"), centred=True, gains=True, lens=False, tokens="learnt")

READINGS: dict[ReadingName, Reading] = {"paper": PAPER, "direct": DIRECT}


DEFAULT: ReadingName = "direct"
"""By which reading heads are read, and of what a catalogue holds shown, where none is named: see `unnamed`."""


def unnamed(there: Iterable[ReadingName]) -> ReadingName:
    """The reading of commands that name none, for a model whose heads were read by those ``there``, the newest last.

    It is `DEFAULT`, unless the model was read by another alone: then that one is shown and gone on with, so that
    catalogues stay what they were.
    """
    found = list(there)
    return found[-1] if found and DEFAULT not in found else DEFAULT


def reading_named(name: str) -> Reading:
    """A reading by its name. Raises `InputError` for another word."""
    for known, reading in READINGS.items():
        if name == known:
            return reading
    raise InputError(f"there is no reading '{name}': {' or '.join(READING_NAMES)}")
