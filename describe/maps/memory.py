"""The memory of a computation, as a function of a model's shape, and what is done in blocks to keep to a budget.

Extraction holds, in numbers of the precision computed in (docs/scale.md says the same in words):

    kept    V d  the source vectors, unless they go to a scratch file;  V d  the unembedding, unless read by block;
            V d  both in a low precision, if there is room
    layer   d dh (H + 2 G)  of V, O and V side by side;  1.5 H V  saliency;  n H d  what the heads write
    MLP     3 d hidden / parts, and as much again as stored; before the layers, and gone when they begin
    blocks  8 temporaries of `block` numbers

n is the number of sources a head. Several layers at once take as many times `layer`; reading one takes the space of its
V and O as stored, and of one W_O to factor. Relation scores hold instead of these, in float64 unless said:

    kept    V d in float32 or less, the unembedding, unless read by block
    layer   2 d dh (H + G)
    rows    3 S d each head done at once;  T d  of the targets;  S (2 d + G dh)  of the sources
    MLP     as above, before the layers
    blocks  8 of `block`

S and T are the numbers of distinct sources and targets.
"""

from __future__ import annotations

from dataclasses import dataclass

from describe.errors import InputError
from describe.maps.blocks import BLOCK
from describe.records import ModelInfo

__all__ = ["ExtractionPlan", "RankingPlan", "plan_extraction", "plan_ranking"]

TEMPORARIES = 8
"""How many temporaries of a block there are at once, at most."""

HELD = 1 << 24
"""Numbers of what heads write that are held at once where there is no need to hold more: 128 MiB in float64."""

MOST_LAYERS = 8
"""Layers done at once, at most: what a killed run has to do again."""


@dataclass(frozen=True)
class ExtractionPlan:
    """How an extraction keeps to its budget.

    Attributes:
        keep_sources: the source vectors are in memory, not in a scratch file.
        keep_unembed: the unembedding is in memory, not read and converted block by block.
        rounded: both are kept in a low precision too, not converted anew for each layer.
        layers: how many are done in one sweep over the vocabulary.
        parts: of how many parts of the first MLP one is in memory at a time.
        block: numbers in the largest temporary.
        bytes: what all this takes at most.
    """

    keep_sources: bool
    keep_unembed: bool
    rounded: bool
    layers: int
    parts: int
    block: int
    bytes: int


@dataclass(frozen=True)
class RankingPlan:
    """How relation scores keep to their budget: ``heads`` done at once; the others as in `ExtractionPlan`."""

    keep_unembed: bool
    heads: int
    parts: int
    block: int
    bytes: int


def plan_extraction(
    model: ModelInfo,
    hidden: int,
    sources: int,
    layers: int,
    itemsize: int,
    budget: int,
    block: int = BLOCK,
    *,
    shared: bool = False,
) -> ExtractionPlan:
    """The parts to hold and those to do in blocks.

    Args:
        hidden: units of the first MLP.
        sources: n, how many sources a head.
        layers: how many there are to do.
        itemsize: bytes of a number computed with.
        budget: bytes there are.
        block: numbers in the largest temporary, at most.
        shared: the source vectors are kept elsewhere, and their memory does not count here.

    Raises `InputError` when the budget is too small for whatever plan.
    """
    vocabulary, d, dh, n_heads, n_groups = _shape(model)
    numbers = budget // itemsize
    block = min(block, max(numbers // 64, 1 << 16))
    whole = vocabulary * d
    layer = d * dh * (n_heads + 2 * n_groups) + n_heads * vocabulary * 3 // 2 + sources * n_heads * d
    reading = d * dh * (n_heads + n_groups + 2)
    widest = max(block, 512 * max(sources * n_heads, d))  # see describe.maps.salient: a look at chunks needs some width
    least = layer + reading + TEMPORARIES * widest

    def parts(left: int) -> int:
        """Parts of the MLP so that one, and the whole as stored, fit in what is left; 0 where none would."""
        room = left - 3 * d * hidden - TEMPORARIES * block
        return max(1, -(-3 * d * hidden // room)) if room > 3 * d else 0

    of_sources = 0 if shared else whole
    keep_sources = of_sources + least <= numbers and parts(numbers - of_sources) > 0
    kept = of_sources if keep_sources else 0
    spans = 0 if keep_sources else 16 * block  # what goes to the scratch file at once
    n_parts = parts(numbers - kept - spans)
    if least > numbers or n_parts == 0:
        needed = max(least, 3 * d * hidden + 4 * d + (TEMPORARIES + 16) * block) * itemsize
        raise too_little(model, needed, budget)
    keep_unembed = kept + whole + least <= numbers
    kept += whole if keep_unembed else 0
    rounded = keep_sources and keep_unembed and kept + whole + least <= numbers
    kept += whole if rounded else 0
    at_once = 1 if keep_sources and keep_unembed else (numbers - kept - least) // (layer + TEMPORARIES * widest) + 1
    at_once = min(at_once, layers, MOST_LAYERS)
    sweep = kept + at_once * (layer + TEMPORARIES * widest) + reading
    first = (of_sources if keep_sources else spans) + 3 * d * hidden * (n_parts + 1) // n_parts + TEMPORARIES * block
    return ExtractionPlan(keep_sources, keep_unembed, rounded, at_once, n_parts, block, max(sweep, first) * itemsize)


def plan_ranking(
    model: ModelInfo, hidden: int, sources: int, targets: int, budget: int, block: int = BLOCK
) -> RankingPlan:
    """The parts to hold and those to do in blocks; ``sources`` and ``targets`` are how many distinct ones there are.

    Raises `InputError` when the budget is too small for whatever plan.
    """
    vocabulary, d, dh, n_heads, n_groups = _shape(model)
    sources, targets = max(sources, 1), max(targets, 1)
    block = min(block, max(budget // 512, 1 << 16))
    fixed = 8 * (2 * d * dh * (n_heads + n_groups) + targets * d + sources * (2 * d + n_groups * dh))
    temporaries, each = 8 * TEMPORARIES * block, 8 * 3 * sources * d
    least = fixed + temporaries + each
    room = budget - 16 * sources * d - temporaries - 12 * d * hidden  # beside a part of the MLP
    if least > budget or room < 24 * d:
        raise too_little(model, max(least, budget + 24 * d - room), budget)
    keep = least + 4 * vocabulary * d <= budget
    taken = fixed + temporaries + (4 * vocabulary * d if keep else 0)
    most = max(1, HELD // (sources * d)) if keep else n_heads
    heads = min(n_heads, most, (budget - taken) // each)
    return RankingPlan(keep, heads, max(1, -(-24 * d * hidden // room)), block, taken + heads * each)


def too_little(model: ModelInfo, needed: int, budget: int) -> InputError:
    """The refusal of a budget in bytes."""
    return InputError(
        f"--memory leaves {budget / 2**30:.2f} GiB to compute {model.name} in, which takes {needed / 2**30:.2f} GiB"
        " at least: allow more"
    )


def _shape(model: ModelInfo) -> tuple[int, int, int, int, int]:
    return model.vocab_size, model.d_model, model.d_head, model.n_heads, model.n_kv_heads
