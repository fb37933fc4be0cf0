"""The output lens of a model: fitted once, then kept beside the hashes of files, with how well it fits."""

from __future__ import annotations

import hashlib
import json
import os

import torch
from torch import Tensor

from describe.inference.lens import OutputLens, fit_lens
from describe.inference.stream import Standing
from describe.maps import ScratchRows
from describe.pipeline.common import Progress, silent
from describe.pipeline.extraction.compute import Means
from describe.readings import Reading
from describe.weights import HeadWeights
from describe.weights.locate import cache_folder

__all__ = ["output_lens"]


def output_lens(
    weights: HeadWeights, reading: Reading, ids: Tensor, means: Means, progress: Progress = silent
) -> OutputLens:
    """The lens of a model for the tokens ``ids`` (n,) behind the openings of a reading.

    Raises `CheckpointError` where the model cannot be run.
    """
    from describe.inference.from_files import open_layerwise

    openings = [weights.opening_ids(text) for text in reading.openings or ("",)]
    told = json.dumps([weights.info.content_hash, openings, ids.tolist(), means.precision])
    path = cache_folder("lenses") / f"{hashlib.sha256(told.encode()).hexdigest()}.safetensors"
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


def _load(weights: HeadWeights, path: os.PathLike[str]) -> OutputLens | None:
    """The lens in a file; None where there is none of this model's shape."""
    from safetensors import SafetensorError, safe_open

    d, n_layers = weights.info.d_model, weights.info.n_layers
    try:
        with safe_open(path, framework="pt") as file:
            maps, fit = file.get_tensor("maps"), file.get_tensor("fit")
    except (OSError, SafetensorError):
        return None
    return OutputLens(maps, tuple(fit.tolist())) if maps.shape == (n_layers, d, d) and len(fit) == n_layers else None


def _save(lens: OutputLens, path: os.PathLike[str]) -> None:
    """Keep a lens; a full disk only costs the time to fit it again."""
    from safetensors.torch import save_file

    partial = f"{os.fspath(path)}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        save_file({"maps": lens.maps, "fit": torch.tensor(lens.fit)}, partial)
        os.replace(partial, path)
    except OSError:
        if os.path.exists(partial):
            os.unlink(partial)
