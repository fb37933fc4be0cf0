"""Attention patterns of a model of any family, layer by layer while it runs, and never those of all layers at once.

The attention of ``transformers`` in its plain ("eager") form gives its probabilities back: a hook on each layer's
attention hands them on with the lengths of the values, and they are gone before the next layer runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from describe.errors import CheckpointError
from describe.inference.loading import Parts, load_network
from describe.records import ModelInfo
from describe.weights.layout import value_rows

__all__ = ["PatternReader", "See", "open_pattern_reader"]

See = Callable[[int, Tensor, Tensor], None]
"""Told of a layer: its number, the probabilities (B, H, T, T) of B texts of T tokens, from each token to each, and
the length (B, H, T) of what each head would write if it attended to that token alone, in its residual stream."""


class PatternReader:
    """A causal language model whose attention patterns can be seen. Made by `open_pattern_reader`.

    Args:
        model: any causal model of a family of the table with plain attention, in evaluation mode, on its device.
        info: its shape.
    """

    def __init__(self, model: nn.Module, info: ModelInfo) -> None:
        self.info, self._parts = info, Parts(model, info.family)
        self.device: torch.device = next(model.parameters()).device
        self._takes = inspect.signature(self._parts.backbone.forward).parameters

    def read(self, ids: Tensor, see: See) -> None:
        """Run texts (B, T) of one length, without padding, and have every layer's patterns seen."""
        options = {"use_cache": False} if "use_cache" in self._takes else {}
        with torch.no_grad(), self._hooks(see):
            self._parts.backbone(input_ids=ids.to(self.device), **options)

    @contextmanager
    def _hooks(self, see: See) -> Iterator[None]:
        with ExitStack() as hooks:
            for layer in range(self.info.n_layers):
                held: list[Tensor] = []
                attention = self._parts.attention(layer)
                value = self._parts.projection(self._parts.family.value, layer)
                hooks.callback(value.register_forward_hook(_keep(held)).remove)
                hooks.callback(attention.register_forward_hook(self._tell(layer, held, see)).remove)
                if "output_attentions" in inspect.signature(attention.forward).parameters:
                    ask = attention.register_forward_pre_hook(_ask, with_kwargs=True)
                    hooks.callback(ask.remove)
            yield

    def _tell(self, layer: int, held: list[Tensor], see: See) -> Callable[..., None]:
        def hook(_module: nn.Module, _arguments: object, out: tuple[object, ...]) -> None:
            weights = next((part for part in out[1:] if isinstance(part, Tensor) and part.ndim == 4), None)
            if weights is None:
                raise CheckpointError(f"transformers does not give the attention of the family {self.info.family} back")
            see(layer, weights.float(), self._lengths(layer, held.pop()))

        return hook

    def _lengths(self, layer: int, projected: Tensor) -> Tensor:
        """|v(s) W_O| (B, H, T) by v G v^T with G = W_O W_O^T, from what the value projection gives (B, T, *)."""
        info, family = self.info, self._parts.family
        rows = value_rows(family.packing, info.n_heads, info.n_kv_heads, info.d_head)
        values = projected[..., rows].reshape(*projected.shape[:2], info.n_kv_heads, info.d_head).transpose(1, 2)
        weight = self._parts.projection(family.output, layer).get_parameter("weight").detach().float()
        joined = weight if family.transposed else weight.mT
        output = joined.reshape(info.n_heads, info.d_head, -1)
        values = values.float().repeat_interleave(info.n_heads // info.n_kv_heads, dim=1)
        squares: Tensor = ((values @ (output @ output.mT)) * values).sum(-1)
        return squares.clamp(min=0).sqrt()


def _keep(held: list[Tensor]) -> Callable[..., None]:
    def hook(_module: nn.Module, _arguments: object, out: Tensor) -> None:
        held[:] = [out]

    return hook


def _ask(_module: nn.Module, arguments: object, options: dict[str, object]) -> tuple[object, dict[str, object]]:
    """An attention that gives its probabilities only when it is asked to is asked."""
    return arguments, options | {"output_attentions": True}


def open_pattern_reader(model: str, info: ModelInfo, device: torch.device, dtype: torch.dtype) -> PatternReader:
    """Load MODEL to be run with plain attention. Raises `CheckpointError` when ``transformers`` cannot load it."""
    network = load_network(model, dtype, attn_implementation="eager")
    return PatternReader(network.to(device), info)
