"""A model run layer by layer over many single tokens: each layer over all of them before the next.

``transformers`` makes what its layers are called with, whatever the family: masks, positions and rotations. The model's
own forward is run once with layers that only note their arguments; then each layer is called with these, batch by
batch, on the residual stream as the layer before left it. So one layer's weights are in use at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from describe.inference.opening import OpeningCache
from describe.inference.running import Runner

__all__ = ["LayerCall", "LayerwiseModel"]


class _Noted(Exception):  # noqa: N818  (no error: all is known that was asked)
    """Ends a forward pass."""


@dataclass(frozen=True)
class LayerCall:
    """The arguments of a decoder layer beside the residual stream."""

    arguments: tuple[object, ...]
    options: dict[str, object]

    @property
    def stream(self) -> Tensor:
        """The residual stream that it was called with, (B, T, d)."""
        found = self.arguments[0] if self.arguments else self.options["hidden_states"]
        assert isinstance(found, Tensor)
        return found

    def __call__(self, layer: nn.Module, stream: Tensor) -> Tensor:
        """The residual stream behind the layer."""
        if self.arguments:
            out = layer(stream, *self.arguments[1:], **self.options)
        else:
            out = layer(**self.options | {"hidden_states": stream})
        left: Tensor = out[0] if isinstance(out, tuple | list) else out
        return left


class LayerwiseModel:
    """A causal model whose layers can be run one after another, with their weights in memory or in files.

    Args:
        runner: the model.
        ready: a context in which a layer's weights are in memory; without it they always are.
        places: from token ids to rows of the embedding module, where that holds only some.
    """

    def __init__(
        self,
        runner: Runner,
        ready: Callable[[int], AbstractContextManager[None]] | None = None,
        places: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._runner, self._ready = runner, ready
        self._places = places or (lambda ids: ids)
        self.n_layers, self.d_model = runner.info.n_layers, runner.info.d_model
        self.device, self.dtype = runner.device, runner.dtype

    @property
    def backbone(self) -> nn.Module:
        """The model without its unembedding."""
        return self._runner.backbone

    @contextmanager
    def ready(self, layer: int) -> Iterator[nn.Module]:
        """A decoder layer with its weights in memory."""
        with ExitStack() as stack:
            if self._ready is not None:
                stack.enter_context(self._ready(layer))
            yield self._runner.layer(layer)

    def calls(self, ids: Tensor, cache: OpeningCache) -> list[LayerCall]:
        """The arguments of every layer, for tokens (B, T) behind what the cache stands behind."""
        return self._note(ids, cache, self.n_layers)

    def entering(self, ids: Tensor, cache: OpeningCache) -> Tensor:
        """The residual stream (B, T, d) that enters the first layer."""
        return self._note(ids, cache, 1)[0].stream

    @contextmanager
    def read(self, layer: int, *, stop: bool = False) -> Iterator[list[Tensor]]:
        """A list that holds, once the layer ran, the normed input of its value projection, (B, T, d); with ``stop`` it
        runs no further, and nor does the block within."""
        seen: list[Tensor] = []

        def note(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            seen[:] = arguments[:1]
            if stop:
                raise _Noted

        hook = self._runner.value(layer).register_forward_pre_hook(note)
        try:
            yield seen
        except _Noted:
            pass
        finally:
            hook.remove()

    def _note(self, ids: Tensor, cache: OpeningCache, n: int) -> list[LayerCall]:
        calls: list[LayerCall] = []

        def note(*arguments: object, **options: object) -> tuple[object, ...]:
            calls.append(LayerCall(arguments, options))
            if len(calls) == n:
                raise _Noted
            stream = arguments[0] if arguments else options["hidden_states"]
            return (stream,) * 3

        layers: Sequence[nn.Module] = [self._runner.layer(i) for i in range(n)]
        before, length = cache.get_seq_length(), ids.shape[1]
        inputs = {
            "input_ids": self._places(ids),
            "attention_mask": torch.ones(len(ids), before + length, dtype=torch.long, device=self.device),
            "position_ids": torch.arange(before, before + length, device=self.device).expand(len(ids), -1),
        }
        try:
            for layer in layers:
                layer.forward = note
            self._runner.forward(inputs, cache)
        except _Noted:
            pass
        finally:
            for layer in layers:
                del layer.forward
        return calls
