"""The literal equations of MAPS, slow and plain, to hold the fast paths against.

W_VO is materialised, nothing is shared or skipped. For models that ``transformers`` can run,
W_VO is read off the attention module itself, by feeding it the basis vectors as one-token inputs: no knowledge of how
a family stores its heads enters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from describe.weights.families import family_of
from describe.weights.names import found_prefix


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


@dataclass(frozen=True)
class Places:
    """The modules of a ``transformers`` model that matter here. Only their names come from the table of families, not
    how a family stores its heads."""

    layers: list[Any]
    attentions: list[Any]
    outputs: list[Any]
    d_model: int
    n_heads: int


def places(model: Any) -> Places:
    """Where a model of any family keeps its layers, its attention and their output projections."""
    config = model.config.get_text_config(decoder=True)
    family = family_of(model_type=config.model_type) or family_of(model_type=model.config.model_type)
    assert family is not None
    there = dict(model.named_modules())
    prefix = found_prefix(family, there)
    layers = [there[f"{prefix}{family.block.format(i)}".rstrip(".")] for i in range(config.num_hidden_layers)]
    attention = family.output.rpartition(".")[0]
    return Places(
        layers,
        [layer.get_submodule(attention) for layer in layers],
        [layer.get_submodule(family.output) for layer in layers],
        config.hidden_size,
        config.num_attention_heads,
    )


@contextmanager
def hooked(*hooks: Any) -> Iterator[None]:
    """Run with hooks, then remove them."""
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def first_layer(model: Any) -> tuple[Tensor, Tensor]:
    """What enters the first layer for every token, E as it is read, (V, d), and what the layer adds to it while its
    attention writes nothing: x(t), (V, d). By the model's own modules, positions taken out."""
    found: dict[str, Tensor] = {}
    at = places(model)

    def enter(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found["in"] = args[0] if args else kwargs["hidden_states"]

    def leave(_module: Any, _args: Any, out: Any) -> None:
        found["out"] = out[0] if isinstance(out, (tuple, list)) else out

    positions = [
        module
        for name, module in model.named_modules()
        if name.rpartition(".")[2] in ("wpe", "embed_positions", "positions_embed")
    ]
    # GPT-1 norms what its MLP adds together with what was there: the MLP itself is read.
    behind_norm = [at.layers[0].mlp] if model.config.model_type == "openai-gpt" else []
    with hooked(
        *(mlp.register_forward_hook(lambda _m, _a, out: found.update(mlp=out)) for mlp in behind_norm),
        at.layers[0].register_forward_pre_hook(enter, with_kwargs=True),
        at.layers[0].register_forward_hook(leave),
        at.outputs[0].register_forward_hook(lambda _m, _a, out: torch.zeros_like(out)),
        *(module.register_forward_hook(lambda _m, _a, out: torch.zeros_like(out)) for module in positions),
    ):
        run_alone(model, torch.arange(model.get_input_embeddings().weight.shape[0]))
    written = found.get("mlp", found["out"] - found["in"])
    return found["in"][:, 0].double(), written[:, 0].double() / getattr(model.config, "residual_multiplier", 1)


def run_alone(model: Any, tokens: Tensor) -> None:
    """Run the model on prompts of one token each."""
    with torch.no_grad():
        model(input_ids=tokens[:, None], use_cache=False)


def source_vectors(model: Any) -> Tensor:
    """x(t) = MLP_0(norm(E[t])) for all t, by the model's own modules, (V, d)."""
    return first_layer(model)[1]


def all_w_vo(model: Any, layer: int) -> Tensor:
    """W_VO of every head of a layer, (H, d, d), as the running attention module computes it from the basis vectors,
    biases taken off: prompts of one token whose place is taken by a basis vector, one head at a time let through."""
    at = places(model)
    basis = torch.cat([torch.eye(at.d_model), torch.zeros(1, at.d_model)]).to(next(model.parameters()).dtype)
    rows = basis.repeat(at.n_heads, 1)[:, None]
    written: list[Tensor] = []

    def feed(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if "hidden_states" in kwargs:
            return args, kwargs | {"hidden_states": rows}
        return (rows, *args[1:]), kwargs

    def one_head_each(_module: Any, args: tuple[Any, ...]) -> Any:
        read = args[0].view(at.n_heads, len(basis), at.n_heads, -1)
        kept = torch.eye(at.n_heads, dtype=read.dtype)[:, None, :, None]
        return ((read * kept).view(args[0].shape), *args[1:])

    with hooked(
        at.attentions[layer].register_forward_pre_hook(feed, with_kwargs=True),
        at.outputs[layer].register_forward_pre_hook(one_head_each),
        at.outputs[layer].register_forward_hook(lambda _m, _a, out: written.append(out)),
    ):
        run_alone(model, torch.zeros(len(rows), dtype=torch.long))
    found = written[0].view(at.n_heads, len(basis), -1).double()
    return found[:, :-1] - found[:, -1:]


def w_vo(model: Any, layer: int, head: int) -> Tensor:
    """W_VO (d, d) of one head."""
    return all_w_vo(model, layer)[head]


def alone(model: Any, layer: int, tokens: Tensor, nothing: bool = False) -> tuple[Tensor, Tensor]:
    """What the attention of a layer reads and writes for prompts of one token, both (n, d); of zeros if ``nothing``."""
    at = places(model)
    found: list[Tensor] = []

    def read(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        rows = kwargs.get("hidden_states", args[0] if args else None)
        rows = torch.zeros_like(rows) if nothing else rows
        found.append(rows)
        if "hidden_states" in kwargs:
            return args, kwargs | {"hidden_states": rows}
        return (rows, *args[1:]), kwargs

    with hooked(
        at.attentions[layer].register_forward_pre_hook(read, with_kwargs=True),
        at.outputs[layer].register_forward_hook(lambda _m, _a, out: found.append(out)),
    ):
        run_alone(model, tokens)
    return found[0][:, 0].double(), found[1][:, 0].double()
