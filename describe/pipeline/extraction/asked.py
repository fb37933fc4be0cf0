"""The reading that a user asks for, and the settings by which the catalogue knows it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.files import from_home
from describe.pipeline.common import N_DIRECT_TARGETS, N_SALIENT, N_TARGETS, steps
from describe.readings import DEFAULT, PAPER, Reading, reading_named, unnamed
from describe.records import ModelInfo
from describe.text import shortened

__all__ = ["AskedReading"]


@dataclass(frozen=True)
class AskedReading:
    """A reading by name, if one was named, the tokens that are to count, if that was said, and the precision.

    Raises `InputError` for a reading that there is not, a file of tokens that cannot be read, or a precision that we
    do not compute in.
    """

    name: str | None
    tokens: str | None
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "float64"):
            raise InputError(
                f"cannot compute in '{self.dtype}': use float32 or float64 (checkpoints may be stored in any)"
            )
        self._standard(self.name or DEFAULT)  # whatever is wrong is said now

    def kept(self, catalogue: Catalogue, model_id: int) -> Reading:
        """The newest reading of a model with this name and such tokens, or else the standard one.

        No name: the one that `unnamed` gives.
        """
        there = catalogue.readings(model_id)
        standard = self._standard(self.name or unnamed(reading.name for reading in there))
        if standard == PAPER:
            return PAPER
        found = [reading for reading in there if reading.name == standard.name]
        same = [reading for reading in found if self.tokens is None or reading.tokens == standard.tokens]
        return same[-1] if same else standard

    def _standard(self, name: str) -> Reading:
        """The reading of a model that was not read by it yet, as the catalogue will know it."""
        named = reading_named(name)
        return named if self.tokens is None else replace(named, tokens=_kept_name(self.tokens))

    def usable(self, kept: Reading) -> Reading:
        """The reading to compute by. Raises `InputError` where its tokens are those of a file that was not named."""
        if self.tokens is not None:
            return replace(kept, tokens=self.tokens)
        if _MARK in kept.tokens:
            raise InputError(f"these heads are read by the tokens of {kept.tokens}: name that file with --tokens")
        return kept

    def note(self, kept: Reading) -> str:
        """A line where no reading was named and the heads are not read by the default one."""
        if self.name is not None or kept.name == DEFAULT:
            return ""
        return (
            f"read by {kept.name}, as the catalogue has this model: --reading {DEFAULT} reads it by the other as well"
        )

    def settings(self, kept: Reading, model: ModelInfo) -> dict[str, object]:
        """Settings of heads' mappings, by which an extraction is found again."""
        if kept == PAPER:
            counts: dict[str, object] = {"salient": N_SALIENT, "targets": N_TARGETS, "first_mlp": True}
            counts["biases"] = "of the first MLP and its norm only"
        else:
            counts = {"salient": N_SALIENT, "targets": N_DIRECT_TARGETS}
        return counts | {"dtype": self.dtype} | steps(model.family) | kept.settings()


_MARK = ", SHA-256 "


def _kept_name(tokens: str) -> str:
    """``--tokens`` as the catalogue keeps it: a file by its name and the start of its hash, wherever it lies."""
    if tokens in ("all", "learnt") or tokens.isdecimal():
        return tokens
    try:
        content = from_home(tokens).read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(
            f"--tokens: '{shortened(tokens)}' cannot be read: write all, learnt, a number, or the path of a file"
        ) from error
    return f"{Path(tokens).name}{_MARK}{hashlib.sha256(content).hexdigest()[:16]}"
