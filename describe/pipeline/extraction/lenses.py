"""The output lens of a model: fitted once, then kept beside the hashes of files, with how well it fits."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from describe.cached import cached_file, keep_file, load_file
from describe.inference.lens import OutputLens, fit_lens
from describe.inference.stream import Standing
from describe.maps import ScratchRows
from describe.pipeline.common import Progress, silent
from describe.pipeline.extraction.compute import Means
from describe.readings import Reading
from describe.weights import HeadWeights

__all__ = ["output_lens"]


def output_lens(
    weights: HeadWeights, reading: Reading, ids: Tensor, means: Means, progress: Progress = silent
) -> OutputLens:
    """The lens of a model for the tokens ``ids`` (n,) behind the openings of a reading.

    Raises `CheckpointError` where the model cannot be run.
    """
    from describe.inference.from_files import open_layerwise

    openings = [weights.opening_ids(text) for text in reading.openings or ("",)]
    told = [weights.info.content_hash, openings, ids.tolist(), means.precision]
    path = cached_file("lenses", told, ".safetensors")
    kept = _load(weights, path)
    if kept is not None:
        return kept
    before = torch.tensor([token for opening in openings for token in opening], dtype=torch.long)
    model = open_layerwise(weights, torch.cat([ids, before]), means.device, means.dtype)

    def passed(standing: Standing) -> None:
        progress("fit lens", standing.layer, weights.info.n_layers)

    progress("fit lens", 0, weights.info.n_layers)
    found = fit_lens(
        model, openings, ids, lambda shape: ScratchRows(shape, means.dtype), block=means.block, passed=passed
    )
    _save(found, path)
    return found


def _load(weights: HeadWeights, path: Path) -> OutputLens | None:
    """The lens in a file; None where there is none of this model's shape."""
    from safetensors import safe_open

    def read(path: Path) -> tuple[Tensor, Tensor]:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor("maps"), file.get_tensor("fit")

    d, n_layers = weights.info.d_model, weights.info.n_layers
    found = load_file(path, read)
    if found is None:
        return None
    maps, fit = found
    return OutputLens(maps, tuple(fit.tolist())) if maps.shape == (n_layers, d, d) and len(fit) == n_layers else None


def _save(lens: OutputLens, path: Path) -> None:
    from safetensors.torch import save_file

    kept = {"maps": lens.maps, "fit": torch.tensor(lens.fit)}
    keep_file(path, lambda partial: save_file(kept, partial))
