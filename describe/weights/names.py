"""Names of tensors in a file: by their role in a row of the table, and below the first block."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from describe.weights.family import Family

__all__ = ["GgufNames", "HubNames", "Names", "found_prefix"]


class Names(Protocol):
    """The name of the tensor that plays a role, such as ``value``, in a layer."""

    def __call__(self, role: str, layer: int = 0) -> str: ...

    @property
    def prefix(self) -> str:
        """The beginning of all names of the language model's tensors."""
        ...

    def below(self, tail: str, layer: int = 0) -> str:
        """The name of a tensor of a layer, by what follows the block's name."""
        ...


_WRAPPED = ("model.language_model.", "language_model.model.", "model.text_model.", "language_model.", "text_model.")


def found_prefix(family: Family, there: Collection[str], ending: str = "") -> str | None:
    """The prefix of a row's names in a model: the row's own, none, or that of whatever is around the language model
    (a part that sees, another head, a tool of training); None where the row's names are not there.

    Args:
        there: the names of all modules; or of all tensors, with ``ending`` ".weight".
    """
    embed, value = f"{family.embed}{ending}", f"{family.block.format(0)}{family.value}{ending}"
    around = sorted(name.removesuffix(value) for name in there if name.endswith(f".{value}"))
    prefixes = [prefix for prefix in (family.prefix, "", *_WRAPPED, *around) if f"{prefix}{value}" in there]
    whole = (prefix for prefix in prefixes if f"{prefix}{embed}" in there)
    return next(whole, prefixes[0] if prefixes else None)


class HubNames:
    """Names in Hugging Face layout: a row's, below the prefixes that this checkpoint has.

    Attributes:
        has_unembed: whether a matrix U of its own is there.
    """

    def __init__(self, family: Family, there: frozenset[str]) -> None:
        """``there``: the names of all tensors of the checkpoint."""
        self._family = family
        found = found_prefix(family, there, ".weight")
        self.prefix = family.prefix if found is None else found
        parts = self.prefix.split(".")
        around = [".".join([*parts[:i], family.unembed]) for i in range(len(parts))]
        unembeds = (family.unembed, f"language_model.{family.unembed}", *around)
        self._unembed = next((name for name in unembeds if f"{name}.weight" in there), family.unembed)
        self.has_unembed = f"{self._unembed}.weight" in there
        embed = f"{self.prefix}{family.embed}.weight"
        # Where both are one matrix, some tools keep it under the name of the last only.
        self._embed = f"{self._unembed}.weight" if self.has_unembed and embed not in there else embed
        norms = (norm for norm in family.norm if self.below(f"{norm}.weight") in there)
        self._norm = next(norms, *family.norm[:1]) if family.norm else ""

    def __call__(self, role: str, layer: int = 0) -> str:
        if role == "unembed":
            return f"{self._unembed}.weight"
        if role == "embed":
            return self._embed
        name = self._norm if role == "norm" else getattr(self._family, role)
        if role in ("embed_norm", "final_norm"):
            return f"{self.prefix}{name}.weight"
        return f"{self.prefix}{self._family.block.format(layer)}{name}.weight"

    def below(self, tail: str, layer: int = 0) -> str:
        return f"{self.prefix}{self._family.block.format(layer)}{tail}"


_GGUF = {
    "embed": "token_embd",
    "unembed": "output",
    "embed_norm": "token_embd_norm",
    "final_norm": "output_norm",
}
_GGUF_BLOCK = {
    "after_attention": "post_attention_norm",
    "after": "post_ffw_norm",
    "up": "ffn_up",
    "down": "ffn_down",
    "gate": "ffn_gate",
    "value": "attn_v",
    "output": "attn_output",
}


@dataclass(frozen=True)
class GgufNames:
    """Names in a GGUF file, the same for all families."""

    family: Family
    there: frozenset[str]
    prefix: str = ""

    def __call__(self, role: str, layer: int = 0) -> str:
        if role in _GGUF:
            return f"{_GGUF[role]}.weight"
        if role == "norm":
            norms = (f"blk.{layer}.{norm}.weight" for norm in (self.family.gguf_norm, "attn_norm"))
            return next((norm for norm in norms if norm in self.there), f"blk.{layer}.{self.family.gguf_norm}.weight")
        if role == "value" and (fused := f"blk.{layer}.attn_qkv.weight") in self.there:
            return fused
        if role == "gate" and self.family.gate == self.family.up:
            role = "up"
        return f"blk.{layer}.{_GGUF_BLOCK[role]}.weight"

    def below(self, tail: str, layer: int = 0) -> str:
        return f"blk.{layer}.{tail}"
