"""Figures of attention by their words, place by place; and a model built by hand whose heads look where is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from describe.attention import FIGURES, FIRST_PLACE, LOCAL
from describe.records import ModelInfo

V, LONGEST, HEADS, D_HEAD = 40, 96, 2, 100
"""Tokens and places of the model built by hand; what each head keeps has room for a place each."""


def literal_figures(
    pattern: Tensor, ids: Sequence[int], punctuation: Sequence[bool], line_break: Sequence[bool]
) -> dict[str, float]:
    """The figures of one head from its pattern (T, T); NaN where no place has what is asked for."""
    size, p = len(ids), pattern.double()
    found: dict[str, list[float]] = {figure.name: [] for figure in FIGURES}
    by_distance: dict[int, list[float]] = {}
    for i in range(FIRST_PLACE, size):
        copies = [j for j in range(1, i) if ids[j] == ids[i]]
        after = [j for j in range(2, i) if ids[j - 1] == ids[i]]
        right = [j for j in after if i + 1 < size and ids[j] == ids[i + 1]]
        for name, places in (("duplicate", copies), ("induction", after), ("same_next", right)):
            if places:
                found[name].append(sum(float(p[i, j]) for j in places))
        for name, marks in (("punctuation", punctuation), ("line_break", line_break)):
            found[name].append(sum(float(p[i, j]) for j in range(1, i + 1) if marks[j]))
        for name, j in (("first", 0), ("itself", i), ("previous", i - 1), ("before_previous", i - 2)):
            found[name].append(float(p[i, j]))
        found["local"].append(sum(float(p[i, j]) for j in range(i - LOCAL + 1, i + 1)))
        found["nowhere"].append(max(0.0, 1 - float(p[i].sum())))
        found["distance"].append(sum(float(p[i, j]) * (i - j) for j in range(i + 1)) / float(p[i].sum()))
        found["entropy"].append(-sum(float(q) * math.log(float(q)) for q in p[i, : i + 1] if q > 0))
        for j in range(1, i + 1):
            by_distance.setdefault(i - j, []).append(float(p[i, j]))
    means = {name: sum(values) / len(values) if values else math.nan for name, values in found.items() if values != []}
    squares = sum(value**2 for values in by_distance.values() for value in values)
    explained = sum(len(values) * (sum(values) / len(values)) ** 2 for values in by_distance.values())
    return {figure.name: math.nan for figure in FIGURES} | means | {"placed": explained / squares}


def model_built_by_hand() -> tuple[Any, ModelInfo]:
    """A GPT-2 of two layers of two heads, all of it zero but this: 0.0 attends to the token before and writes down
    which it is; 1.0 attends to tokens before which its own token was written down. 0.1 and 1.1 attend to all alike.

    The residual stream has a direction for every token, every place, and every token that came before.
    """
    d = HEADS * D_HEAD
    assert d >= 2 * V + LONGEST, "no room for a direction each"
    size = {"vocab_size": V, "n_positions": LONGEST, "n_embd": d, "n_layer": 2, "n_head": HEADS, "n_inner": 4}
    config = GPT2Config(**size, bos_token_id=0, eos_token_id=0)
    config._attn_implementation = "eager"
    model = GPT2LMHeadModel(config)
    token, place, before = torch.eye(d)[:V], torch.eye(d)[V : V + LONGEST], torch.eye(d)[V + LONGEST : 2 * V + LONGEST]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if "ln_" in name and name.endswith("weight") else 0.0)
        model.transformer.wte.weight.copy_(token)
        model.transformer.wpe.weight.copy_(place)
        sharp = 30.0
        key = torch.eye(D_HEAD)
        first, second = (block.attn for block in model.transformer.h)
        # q(i) and k(i - 1) share a direction.
        first.c_attn.weight[:, :D_HEAD] = sharp * place[1:].T @ key[: LONGEST - 1]
        first.c_attn.weight[:, d : d + D_HEAD] = place.T @ key[:LONGEST]
        first.c_attn.weight[:, 2 * d : 2 * d + D_HEAD] = token.T @ key[:V]
        first.c_proj.weight[:D_HEAD] = key[:V].T @ before
        # q of a token and k of a place behind it share a direction.
        second.c_attn.weight[:, :D_HEAD] = sharp * token.T @ key[:V]
        second.c_attn.weight[:, d : d + D_HEAD] = before.T @ key[:V]
        second.c_attn.weight[:, 2 * d : 2 * d + D_HEAD] = token.T @ key[:V]
        second.c_proj.weight[:D_HEAD] = key[:V].T @ token
    info = ModelInfo("built by hand", "", "gpt2", 2, HEADS, HEADS, d, D_HEAD, V)
    return model.eval(), info
