"""The literal equations of MAPS, slow and plain, to hold the fast paths against.

W_VO is materialised, nothing is shared or skipped. For models that ``transformers`` can run,
W_VO is read off the attention module itself, by feeding it the basis vectors as one-token inputs: no knowledge of how
a family stores its heads enters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class Salient:
    """``saliency`` (V,) of every token; ``logits`` (n, V), the rows of M for the n most salient ``sources``."""

    saliency: Tensor
    sources: Tensor
    logits: Tensor


def salient(x: Tensor, w_vo: Tensor, unembed: Tensor, n: int) -> Salient:
    """Saliency of every source vector x (V, d) under W_VO (d, d), and M = x W_VO U for the n most salient."""
    saliency = (x @ w_vo).norm(dim=1) / x.norm(dim=1)
    sources = saliency.argsort(descending=True)[:n]
    return Salient(saliency, sources, x[sources] @ w_vo @ unembed.T)


def assert_same_order(found: Tensor, values: Tensor, relative: float = 1e-5) -> None:
    """The ids ``found`` are the top of ``values``, in order, wherever values differ by more than ``relative``."""
    ids = found.tolist()
    assert len(set(ids)) == len(ids), "an id is listed twice"
    expected = values.sort(descending=True).values[: len(ids)]
    torch.testing.assert_close(values[found], expected, rtol=relative, atol=0)


def relation_hits(
    x: Tensor, w_vo: Tensor, unembed: Tensor, targets: Tensor, k: Tensor, rows: int = 256
) -> tuple[Tensor, Tensor]:
    """For pairs from source vectors x (P, d) to ``targets`` (P,): whether the target is among the k largest, and among
    the k smallest, of its whole row x W_VO U. Full projection, full top-k."""
    top, bottom = [], []
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        scores = x[part] @ w_vo @ unembed.T
        for side, found in ((scores, top), (-scores, bottom)):
            best = side.topk(int(k.max()), dim=1).indices
            among = torch.arange(best.shape[1]) < k[part, None]
            found.append(((best == targets[part, None]) & among).any(dim=1))
    return torch.cat(top), torch.cat(bottom)


# What the modules of a ``transformers`` model are called: layers, attention, output projection, first MLP's norm, MLP.
MODULES: dict[str, tuple[str, str, str, str, str]] = {
    "llama": ("model.layers", "self_attn", "o_proj", "post_attention_layernorm", "mlp"),
    "mistral": ("model.layers", "self_attn", "o_proj", "post_attention_layernorm", "mlp"),
    "qwen2": ("model.layers", "self_attn", "o_proj", "post_attention_layernorm", "mlp"),
    "qwen3": ("model.layers", "self_attn", "o_proj", "post_attention_layernorm", "mlp"),
    "gpt2": ("transformer.h", "attn", "c_proj", "ln_2", "mlp"),
    "gpt_neox": ("gpt_neox.layers", "attention", "dense", "post_attention_layernorm", "mlp"),
    "phi": ("model.layers", "self_attn", "dense", "input_layernorm", "mlp"),
}


def source_vectors(model: Any) -> Tensor:
    """x(t) = MLP_0(norm(E[t])) for all t, by the model's own modules, (V, d)."""
    layers, _, _, norm, mlp = MODULES[model.config.model_type]
    first = model.get_submodule(layers)[0]
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight
        return first.get_submodule(mlp)(first.get_submodule(norm)(embeddings)).double()


def w_vo(model: Any, layer: int, head: int) -> Tensor:
    """W_VO (d, d) of a head, as the running attention module computes it from the basis vectors, biases taken off."""
    layers, attention_name, output_name, _, _ = MODULES[model.config.model_type]
    attention = model.get_submodule(layers)[layer].get_submodule(attention_name)
    d = model.config.hidden_size
    basis = torch.cat([torch.eye(d), torch.zeros(1, d)]).to(model.dtype)[:, None]
    written: list[Tensor] = []

    def feed(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if "hidden_states" in kwargs:
            return args, kwargs | {"hidden_states": basis}
        return (basis, *args[1:]), kwargs

    def only_this_head(_module: Any, args: tuple[Any, ...]) -> Any:
        dh = args[0].shape[-1] // model.config.num_attention_heads
        kept = torch.zeros_like(args[0])
        kept[..., head * dh : (head + 1) * dh] = args[0][..., head * dh : (head + 1) * dh]
        return (kept, *args[1:])

    hooks = [
        attention.register_forward_pre_hook(feed, with_kwargs=True),
        attention.get_submodule(output_name).register_forward_pre_hook(only_this_head),
        attention.get_submodule(output_name).register_forward_hook(lambda _m, _a, out: written.append(out)),
    ]
    try:
        with torch.no_grad():
            model(torch.zeros(d + 1, 1, dtype=torch.long), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    rows = written[0][:, 0].double()
    return rows[:-1] - rows[-1]
