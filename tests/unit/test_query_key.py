"""Pairs of tokens by queries and keys equal the literal equations, and are stored, shown and imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import CheckpointError, InputError
from describe.export import FORMATS
from describe.inference.query_key import QueryKeyReader
from describe.maps.query_key import TokenLogits, agreement, random_logits, strongest_pairs, turned
from describe.pipeline.query_key import _turns
from describe.records import HeadId
from describe.weights import open_model
from tests import families, tiny

OFFSETS = 16


def literal(model: Any, layer: int, head: int, x: torch.Tensor, offset: int) -> torch.Tensor:
    """x W_Q R W_K^T x^T / sqrt(dh) of a Llama or Qwen3, written out: every pair's cell, (n, n)."""
    attention, config = model.model.layers[layer].self_attn, model.config
    width = attention.head_dim
    group = head // (config.num_attention_heads // config.num_key_value_heads)
    q = (x @ attention.q_proj.weight.T + (0 if attention.q_proj.bias is None else attention.q_proj.bias)).view(
        len(x), -1, width
    )[:, head]
    k = (x @ attention.k_proj.weight.T + (0 if attention.k_proj.bias is None else attention.k_proj.bias)).view(
        len(x), -1, width
    )[:, group]
    if hasattr(attention, "q_norm"):
        q, k = attention.q_norm(q), attention.k_norm(k)
    q, k = q - q.mean(0), k - k.mean(0)
    angles = offset * 10_000.0 ** (-torch.arange(0, width, 2) / width)
    half = width // 2
    left, right = q[:, :half], q[:, half:]
    turned_q = torch.cat(
        [left * angles.cos() - right * angles.sin(), right * angles.cos() + left * angles.sin()], dim=1
    )
    return turned_q @ k.T / width**0.5


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3"])
def test_pairs_equal_the_literal_equations(model_type: str, tmp_path: Path) -> None:
    model = tiny.tiny_model(model_type)
    info = open_model(str(tiny.save(model, tmp_path / "tiny"))).info
    reader = QueryKeyReader(model, info)
    x = torch.randn(90, info.d_model, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer, head in ((0, 1), (1, 3)):
            plain = reader.read(layer, x)
            turns = _turns(reader.read(layer, x[: 4 * info.d_head], OFFSETS + 1), head)
            query, key = plain.query[:, 0, head], plain.key[:, 0, head]
            for offsets in (range(5, 6), range(1, OFFSETS + 1)):
                cells = torch.stack([literal(model, layer, head, x, o) for o in offsets]).mean(0)
                own = TokenLogits.of(query @ turns[:, list(offsets)].mean(1), key)
                torch.testing.assert_close(own.query @ own.key.T, cells, rtol=1e-3, atol=1e-3)
                best = cells.flatten().topk(10)
                rows, columns, logits = strongest_pairs(own, 10, block=90 * 7)
                assert (rows * 90 + columns).tolist() == best.indices.tolist()
                torch.testing.assert_close(logits, best.values, rtol=1e-3, atol=1e-3)
                assert own.spread == pytest.approx(float(cells.square().mean().sqrt()), rel=1e-3)


@pytest.mark.parametrize(
    ("model_type", "tells"), [("gpt2", True), ("gemma3_text", True), ("phi3", True), ("mpt", False)]
)
def test_families_tell_queries_and_keys_or_say_that_they_do_not(model_type: str, tells: bool, tmp_path: Path) -> None:
    model = families.family_model(model_type)
    info = open_model(str(tiny.save(model, tmp_path / "tiny"))).info
    reader, x = QueryKeyReader(model, info), torch.randn(5, info.d_model)
    if tells:
        found = reader.read(1, x, 3)
        assert found.query.shape == found.key.shape == (5, 3, info.n_heads, info.d_head)
    else:
        with pytest.raises(CheckpointError, match="--qk cannot read it"):
            reader.read(1, x, 3)
    assert model.config._attn_implementation == "eager"


def test_a_random_head_has_the_singular_values_and_none_of_the_pairs() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(200, 24, generator=draw)
    x -= x.mean(0)
    into = torch.randn(24, 6, generator=draw), torch.randn(24, 6, generator=draw)
    own = TokenLogits(x @ into[0], x @ into[1])
    torch.testing.assert_close(turned(x, own.query), into[0], rtol=1e-4, atol=1e-4)
    drawn = random_logits(x, *into, 3)
    found, expected = (torch.linalg.svdvals(turned(x, one.query) @ turned(x, one.key).T)[:6] for one in (drawn, own))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(random_logits(x, *into, 3).query, drawn.query)
    seen = (own.query @ own.key.T)[:50, :8] + 5 * torch.randn(50, 1, generator=draw)
    there = torch.ones(50, 8).bool()
    there[:, 0] = False
    assert agreement((own.query @ own.key.T)[:50, :8], seen, there) == pytest.approx(1)
    of_random = agreement((drawn.query @ drawn.key.T)[:50, :8], seen, there)
    assert of_random is not None
    assert abs(of_random) < 0.4
    assert agreement(torch.zeros(50, 8), seen, there) is None


def test_pairs_are_found_once_stored_and_read_again(tmp_path: Path) -> None:
    place = str(tiny.save(tiny.tiny_model("llama", max_position_embeddings=96), tmp_path / "tiny"))
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        done = pipeline.extract(catalogue, place, reading="paper", device="cpu")
        with pytest.raises(InputError, match="--offset must be from 1"):
            pipeline.query_key(catalogue, place, done.model, done.extraction_id, offset=0)
        told: list[str] = []
        found = pipeline.query_key(catalogue, place, done.model, done.extraction_id, offset=3, device="cpu")
        again = pipeline.query_key(
            *(catalogue, place, done.model, done.extraction_id),
            offset=3,
            device="cpu",
            progress=lambda stage, *_: told.append(stage),
        )
        assert (again, told) == (found, [])
        record = pipeline.head_record(catalogue, place, HeadId(1, 2))
        assert record.query_key == found[HeadId(1, 2)]
        assert len(found) == len(done.heads)
        one = found[HeadId(1, 2)]
        assert (one.offset, len(one.pairs), len(one.at_offset)) == (3, 10, 10)
        assert one.peak > 0
        assert [pair.logit for pair in one.pairs] == sorted((pair.logit for pair in one.pairs), reverse=True)
        assert one.agreement_at_offsets is not None
        assert "with attention on text they agree by r" in pipeline.query_key_in_words(found)
        for form in FORMATS:
            pipeline.export(catalogue, [place], form, tmp_path / f"heads.{form}")
    with Catalogue(str(tmp_path / "again.db"), create=True) as catalogue:
        pipeline.import_heads(catalogue, tmp_path / "heads.jsonl")
        record = next(catalogue.head_records(done.model, 1, only=HeadId(1, 2)))
        assert record.query_key == one
