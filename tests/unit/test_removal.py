"""Heads removed by zeros, means or others' output equal whole, unpadded runs; direct effects skip later layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from describe.inference import Prompt, Runner
from describe.inference.removal import Removed, direct_logits, logits_without
from describe.records import HeadId
from tests import inference_oracle, tiny
from tests.oracle import hooked, places
from tests.unit.test_inference import prompts, run

HEADS = [HeadId(2, 1), HeadId(0, 3), HeadId(1, 0)]
FAMILIES = ("llama", "gpt2", "gpt_neox")


def literal(model: Any, ids: tuple[int, ...], instead: dict[HeadId, Tensor], at: str) -> Tensor:
    """Logits (T, V) of one unpadded run with z replaced: ``instead`` (T, dh) of each head."""
    at_places = places(model)

    def hook(layer: int) -> Any:
        def replace(_module: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            z = arguments[0].clone().unflatten(-1, (at_places.n_heads, -1))
            for head, values in instead.items():
                if head.layer == layer:
                    z[0, -1 if at == "last" else slice(None), head.head] = values[-1] if at == "last" else values
            return (z.flatten(-2),)

        return replace

    hooks = [output.register_forward_pre_hook(hook(i)) for i, output in enumerate(at_places.outputs)]
    with hooked(*hooks), torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0]


def own_outputs(model: Any, ids: tuple[int, ...], head: HeadId) -> Tensor:
    """z (T, dh) of a head in an unpadded run."""
    found: list[Tensor] = []
    module = places(model).outputs[head.layer]
    hook = module.register_forward_pre_hook(lambda _m, a: found.append(a[0][0]))
    with hooked(hook), torch.no_grad():
        model(torch.tensor([ids]), use_cache=False)
    return found[0].unflatten(-1, (places(model).n_heads, -1))[:, head.head]


def replacement(model: Any, asked: list[Prompt], removed: Removed, i: int, by: str, at: str) -> dict[HeadId, Tensor]:
    """z' (T, dh) of each head for prompt i, from unpadded runs."""
    found = {}
    for h, head in enumerate(HEADS):
        every = [own_outputs(model, prompt.ids, head) for prompt in asked]
        n = len(asked[i].ids)
        if by == "zero":
            found[head] = torch.zeros_like(every[i])
        elif by == "mean":
            rows = torch.stack([z[-1] for z in every]) if at == "last" else torch.cat(every)
            found[head] = rows.mean(0).expand(n, -1)
        else:
            last = removed.instead[h, i, -1]
            (other,) = [j for j, z in enumerate(every) if torch.allclose(z[-1], last)]
            assert other != i
            short = every[other][-n:]
            found[head] = torch.cat([short[:1].expand(n - len(short), -1), short])
    return found


@pytest.mark.parametrize("at", ["last", "all"])
@pytest.mark.parametrize("by", ["zero", "mean", "resample"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_removal_equals_whole_unpadded_runs(model_type: str, by: Any, at: Any) -> None:
    model = tiny.tiny_model(model_type)
    runner, asked = run(model), prompts(5)
    removed = Removed.of(runner, asked, HEADS, by, at)
    found = logits_without(removed)
    clean = logits_without(removed_nothing(runner, asked))
    for i, prompt in enumerate(asked):
        n = len(prompt.ids)
        expected = literal(model, prompt.ids, replacement(model, asked, removed, i, by, at), at)
        torch.testing.assert_close(found[i, -n:], expected)
        assert not torch.allclose(expected[-1], clean[i, -1])
    if (by, at) == ("zero", "last"):
        said = [inference_oracle.prediction(model, prompt.ids, HEADS) for prompt in asked]
        assert found[:, -1].argmax(-1).tolist() == said


def removed_nothing(runner: Runner, asked: list[Prompt]) -> Removed:
    found = Removed.of(runner, asked, HEADS[:1])
    return Removed(runner, found.prompts, (), "last", found.instead[:0], found.own[:0])


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_direct_effect_reaches_no_later_layer(model_type: str) -> None:
    """Of a head of the last layer, whose MLP is silent, the direct effect is all of it; of earlier heads it is not."""
    model = tiny.tiny_model(model_type)
    last = places(model).outputs[-1]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            silent = ("mlp.down_proj", "mlp.c_proj", "mlp.dense_4h_to_h")
            if f".{tiny.LAYERS - 1}." in name and any(part in name for part in silent):
                parameter.zero_()
    assert last is not None
    runner, asked = run(model), prompts(4)
    late = Removed.of(runner, asked, [HeadId(tiny.LAYERS - 1, 1)], "mean", "all")
    direct = direct_logits(late)
    assert direct is not None
    torch.testing.assert_close(direct[:, -1], logits_without(late)[:, -1])
    early = Removed.of(runner, asked, [HeadId(0, 1)], "mean", "all")
    of_early = direct_logits(early)
    assert of_early is not None
    assert not torch.allclose(of_early[:, -1], logits_without(early)[:, -1])
    assert not torch.allclose(of_early[:, -1], logits_without(removed_nothing(runner, asked))[:, -1])
