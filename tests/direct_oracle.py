"""What a head really adds to the logits of its model, by hooks: runs with and without its value output, all else held.

Held as in the clean run are what later attentions write, what MLPs write, and the scales of the norms that the residual
stream itself goes through: so the logits differ by what the head's output does to them on its own way, and by nothing
that other parts make of it. No weight is read, no gain is multiplied here: modules of the model run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from describe.weights.families import family_of
from describe.weights.family import Family
from describe.weights.names import found_prefix
from tests.inference_oracle import reads_of_source
from tests.oracle import Places, places


def logit_changes(model: Any, ids: tuple[int, ...], layer: int) -> Tensor:
    """For each head of a layer: how the final logits at the last position change by what it writes when it attends to
    that position alone, the final norm's scale multiplied back, (H, V)."""
    at, final = places(model), _final_norm(model)
    z = reads_of_source(model, ids, len(ids) - 1)[layer]
    n_heads, dh = z.shape
    alone = torch.zeros(n_heads + 1, n_heads * dh, dtype=z.dtype)  # the last without any head
    for head in range(n_heads):
        alone[head, head * dh : (head + 1) * dh] = z[head]
    found: dict[str, Tensor] = {}

    def put(_module: Any, args: tuple[Any, ...]) -> Any:
        heads = args[0].clone()
        heads[:, -1] = alone.to(heads)
        return (heads, *args[1:])

    held, norms = list(_held(model, at, layer)), _norms(model, at, layer)
    clean = _run(model, ids, 1, [*held, *norms])
    model_head = model.get_output_embeddings()
    with ExitStack() as hooks, torch.no_grad():
        for module in held:
            hooks.callback(module.register_forward_hook(_as_it_was(clean[module][1], n_heads + 1)).remove)
        for norm in norms:
            hooks.callback(norm.register_forward_hook(_with_scale(clean[norm][0])).remove)
        hooks.callback(at.outputs[layer].register_forward_pre_hook(put).remove)
        hooks.callback(model_head.register_forward_hook(lambda _m, _a, out: found.update(logits=out)).remove)
        model(torch.tensor([ids]).repeat(n_heads + 1, 1), use_cache=False)
    logits = found["logits"][:, -1].double()
    scale = 1 if final is None else _scale(final, clean[final][0])[0, -1].double()
    return (logits[:-1] - logits[-1]) * scale


def _run(model: Any, ids: tuple[int, ...], n: int, modules: list[Any]) -> dict[Any, tuple[Any, Any]]:
    """What goes into modules and comes out in the run as it is."""
    seen: dict[Any, tuple[Any, Any]] = {}
    with ExitStack() as hooks, torch.no_grad():
        for module in modules:
            hook = lambda m, args, out: seen.update({m: (args[0] if args else None, out)})  # noqa: E731
            hooks.callback(module.register_forward_hook(hook).remove)
        model(torch.tensor([ids]).repeat(n, 1), use_cache=False)
    return seen


def _as_it_was(clean: Any, n: int) -> Callable[..., Any]:
    def hook(_module: Any, _args: Any, out: Any) -> Any:
        first = clean[0] if isinstance(clean, (tuple, list)) else clean
        many = first.repeat(n, *[1] * (first.dim() - 1))  # some give rows of all prompts one after another
        return (many, *out[1:]) if isinstance(out, (tuple, list)) else many

    return hook


def _with_scale(clean: Tensor) -> Callable[..., Tensor]:
    """A norm that divides by the scale of another input."""

    def hook(module: Any, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        bias = module.forward(torch.zeros_like(args[0]))
        scaled: Tensor = (out - bias) * (_scale(module, args[0]) / _scale(module, clean)) + bias
        return scaled

    return hook


def _scale(norm: Any, rows: Tensor) -> Tensor:
    """What a norm divides its input by."""
    eps = next((getattr(norm, name) for name in ("eps", "variance_epsilon") if hasattr(norm, name)), 1e-5)
    centred = rows if "rms" in type(norm).__name__.lower() else rows - rows.mean(-1, keepdim=True)
    return (centred.square().mean(-1, keepdim=True) + eps).sqrt()


def _held(model: Any, at: Places, layer: int) -> Iterator[Any]:
    """What writes into the residual stream behind a layer's attention: its MLP, and all of later layers."""
    for number in range(layer, len(at.layers)):
        if number > layer:
            yield at.outputs[number]
        family, block = _family(model), at.layers[number]
        if family.down in {name for name, _ in block.named_modules()}:
            yield block.get_submodule(family.down)
            continue
        for module in block.children():  # a mixture of experts, of one module or of two
            kind = type(module).__name__.lower()
            if at.outputs[number] not in module.modules() and "norm" not in kind and not isinstance(module, nn.Dropout):
                yield module


def _norms(model: Any, at: Places, layer: int) -> list[Any]:
    """The norms that the residual stream itself goes through behind a layer's attention."""
    family, final = _family(model), _final_norm(model)
    if final is not None:
        return [final]
    return [block.get_submodule(name) for block in at.layers[layer:] for name in family.carried_on]


def _family(model: Any) -> Family:
    config = model.config.get_text_config(decoder=True)
    family = family_of(model_type=config.model_type) or family_of(model_type=model.config.model_type)
    assert family is not None
    return family


def _final_norm(model: Any) -> Any:
    """The module before the unembedding; only its name is the table's."""
    family, there = _family(model), dict(model.named_modules())
    prefix = found_prefix(family, there)
    name = "norm" if family.final_norm == "plain" else family.final_norm
    return there[f"{prefix}{name}"] if name else None
