"""What is kept in memory, in a file or nowhere changes no result; plans keep to their budget; a full device goes on."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from describe.errors import InputError
from describe.maps import (
    Pairs,
    SalientOperations,
    ScratchRows,
    SourceVectors,
    Unembedding,
    plan_extraction,
    plan_ranking,
    relation_hits,
    salient_operations,
    source_vectors,
)
from describe.pipeline.extraction.memory import parse_memory
from describe.records import ModelInfo
from describe.weights import HeadWeights, open_model
from describe.weights.model import joined
from tests import oracle, tiny
from tests.unit.test_weights import assert_equals_modules

CPU = torch.device("cpu")
LLAMA_70B = ModelInfo("llama-70b", "0" * 64, "llama", 80, 64, 8, 8192, 128, 128_256)
GIB = 2**30


@pytest.fixture(scope="module")
def weights(tiny_llama: Path) -> HeadWeights:
    return open_model(str(tiny_llama))


@pytest.fixture(scope="module")
def x(weights: HeadWeights) -> SourceVectors:
    return source_vectors(weights.embed, weights.first_mlp, CPU, torch.float32)


def assert_same(found: SalientOperations, other: SalientOperations) -> None:
    """The same tokens in the same order, and numbers up to rounding."""
    for name in (each.name for each in fields(found)):
        ours, theirs = getattr(found, name), getattr(other, name)
        if ours.dtype == torch.long:
            assert torch.equal(ours, theirs), name
        else:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_little_memory_gives_the_same(weights: HeadWeights, x: SourceVectors) -> None:
    """Sources in a scratch file, the MLP in parts, U read by block, blocks of a few rows, three layers in one sweep."""
    n, k, heads = 30, 5, weights.info.n_heads
    expected = [
        salient_operations(x, weights.layer(layer), weights.unembed.to(CPU, torch.float32), n, k, sample=9, seed=layer)
        for layer in range(3)
    ]
    scratch = ScratchRows((300, weights.info.d_model), torch.float32)
    little = source_vectors(weights.embed, weights.first_mlp, CPU, torch.float32, keep=scratch, parts=3, block=700)
    torch.testing.assert_close(scratch[:], x.of(slice(None)), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(little.norms, x.norms)
    wide = joined((weights.layer(layer) for layer in range(3)), 3, CPU, torch.float32)
    seeds = [layer + head for layer in range(3) for head in range(heads)]
    found = salient_operations(little, wide, weights.unembed, n, k, sample=9, seed=seeds, block=700)
    for one, other in zip(found.split(heads), expected, strict=True):
        assert_same(one, other)


class Full:
    """Rows on a device with room for a few at once."""

    def __init__(self, rows: Any, most: int) -> None:
        self.rows, self.shape, self.most, self.refused = rows, rows.shape, most, 0

    def __getitem__(self, rows: slice | torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.rows[rows]
        if len(found) > self.most:
            self.refused += 1
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return found


def test_a_full_device_halves_the_block_and_goes_on(weights: HeadWeights, x: SourceVectors) -> None:
    layer = weights.layer(1)
    expected = salient_operations(x, layer, weights.unembed, 30, 5)
    embed, unembed = Full(weights.embed, 40), Full(weights.unembed, 64)
    again = source_vectors(embed, weights.first_mlp, CPU, torch.float32)
    vectors = Full(again.vectors, 50)
    assert_same(salient_operations(SourceVectors(vectors, again.norms), layer, unembed, 30, 5), expected)
    assert min(embed.refused, unembed.refused, vectors.refused) > 0
    with pytest.raises(torch.cuda.OutOfMemoryError):
        source_vectors(Full(weights.embed, 0), weights.first_mlp, CPU, torch.float32)


def test_equal_logits_are_ordered_by_token_whatever_the_block(weights: HeadWeights, x: SourceVectors) -> None:
    """Tokens with the same row of U: the first come first, and only as many as are asked for."""
    unembed = torch.randn(8, weights.info.d_model, generator=torch.Generator().manual_seed(0)).repeat(200, 1)
    layer = weights.layer(2)
    whole = salient_operations(x, layer, unembed, 10, 5)
    for block in (1 << 14, 1 << 12, 100):
        assert_same(salient_operations(x, layer, unembed, 10, 5, block=block), whole)
    strongest = whole.targets[..., 0]
    assert int(strongest.max()) < 8
    for place in range(1, 5):
        assert torch.equal(whole.targets[..., place], strongest + 8 * place)
        assert torch.equal(whole.suppressed[..., place], whole.suppressed[..., 0] + 8 * place)


def test_ranks_are_the_same_with_the_unembedding_in_its_file(weights: HeadWeights, x: SourceVectors) -> None:
    draw = torch.Generator().manual_seed(0)
    source, target = torch.randint(50, (400,), generator=draw), torch.randint(300, (400,), generator=draw)
    pairs = Pairs(source, target, torch.full((400,), 10), x.of(slice(50)).double())
    kept = relation_hits(pairs, weights.layer(1), Unembedding(weights.unembed, CPU))
    read = Unembedding(weights.unembed, CPU, keep=False, block=1000)
    found = relation_hits(pairs, weights.layer(1), read, heads=1)
    assert int(kept.top.sum()) > 0
    assert torch.equal(found.top, kept.top)
    assert torch.equal(found.bottom, kept.bottom)


@pytest.mark.parametrize("gib", [4, 6, 8, 12, 16, 64])
def test_plans_keep_to_their_budget(gib: int) -> None:
    """At the size of Llama-3.1-70B, whose source vectors are 3.9 GiB; what there is room for is kept."""
    plan = plan_extraction(LLAMA_70B, 28_672, 90, 80, 4, gib * GIB)
    assert plan.bytes <= gib * GIB
    assert plan.keep_sources == (gib >= 8)
    assert plan.keep_unembed or plan.layers > 1, "one reading of the unembedding serves several layers"
    assert (plan.parts > 1) == (gib in (4, 8)), "beside the vectors there is room for a part of the MLP only"
    ranking = plan_ranking(LLAMA_70B, 28_672, 2500, 2500, gib * GIB)
    assert ranking.bytes <= gib * GIB
    assert ranking.keep_unembed == (gib >= 8)


def test_too_little_memory_is_refused() -> None:
    for gib in (0, 1):
        with pytest.raises(InputError, match=r"--memory leaves \d.00 GiB to compute llama-70b in, which takes [1-9]"):
            plan_extraction(LLAMA_70B, 28_672, 90, 80, 4, gib * GIB)
        with pytest.raises(InputError, match="at least: allow more"):
            plan_ranking(LLAMA_70B, 28_672, 2500, 2500, gib * GIB)


@pytest.mark.parametrize(
    ("text", "bytes_"), [("8GiB", 8 * GIB), ("500MB", 500_000_000), ("1.5 gib", 3 * GIB // 2), ("2K", 2000), ("7", 7)]
)
def test_amounts_of_memory(text: str, bytes_: int) -> None:
    assert parse_memory(text) == bytes_


@pytest.mark.parametrize("text", ["", "much", "-1GiB", "0", "8 giraffes", "1e9"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(InputError, match="no amount of memory"):
        parse_memory(text)


def test_eight_bit_weights_are_multiplied_with_their_scales(tmp_path: Path) -> None:
    """As in checkpoints of DeepSeek and Qwen: blocks that do not divide the matrix, a scale for each."""
    model = tiny.tiny_model("llama")
    folder = tiny.save(model, tmp_path / "eight-bit")
    tensors, block = load_file(folder / "model.safetensors"), 32
    state = model.state_dict()
    for name in [name for name in tensors if "_proj" in name]:
        matrix = tensors[name]
        high, wide = (-(-size // block) for size in matrix.shape)
        scales = torch.rand(high, wide, generator=torch.Generator().manual_seed(0)) / 100 + 1e-4
        of_each = torch.stack([scales[i // block, j // block] for i, j in torch.ones_like(matrix).nonzero()])
        stored = (matrix / of_each.view_as(matrix)).clamp(-448, 448).to(torch.float8_e4m3fn)
        tensors |= {name: stored, f"{name}_scale_inv": scales}
        state[name].copy_(stored.float() * of_each.view_as(matrix))
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [block, block]}
    (folder / "config.json").write_text(json.dumps(config))
    weights = open_model(str(folder))
    assert_equals_modules(weights, model)
    source, name = weights._source, "model.layers.0.mlp.up_proj.weight"
    whole = source.read(name)
    assert torch.equal(source.read(name, slice(30, 70)), whole[30:70])
    assert torch.equal(source.read(name, torch.tensor([79, 0, 33])), whole[[79, 0, 33]])
    assert torch.equal(whole, state[name])


def test_literal_equations_hold_where_memory_is_little(weights: HeadWeights) -> None:
    """Not only against our own way with much memory."""
    model = tiny.tiny_model("llama")
    literal_x = oracle.source_vectors(model)
    scratch = ScratchRows((300, weights.info.d_model), torch.float32)
    x = source_vectors(weights.embed, weights.first_mlp, CPU, torch.float32, keep=scratch, parts=7, block=500)
    found = salient_operations(x, weights.layer(1), weights.unembed, 30, 5, block=500)
    unembed = model.get_output_embeddings().weight.data.double()
    for head in range(weights.info.n_heads):
        literal = oracle.salient(literal_x, oracle.w_vo(model, 1, head), unembed, 30)
        oracle.assert_same_order(found.sources[head], literal.saliency)
        for row, source in enumerate(found.sources[head]):
            logits = literal_x[source] @ oracle.w_vo(model, 1, head) @ unembed.T
            oracle.assert_same_order(found.targets[head, row], logits)
            oracle.assert_same_order(found.suppressed[head, row], -logits)
