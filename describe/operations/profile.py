"""Settings of the experiments with operations as one record: those printed in the paper, and ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from describe.errors import InputError
from describe.records import ModelInfo

__all__ = ["OURS", "PAPER_PROFILE", "PROFILES", "Profile", "profile_named"]

LLAMA_3_VOCABULARY = 128_256


@dataclass(frozen=True)
class Profile:
    """How operations are scored, correlated and ablated.

    Attributes:
        name: as ``--profile`` has it; ``words``: the same for readers.
        wide: of which models a target may be among the first 25 (of operations that copy, 3) instead of 10 (1).
        first_mlp: of which models sources are read through the first MLP.
        multi_template: the one prompt for sources of several tokens; None for those of single tokens.
        prompts, seeds, controls: prompts of a task, draws of random heads, control tasks, each at most.
        drawn: control tasks are drawn at random from those that suit; else the nearest in base accuracy are taken.
        every: accuracy is taken after each removed head of the operation, and of random heads and controls at some ten
            numbers and where rows are taken; else some thirty times of all.
        row: by which rule the row of a table is taken from a curve (`describe.inference.ROW_RULES`).
    """

    name: str
    words: str
    wide: Callable[[ModelInfo], bool]
    first_mlp: Callable[[ModelInfo], bool]
    multi_template: str | None
    prompts: int
    seeds: int
    controls: int
    drawn: bool
    every: bool
    row: str

    def k(self, model: ModelInfo, copying: bool = False) -> int:
        """How near the top a target must be, by the model and whether the operation copies."""
        return {False: (10, 1), True: (25, 3)}[self.wide(model)][copying]


def _is_llama_3(model: ModelInfo) -> bool:
    return model.family == "llama" and model.vocab_size == LLAMA_3_VOCABULARY


def _is_llama_3_70b(model: ModelInfo) -> bool:
    return _is_llama_3(model) and (model.n_layers, model.d_model) == (80, 8192)


OURS = Profile(
    name="headscribe",
    words="headscribe's own",
    wide=lambda model: model.vocab_size > 100_000,
    first_mlp=lambda model: True,
    multi_template=None,
    prompts=100,
    seeds=5,
    controls=3,
    drawn=False,
    every=False,
    row="worst",
)

PAPER_PROFILE = Profile(
    name="paper",
    words="as printed in the paper (MAPS, arXiv 2412.11965)",
    wide=_is_llama_3,
    first_mlp=lambda model: not _is_llama_3_70b(model),
    multi_template="This is a document about <X>",
    prompts=100,
    seeds=5,
    controls=5,
    drawn=True,
    every=True,
    row="zero",
)

PROFILES = {profile.name: profile for profile in (OURS, PAPER_PROFILE)}


def profile_named(name: str | None) -> Profile:
    """The profile of a name, ours for None. Raises `InputError` for one that there is not."""
    found = PROFILES.get(name or OURS.name)
    if found is None:
        raise InputError(f"there is no profile '{name}'; there is: {', '.join(PROFILES)}")
    return found
