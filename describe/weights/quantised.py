"""Weights in eight bits, times the scales that are stored beside them; whatever else is quantised is refused.

Where a scale is, and for how much of a matrix, is told by the tensors themselves: ``NAME_scale_inv`` (DeepSeek, Qwen,
Mistral) and ``NAME_scale`` (compressed-tensors, FBGEMM, modelopt) multiply what is stored, ``SCB`` (bitsandbytes) holds
the largest of each row, of which 127 steps are stored. A scale is for all of a matrix, for each row, each column, each
group of a row or each block.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.text import shortened
from describe.weights.checkpoint_files import LARGEST_CONFIG, read_json

__all__ = ["Quantisation", "Scales", "parts_of", "quantisation_of", "scale_names"]

PLAIN = frozenset({"F64", "F32", "F16", "BF16"})
EIGHT_BITS = frozenset({"F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8"})
"""Types of tensors, as safetensors calls them."""

METHODS = frozenset(
    {"fp8", "fbgemm_fp8", "mxfp8", "mxfp4", "nvfp4", "compressed-tensors", "bitsandbytes", "modelopt", "quark"}
)
"""Those of ``quant_method`` whose eight-bit tensors mean what is said above."""

USUAL_BLOCK = 128
"""Rows and columns of a block where nothing says it: DeepSeek's, which says so only in its code."""

_MORE = ("_scale_2", "_global_scale", "_g_idx", ".absmax")
_MORE_BELOW = ("pre_quant_scale", "smooth_scale")
"""Stored beside tensors that are more than steps times one scale."""

_PARTS = ("_scale_inv", "_scale", "_zero_point", "_shape")
_PARTS_BELOW = ("SCB", "weight_format", "input_scale", "output_scale")
"""Stored beside tensors that are read with them, or without need of them."""


@dataclass(frozen=True)
class Quantisation:
    """How the weights of a directory are said to be quantised.

    Attributes:
        method: ``quant_method``; empty where none is named.
        words: the method with its form, for people.
        block: rows and columns that share a scale, where that is said.
        rotated: whether weights are multiplied with another matrix, which is taken out again while the model runs.
    """

    directory: Path
    method: str = ""
    words: str = ""
    block: tuple[int, int] | None = None
    rotated: bool = False

    def refusal(self, name: str) -> CheckpointError:
        """That a tensor is not there, or not in a form that is read."""
        how = f"quantised ({self.words})" if self.method else "quantised"
        return CheckpointError(
            f"{self.directory} is {how}, and its tensor '{shortened(name)}' is not in a form that headscribe reads"
            " (floating point, or eight bits with scales): name the model that it was made from, or dequantise it with"
            " the package that made it and save it with save_pretrained"
        )

    def check(self, name: str, kind: str, there: Collection[str]) -> None:
        """Raise `CheckpointError` unless a tensor of this type, among these names, can be read rightly."""
        if self.rotated and kind not in PLAIN:
            raise self.refusal(name)
        if kind in PLAIN:
            return
        if kind not in EIGHT_BITS or (self.method and self.method not in METHODS):
            raise self.refusal(name)
        stem = name.removesuffix("weight")
        more = {f"{name}{end}" for end in _MORE} | {f"{stem}{end}" for end in _MORE_BELOW}
        scales = _scales(name, there)
        if len(scales) > 1 or not more.isdisjoint(there):
            raise self.refusal(name)
        if not scales and (kind == "I8" or self.method or any(_beside(name, other) for other in there)):
            raise self.refusal(name)


@dataclass(frozen=True)
class Scales:
    """The scales of a tensor, and what is subtracted from it before they multiply, if anything."""

    name: str
    by: Tensor
    zero: Tensor | None
    block: tuple[int, int] | None

    def applied(self, stored: Tensor, shape: tuple[int, ...], rows: Tensor) -> Tensor:
        """Stored values of some rows, by number, of a tensor of this shape, in float32. Raises `CheckpointError` for
        scales that fit no such tensor."""
        values = stored.float()
        if self.zero is not None:
            values = values - self._spread(self.zero, shape, rows)
        return values * self._spread(self.by, shape, rows)

    def _spread(self, scale: Tensor, shape: tuple[int, ...], rows: Tensor) -> Tensor:
        """The scale of each value, (n rows, ...), or of sizes 1 where it is that of all along a dimension."""
        scale = torch.exp2(scale.float() - 127) if scale.dtype == torch.uint8 else scale.float()  # an exponent
        if scale.numel() == 1:
            return scale.reshape(())
        if scale.ndim == 1:
            scale = scale.reshape(-1, *[1] * (len(shape) - 1))
        if scale.ndim != len(shape):
            raise self._misfit(scale, shape)
        for place, size in enumerate(shape):
            n = scale.shape[place]
            if n == 1:
                continue
            told = None if self.block is None or place < len(shape) - 2 else self.block[place - len(shape)]
            wide = _width(n, size, told)
            if wide is None:
                raise self._misfit(scale, shape)
            scale = scale.index_select(place, (rows if place == 0 else torch.arange(size)) // wide)
        return scale

    def _misfit(self, scale: Tensor, shape: tuple[int, ...]) -> CheckpointError:
        return CheckpointError(f"the scales of '{self.name}' are {tuple(scale.shape)}, which fit no tensor of {shape}")


def scale_names(name: str, there: Collection[str]) -> tuple[str, str | None] | None:
    """The names of a tensor's scales and of its zero points, if it has any."""
    found = _scales(name, there)
    zero = f"{name}_zero_point"
    return (found[0], zero if zero in there else None) if found else None


def parts_of(name: str) -> tuple[str, ...]:
    """The names that a tensor's scales and the like have, where it has any."""
    stem = name.removesuffix("weight")
    return (*(f"{name}{end}" for end in _PARTS), *(f"{stem}{end}" for end in _PARTS_BELOW if stem != name))


def quantisation_of(directory: Path) -> Quantisation:
    """The quantisation that config.json or a file beside it tells of. Raises `CheckpointError` for impossible sizes."""
    told = _told(directory)
    if told is None:
        return Quantisation(directory)
    method = shortened(str(told.get("quant_method") or _method_of(told)).lower())
    forms = (told.get(key) for key in ("format", "quant_algo", "fmt", "bnb_4bit_quant_type", "quant_type"))
    form = next((shortened(form) for form in forms if isinstance(form, str)), "")
    bits = told.get("bits")
    form = form or (f"{bits} bits" if isinstance(bits, int) else "")
    words = f"{method}, {form}" if form and form != method else method
    return Quantisation(directory, method, words, _block(directory, told), bool(told.get("transform_config")))


def _method_of(told: dict[str, object]) -> str:
    """The method of a part that names none, by what only one says."""
    if "load_in_8bit" in told or "load_in_4bit" in told:
        return "bitsandbytes"
    return "modelopt" if "quant_algo" in told or "producer" in told else "mlx" if "group_size" in told else "unknown"


def _told(directory: Path) -> dict[str, object] | None:
    """The part of a configuration that speaks of quantisation."""
    config = read_json(directory / "config.json", LARGEST_CONFIG)
    parts = [config, config.get("text_config")] if isinstance(config, dict) else []
    for part in parts:
        for key in ("quantization_config", "compression_config", "quantization"):
            if isinstance(part, dict) and isinstance(part.get(key), dict):
                found: dict[str, object] = part[key]
                return found
    beside = directory / "hf_quant_config.json"  # modelopt's
    if beside.is_file():
        told = read_json(beside, LARGEST_CONFIG)
        inner = told.get("quantization") if isinstance(told, dict) else None
        of_file: dict[str, object] = {"quant_method": "modelopt"}
        of_file.update(inner if isinstance(inner, dict) else {})
        return of_file
    return None


def _block(directory: Path, told: dict[str, object]) -> tuple[int, int] | None:
    """Rows and columns that share a scale, where that is said."""
    said = told.get("weight_block_size")
    groups = told.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) and said is None else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict):
            size = weights.get("group_size")
            said = weights.get("block_structure") or (None if size is None else [1, size])
    if not isinstance(said, list | tuple) or len(said) != 2:
        return None
    try:
        high, wide = (int(size) for size in said)
    except (ValueError, TypeError, OverflowError):
        return None
    if wide < 1 and high == 1:  # -1: the whole row
        return None
    if not (0 < high < 1 << 20 and 0 < wide < 1 << 20):
        raise CheckpointError(f"{directory / 'config.json'} cannot be understood: weight_block_size is {high}, {wide}")
    return high, wide


def _scales(name: str, there: Collection[str]) -> list[str]:
    names = (f"{name}_scale_inv", f"{name}_scale", f"{name.removesuffix('weight')}SCB")
    return [scale for scale in names if scale in there]


def _beside(name: str, other: str) -> bool:
    """Whether another tensor looks like a scale of this one."""
    stem = name.removesuffix("weight")
    return other.startswith(stem) and "scale" in other[len(stem) :] and "." not in other[len(stem) :]


def _width(n: int, size: int, told: int | None) -> int | None:
    """How many values along a dimension share one of n scales; None where that cannot be."""
    if n == size:
        return 1
    for wide in (USUAL_BLOCK, size // n if size % n == 0 else 0) if told is None else (told,):
        if wide and -(-size // wide) == n:
            return wide
    return None
