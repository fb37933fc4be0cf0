"""What `describe.inference` computes, literally: the attention pattern really forced, every step run anew.

The pattern is forced in a second run by replacing the attention weights of one layer after another by a one-hot row,
while everything else runs as it does: each head's output is read, then put back, so that no head sees another's
intervention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tests.oracle import hooked, places


def _outputs(model: Any) -> list[Any]:
    """The attention output projection of each layer."""
    return places(model).outputs


def w_o(model: Any, layer: int, head: int) -> Tensor:
    """W_O (dh, d) of a head, as the module computes it: basis vectors in, bias taken off."""
    module = _outputs(model)[layer]
    width = module.weight.shape[0 if model.config.model_type == "gpt2" else 1]
    dh = width // model.config.num_attention_heads
    basis = torch.eye(width, dtype=model.dtype)[head * dh : (head + 1) * dh]
    with torch.no_grad():
        return (module(basis) - module(torch.zeros_like(basis))).double()


def reads(model: Any, ids: tuple[int, ...]) -> Tensor:
    """z of every layer and head at the last position of an unpadded prompt, (L, H, dh)."""
    return batch_reads(model, torch.tensor([ids]))[:, :, 0].double()


def batch_reads(model: Any, ids: Tensor) -> Tensor:
    """The same of prompts of one length (B, T): (L, H, B, dh)."""
    found: list[Tensor] = []
    hooks = [
        output.register_forward_pre_hook(lambda _m, arguments: found.append(arguments[0][:, -1]))
        for output in _outputs(model)
    ]
    try:
        with torch.no_grad():
            model(ids, use_cache=False, logits_to_keep=1)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(found).unflatten(-1, (places(model).n_heads, -1)).transpose(1, 2)


def forced_reads(model: Any, ids: tuple[int, ...], source: int) -> Tensor:
    """The same with the last position's attention forced onto the source in all heads of a layer, (L, H, dh)."""
    return batch_forced(model, torch.tensor([ids]), source)[:, :, 0].double()


def batch_forced(model: Any, ids: Tensor, source: int) -> Tensor:
    """The same of prompts of one length (B, T) with their sources at one place: (L, H, B, dh)."""
    found: list[Tensor] = []

    def forced(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any) -> Any:
        out, weights = ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, mask, **options)
        pattern = torch.zeros(*query.shape[:3], key.shape[2], dtype=query.dtype)
        pattern[..., source] = 1
        values = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
        found.append((pattern @ values)[:, :, -1].transpose(0, 1))
        return out, weights

    with _attention(model, forced), torch.no_grad():
        model(ids, use_cache=False, logits_to_keep=1)
    return torch.stack(found)


def reads_of_source(model: Any, ids: tuple[int, ...], source: int) -> Tensor:
    """The same for models whose attention cannot be replaced: each layer's attention alone with what stands at the
    source, as in a prompt of one token, (L, H, dh)."""
    at = places(model)
    standing: list[Tensor] = []

    def note(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        standing.append(kwargs.get("hidden_states", args[0] if args else None)[:, source : source + 1])

    notes = [module.register_forward_pre_hook(note, with_kwargs=True) for module in at.attentions]
    with hooked(*notes), torch.no_grad():
        model(torch.tensor([ids]), use_cache=False)

    def feed(layer: int) -> Callable[..., Any]:
        def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if "hidden_states" in kwargs:
                return args, kwargs | {"hidden_states": standing[layer]}
            return (standing[layer], *args[1:]), kwargs

        return hook

    hooks = [m.register_forward_pre_hook(feed(i), with_kwargs=True) for i, m in enumerate(at.attentions)]
    with hooked(*hooks):
        return reads(model, ids[:1])


@contextmanager
def _attention(model: Any, function: Callable[..., Any]) -> Iterator[None]:
    ALL_ATTENTION_FUNCTIONS["forced"] = function
    before = model.config._attn_implementation
    model.set_attn_implementation("forced")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def forced_run_reads(model: Any, ids: tuple[int, ...], source: int) -> Tensor:
    """z at the last position, (L, H, dh), in a run in which all heads of all layers attend to the source there.

    Other positions run as they do; the same as `forced_reads` where the source is not the last position itself.
    """

    def forced(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any) -> Any:
        out, weights = ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, mask, **options)
        values = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
        out = out.clone()
        out[:, -1] = values[:, :, source]
        return out, weights

    with _attention(model, forced):
        return reads(model, ids)


def counts(model: Any, z: Tensor, unembed: Tensor, pairs: list[tuple[int, int]], k: int) -> tuple[Any, Any]:
    """For z (S, L, H, dh) of each source: of the pairs (place of the source, target), how many have the target among
    the k largest, and the k smallest, of z W_O U; by layer and head."""
    sides: tuple[Any, Any] = ([], [])
    source, target = torch.tensor(pairs).T
    for layer in range(z.shape[1]):
        rows: tuple[list[int], list[int]] = ([], [])
        for head in range(z.shape[2]):
            scores = (z[:, layer, head] @ w_o(model, layer, head) @ unembed.T)[source]
            for side, found in ((scores, rows[0]), (-scores, rows[1])):
                found.append(int((side.topk(k, dim=1).indices == target[:, None]).any(dim=1).sum()))
        for side_rows, row in zip(sides, rows, strict=True):
            side_rows.append(tuple(row))
    return tuple(sides[0]), tuple(sides[1])


def prediction(model: Any, ids: tuple[int, ...], removed: list[tuple[int, int]]) -> int:
    """The likeliest next token after the whole prompt, with these heads' outputs zeroed at its last position."""
    return batch_predictions(model, torch.tensor([ids]), removed)[0]


def batch_predictions(model: Any, ids: Tensor, removed: list[tuple[int, int]]) -> list[int]:
    """The same of prompts of one length (B, T)."""
    n_heads = places(model).n_heads

    def zero(layer: int) -> Callable[..., Any]:
        def hook(_module: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            z = arguments[0].clone().unflatten(-1, (n_heads, -1))
            for at, head, *_ in removed:
                if at == layer:
                    z[:, -1, head] = 0
            return (z.flatten(-2),)

        return hook

    hooks = [output.register_forward_pre_hook(zero(i)) for i, output in enumerate(_outputs(model))]
    try:
        with torch.no_grad():
            return list(model(ids, use_cache=False, logits_to_keep=1).logits[:, -1].argmax(dim=-1).tolist())
    finally:
        for hook in hooks:
            hook.remove()
