"""Shared by the functions of the pipeline: progress, devices, finding a model in the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from describe.catalog import Catalogue
from describe.errors import CatalogueError, InputError
from describe.files import from_home
from describe.records import ModelInfo
from describe.weights import FAMILIES, content_hash, locate, model_name

if TYPE_CHECKING:
    import torch

__all__ = [
    "N_DIRECT_TARGETS",
    "N_HELD_OUT",
    "N_SALIENT",
    "N_SAMPLED",
    "N_TARGETS",
    "Progress",
    "choose_device",
    "find",
    "find_model",
    "known",
    "silent",
    "steps",
]

N_SALIENT, N_TARGETS = 30, 5
"""The paper's numbers: salient tokens of a head, and targets of each."""

N_DIRECT_TARGETS = 10
"""Targets of a row by the reading ``direct``, on the side that its order is about."""

N_HELD_OUT, N_SAMPLED = 30, 30
"""Tokens kept besides, for judging descriptions by what their authors did not see: the next ones, and random ones."""


class Progress(Protocol):
    """Told how far a stage is: called with its name, the heads done and the heads to do."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def find(catalogue: Catalogue, model: str, reading: str | None = None) -> tuple[ModelInfo, int]:
    """A model of the catalogue, by MODEL, as `find_model` finds it, and its newest extraction by a reading.

    No ``reading``: by the default one where the catalogue has that, else by another.
    """
    model_id, info = find_model(catalogue, model)
    return info, catalogue.latest_extraction(model_id, reading)


def find_model(catalogue: Catalogue, model: str) -> tuple[int, ModelInfo]:
    """A model of the catalogue and its id, by MODEL; its files are read only to tell namesakes apart.

    Raises `CatalogueError` when the catalogue does not hold it.
    """
    try:
        return catalogue.find_model(model_name(model))
    except CatalogueError:
        if not from_home(model).exists():
            raise
        return catalogue.find_model(model_name(model), content_hash(locate(model)))


def known(catalogue: Catalogue, name: str, digest: str) -> tuple[int, ModelInfo] | None:
    """The model with this name and content, if the catalogue has it."""
    try:
        return catalogue.find_model(f"{name}@{digest}")
    except CatalogueError:
        return None


def steps(family: str) -> dict[str, Any]:
    """Steps taken for a family besides the plain equations, as settings of a result; nothing for most families."""
    done = next((row.reading for row in FAMILIES if row.name == family), ())
    return {"reading": list(done)} if done else {}


def choose_device(name: str, dtype: str) -> torch.device:
    """The device to compute on. Raises `InputError` when this machine does not have it."""
    import torch

    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if has["cuda"] else "mps" if has["mps"] and dtype == "float32" else "cpu"
    kind = name.partition(":")[0]
    if not has.get(kind, False):
        present = ", ".join(device for device, there in has.items() if there)
        raise InputError(f"there is no device '{name}' here; there is: {present}")
    if kind == "mps" and dtype == "float64":
        raise InputError("mps cannot compute in float64: use --device cpu")
    return torch.device(name)
