"""A model of any family of the table as ``transformers`` runs it, and where its parts are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from describe.errors import CheckpointError
from describe.weights import FAMILIES, Family
from describe.weights.names import found_prefix
from describe.weights.sources import finite

__all__ = ["Parts", "load_network", "loaded", "loading", "longest_text"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

UNLIMITED = 2048
"""Tokens of the longest text of a model that does not say how long texts may be, such as one with ALiBi."""


class Parts:
    """The places of a causal model where its heads are.

    Attributes:
        family: its row in the table of `describe.weights`.
        backbone: its layers with the embedding, without the unembedding.
    """

    def __init__(self, model: nn.Module, family: str) -> None:
        self.family: Family = next(row for row in FAMILIES if row.name == family)
        there = {name for name, _ in model.named_modules()}
        self._model = model
        prefix = found_prefix(self.family, there)
        assert prefix is not None, "its weights were read by this row"
        self._prefix = prefix
        self.backbone = model.get_submodule(self._prefix.rstrip("."))

    def layer(self, layer: int) -> nn.Module:
        """A decoder layer."""
        return self._model.get_submodule(self._path("", layer).rstrip("."))

    def projection(self, name: str, layer: int) -> nn.Module:
        """A module of a layer, by its name in the family's row."""
        return self._model.get_submodule(self._path(name, layer))

    def attention(self, layer: int) -> nn.Module:
        """The attention of a layer: what holds the projection of its output."""
        return self._model.get_submodule(self._path(self.family.output, layer).rpartition(".")[0])

    def _path(self, name: str, layer: int) -> str:
        return f"{self._prefix}{self.family.block.format(layer)}{name}"


def load_network(model: str, dtype: torch.dtype, **options: object) -> Any:
    """MODEL by ``transformers``, on the CPU, in evaluation mode and in this precision.

    Raises `CheckpointError` when ``transformers`` cannot load it, or a parameter is not finite.
    """
    from transformers import AutoModelForCausalLM

    network = loaded(AutoModelForCausalLM, model, use_safetensors=True, dtype=dtype, **options).eval()
    for name, parameter in network.named_parameters():
        finite(parameter.detach(), name)
    return network


def longest_text(model: str) -> int:
    """Tokens of the longest text that MODEL runs, by its configuration."""
    from transformers import AutoConfig

    from describe.weights import locate
    from describe.weights.gguf_file import GgufFile

    location = locate(model)
    if location.is_gguf:  # transformers would read the whole vocabulary for it
        file = GgufFile(location.path)
        size = file.metadata(f"{file.metadata('general.architecture')}.context_length")
        return size if isinstance(size, int) and size > 0 else UNLIMITED
    config = loaded(AutoConfig, model).get_text_config(decoder=True)
    said = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions", "max_seq_len"))
    return int(next((size for size in said if isinstance(size, int) and size > 0), UNLIMITED))


class _Loader(Protocol[T_co]):
    """One of the Auto classes of ``transformers``."""

    def from_pretrained(self, place: Path, **options: object) -> T_co: ...


def loaded(loader: _Loader[T], model: str, **options: object) -> T:
    """Whatever a loader of ``transformers`` makes of MODEL: its network, configuration or tokenizer.

    Raises `CheckpointError` when it cannot.
    """
    from describe.weights import check_files, check_loadable, locate
    from describe.weights.gguf_loading import quick_gguf

    location = locate(model)
    check_files(location)
    options |= {"gguf_file": location.path.name} if location.is_gguf else {}
    folder = location.path.parent if location.is_gguf else location.path
    if options.get("use_safetensors"):
        check_loadable(location)
    with loading(location.path), quick_gguf(location.path):
        return loader.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)


@contextmanager
def loading(path: Path) -> Iterator[None]:
    """Whatever ``transformers`` raises within is raised as `CheckpointError` about a model's path; its bars are not
    shown."""
    try:
        with redirect_stderr(io.StringIO()):  # what goes wrong it raises
            yield
    except CheckpointError:
        raise
    except Exception as error:  # transformers raises whatever its many loaders raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"transformers cannot run the model in {path}: {reason[:300]}") from error
