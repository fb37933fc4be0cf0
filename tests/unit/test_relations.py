"""Relation scores equal the full projection and full top-k, in every cell; operations and their analysis."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from describe.errors import CheckpointError, InputError
from describe.maps import Pairs, Unembedding, relation_hits
from describe.operations import analysis, load_operations
from describe.operations.load import CATEGORIES
from describe.records import ModelInfo, OperationScores
from describe.weights import open_model
from describe.weights.model import LayerWeights
from tests import oracle, tiny

CPU = torch.device("cpu")


def random_pairs(vectors: torch.Tensor, vocabulary: int, n: int, seed: int) -> Pairs:
    draw = torch.Generator().manual_seed(seed)
    return Pairs(
        vectors=vectors,
        source=torch.randint(len(vectors), (n,), generator=draw),
        target=torch.randint(vocabulary, (n,), generator=draw),
        k=torch.tensor([1, 3, 10, 25])[torch.randint(4, (n,), generator=draw)],
    )


@pytest.mark.parametrize("model_type", tiny.CONFIGS)
def test_hits_equal_the_literal_equations(model_type: str, tmp_path: Path) -> None:
    model = tiny.tiny_model(model_type)
    weights = open_model(str(tiny.save(model, tmp_path / "tiny")))
    embed, unembed = (rows.to("cpu", torch.float64) for rows in (weights.embed, weights.unembed))
    unembedding = Unembedding(weights.unembed, CPU)
    for layer in range(weights.info.n_layers):
        vectors = (oracle.source_vectors(model) if layer else embed)[:120]
        pairs = random_pairs(vectors, len(unembed), 400, layer)
        found = relation_hits(pairs, weights.layer(layer), unembedding)
        for head in range(weights.info.n_heads):
            w_vo = oracle.w_vo(model, layer, head)
            top, bottom = oracle.relation_hits(vectors[pairs.source], w_vo, unembed, pairs.target, pairs.k)
            assert 0 < int(top.sum()) < 100
            assert torch.equal(found.top[head], top)
            assert torch.equal(found.bottom[head], bottom)


def test_doubts_within_rounding_are_settled_exactly() -> None:
    """Many tokens a hair above or below the target: float32 cannot tell them apart, float64 can."""
    torch.manual_seed(0)
    d, n_tokens = 16, 4000
    direction = torch.randn(d, dtype=torch.float64)
    unembed = direction * (1 + torch.linspace(-1e-9, 1e-9, n_tokens, dtype=torch.float64)[:, None])
    unembed = unembed[torch.randperm(n_tokens)]
    layer = LayerWeights(value=torch.eye(d).double()[None], output=torch.eye(d).double()[None])
    vectors = direction[None] + 0.01 * torch.randn(5, d, dtype=torch.float64)
    ranked = (unembed @ direction).argsort(descending=True)
    target = torch.cat([ranked[:20], ranked[-20:], ranked[2000:2010]])
    n = len(target)
    pairs = Pairs(torch.arange(n) % 5, target, torch.full((n,), 10), vectors)
    found = relation_hits(pairs, layer, Unembedding(unembed, CPU))
    top, bottom = oracle.relation_hits(vectors[pairs.source], torch.eye(d).double(), unembed, target, pairs.k)
    assert (int(top.sum()), int(bottom.sum())) == (10, 10)
    assert torch.equal(found.top[0], top)
    assert torch.equal(found.bottom[0], bottom)


def test_equal_scores_count_for_the_target() -> None:
    """Tokens with the same row as the target do not push it out: fewer than k are larger."""
    unembed = torch.ones(500, 4)
    layer = LayerWeights(value=torch.eye(4)[None], output=torch.eye(4)[None])
    pairs = Pairs(torch.tensor([0]), torch.tensor([7]), torch.tensor([1]), torch.ones(1, 4).double())
    found = relation_hits(pairs, layer, Unembedding(unembed, CPU))
    assert bool(found.top.all())
    assert bool(found.bottom.all())


def of_ties(vectors: torch.Tensor, output: torch.Tensor, unembed: torch.Tensor) -> None:
    """Every tenth token has one and the same row, and some sources are nothing."""
    unembed[::10] = unembed[10]
    vectors[[0, 4]] = 0


def of_tiny_gaps(vectors: torch.Tensor, output: torch.Tensor, unembed: torch.Tensor) -> None:
    """Scores that float32 cannot tell apart, by the thousand."""
    unembed.copy_(1 + 1e-9 * unembed)


def of_huge_norms(vectors: torch.Tensor, output: torch.Tensor, unembed: torch.Tensor) -> None:
    """Norms from those whose squares are none to those whose squares are too large, in all three."""
    unembed[5::400] *= 1e12
    unembed[8], unembed[9], unembed[12] = 1e25 * unembed[8], 1e-30 * unembed[9], 0
    vectors[3], vectors[4], output[1] = 1e200 * vectors[3], 1e-200 * vectors[4], 1e-60 * output[1]


HOSTILE = {
    "ties": of_ties,
    "tiny gaps": of_tiny_gaps,
    "huge norms": of_huge_norms,
    "all equal": lambda vectors, output, unembed: unembed.fill_(1.0),
    "nothing written": lambda vectors, output, unembed: output[1:].zero_(),
    "common": lambda vectors, output, unembed: None,
}


@pytest.mark.parametrize("screens", [(torch.bfloat16, torch.float32), (torch.float32,)])
@pytest.mark.parametrize("name", HOSTILE)
def test_counts_are_those_of_float64_to_the_last_token(name: str, screens: tuple[torch.dtype, ...]) -> None:
    draw = torch.Generator().manual_seed(3)
    vectors, output, unembed = (
        torch.randn(*shape, generator=draw).double() for shape in ((6, 24), (2, 8, 24), (1800, 24))
    )
    value = torch.randn(1, 24, 8, generator=draw).double()
    HOSTILE[name](vectors, output, unembed)
    rows = torch.stack([vectors @ value[0] @ output[head] for head in range(2)])
    scores = torch.stack([(row * unembed).sum(1) for row in rows.flatten(0, 1)]).view(2, 6, -1)
    ranked = scores.argsort(dim=2).flatten(0, 1)
    target = ranked[:, [0, 1, 2, 9, 30, 900, -100, -11, -10, -1]].flatten()
    source = torch.arange(6).repeat(2).repeat_interleave(10)
    k = torch.tensor([1, 3, 10])[torch.arange(len(source)) % 3]
    found = relation_hits(
        Pairs(source, target, k, vectors), LayerWeights(value, output), Unembedding(unembed, CPU, screens=screens)
    )
    own = scores[:, source, target]
    for hits, sign in ((found.top, 1), (found.bottom, -1)):
        larger = torch.stack([(sign * scores[:, s] > sign * own[:, i, None]).sum(1) for i, s in enumerate(source)], 1)
        assert torch.equal(hits, larger < k)
        assert int(hits.sum()) > 0


def test_nearly_all_pairs_are_decided_by_the_low_precision() -> None:
    draw = torch.Generator().manual_seed(4)
    vectors, output, unembed, value = (
        torch.randn(*shape, generator=draw).double() for shape in ((300, 64), (2, 16, 64), (8192, 64), (1, 64, 16))
    )
    unembedding = Unembedding(unembed, CPU, screens=(torch.bfloat16, torch.float32))
    relation_hits(random_pairs(vectors, 8192, 1000, 0), LayerWeights(value, output), unembedding)
    assert 0 < unembedding.computed < 1e-3 * 2 * 1000 * 8192


def test_what_is_not_finite_is_refused() -> None:
    layer = LayerWeights(value=torch.eye(4)[None], output=torch.full((1, 4, 4), torch.nan))
    pairs = Pairs(torch.tensor([0]), torch.tensor([7]), torch.tensor([1]), torch.ones(1, 4).double())
    with pytest.raises(CheckpointError, match="not finite"):
        relation_hits(pairs, layer, Unembedding(torch.ones(500, 4), CPU))


def test_our_operations_are_whole() -> None:
    operations, problems = load_operations()
    assert problems == []
    assert len(operations) == 20
    assert {operation.category for operation in operations} == set(CATEGORIES)
    for operation in operations:
        sources = [source for source, _ in operation.pairs]
        assert len(sources) == len(set(sources)), f"{operation.name} has a source twice"
        assert len(sources) >= 100, operation.name
        assert operation.direction
        for word in (word for pair in operation.pairs for word in pair):
            assert word == word.strip(), f"{operation.name}: {word!r}"
    folder = Path(analysis.__file__).parent / "data"
    for path in folder.glob("*.json"):
        about = json.loads(path.read_text(encoding="utf-8"))
        assert about["sources"], path
        assert about["checked"], path


def test_operations_that_cannot_be_read_are_named_and_the_others_used(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text('[["a", "b"], ["c", "d"]]')
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "nested.json").write_text('{"category": "mine", "pairs": [["x", "y"]]}')
    (tmp_path / "nested" / "other.json").write_text("not looked at")
    (tmp_path / "twice").mkdir()
    (tmp_path / "twice" / "twice.json").write_text('[["a", "b"]]')
    for name, text in {
        "twice": '[["a", "b"]]',
        "broken": "[[",
        "words": '"words"',
        "pair": '[["a", "b"], ["c"]]',
        "number": '[["a", 1]]',
        "blank": '[["a", " "]]',
        "renamed": '{"name": "else", "pairs": []}',
        "nopairs": '{"category": "x"}',
    }.items():
        (tmp_path / f"{name}.json").write_text(text)
    operations, problems = load_operations(tmp_path)
    assert [operation.name for operation in operations] == ["good", "nested", "twice"]
    assert operations[1].category == "mine"
    told = {problem.where: problem.what for problem in problems}
    assert set(told) == {f"{n}.json" for n in ["broken", "words", "pair", "number", "blank", "renamed", "nopairs"]} | {
        "twice/twice.json"
    }
    assert 'entry 2, ["c"]' in told["pair.json"]
    assert 'entry 1, ["a", 1]' in told["number.json"]
    assert "there already" in told["twice/twice.json"]
    with pytest.raises(InputError, match="no directory of operations"):
        load_operations(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no operation"):
        load_operations(tmp_path / "empty")


def scores(name: str, values: list[list[float]], category: str = "c", suppression: float = 0.0) -> OperationScores:
    low = tuple(tuple(suppression for _ in row) for row in values)
    return OperationScores(name, category, 10, 40, True, tuple(range(len(values))), tuple(map(tuple, values)), low, 0.1)


def test_analysis_counts_what_it_says() -> None:
    found = [
        scores("one", [[0.9, 0.1], [0.2, 0.0]]),
        scores("two", [[0.5, 0.0], [0.0, 0.0]]),
        scores("three", [[0.0, 0.0], [0.0, 0.3]], "e"),
    ]
    table = analysis.scores_table(found)
    assert len(table) == 12
    assert analysis.top_heads(table, 1)[["operation", "layer", "head"]].to_numpy().tolist() == [
        ["one", 0, 0],
        ["three", 1, 1],
        ["two", 0, 0],
    ]
    several = analysis.multi_operation_heads(table, 0.15)
    assert several.to_numpy().tolist() == [[0, 0, 2, "one, two"]]
    share = analysis.category_share(table, 0.15).set_index(["category", "layer"])["share"]
    assert share.to_dict() == {("c", 0): 0.5, ("c", 1): 0.5, ("e", 0): 0.0, ("e", 1): 0.5}
    assert analysis.summary(found, 0.15).set_index("operation").loc["one", "heads_score"] == 2


def test_universality_and_profiles_between_models() -> None:
    a = analysis.scores_table([scores("one", [[0.9, 0.2]]), scores("two", [[0.0, 0.1]]), scores("x", [[0.4, 0.0]])])
    b = analysis.scores_table(
        [scores("one", [[0.8], [0.1]]), scores("two", [[0.0], [0.05]]), scores("x", [[0.3], [0]])]
    )
    c = analysis.scores_table([scores("one", [[0.8], [0.1]])])
    table = analysis.universality({"a": a, "b": b, "c": c}, 0.15).set_index("operation")
    assert table["a"].to_dict() == {"one": 2, "two": 0, "x": 1}
    assert pd.isna(table.loc["two", "c"])
    assert table["in_every_model"].to_dict() == {"one": True, "two": False, "x": False}
    pairs = analysis.profile_correlations({"a": a, "b": b, "c": c}, 0.15)
    assert pairs[["first", "second", "operations"]].to_numpy().tolist() == [["a", "b", 3], ["a", "c", 1], ["b", "c", 1]]
    assert pairs["r_strongest"][0] == pytest.approx(np.corrcoef([0.9, 0.1, 0.4], [0.8, 0.05, 0.3])[0, 1])
    assert pairs["r_strongest"][1:].isna().all()
    depth = analysis.depth_profile({"b": b}, 0.15, bins=2)
    assert depth[depth["operation"] == "one"]["heads"].tolist() == [1, 0]


def gqa_model(groups: int) -> ModelInfo:
    return ModelInfo("m", "0" * 64, "llama", 10, 6, groups, 8, 4, 50)


def gqa_table(alike: float, seed: int = 0) -> pd.DataFrame:
    """Ten layers of six heads in three groups; scores mix a part of the group and a part of the head's own."""
    random = np.random.default_rng(seed)
    of_group = np.repeat(random.random((8, 10, 3)), 2, axis=2)
    mixed = alike * of_group + (1 - alike) * random.random((8, 10, 6))
    return analysis.scores_table([scores(f"o{i}", values.tolist()) for i, values in enumerate(mixed)])


def test_gqa_bias_is_seen_where_it_is_and_not_where_it_is_not() -> None:
    there = analysis.gqa_bias(gqa_model(3), gqa_table(0.7), permutations=500)
    assert there is not None
    assert there.difference > 0.03
    assert there.p_value == pytest.approx(1 / 501)
    assert there.pairs == (10 * 3, 10 * 12)
    chances = [analysis.gqa_bias(gqa_model(3), gqa_table(0.0, seed), permutations=200) for seed in range(20)]
    assert sum(found is not None and found.p_value < 0.05 for found in chances) <= 4
    assert analysis.gqa_bias(gqa_model(6), gqa_table(0.7)) is None
    assert analysis.gqa_bias(gqa_model(1), gqa_table(0.7)) is None


def test_known_heads_are_reported_found_missed_and_unlisted() -> None:
    gpt2 = ModelInfo("gpt2", "0" * 64, "gpt2", 12, 12, 12, 768, 64, 50257)
    values = [[0.0] * 12 for _ in range(12)]
    values[9][9], values[9][6], values[5][5] = 0.8, 0.1, 0.5
    found = analysis.known_heads_found(gpt2, analysis.scores_table([scores("name_copying", values)]), 0.15)
    found = found[found["by"] == "score"].set_index("head")
    assert found.loc["9.9", ["named", "found", "role"]].tolist() == [True, True, "name mover"]
    assert found.loc["9.6", ["named", "found"]].tolist() == [True, False]
    assert found.loc["5.5", ["named", "found", "role"]].tolist() == [False, True, ""]
    assert set(found.loc[found["named"], "role"]) == {"name mover", "backup name mover"}
    other = ModelInfo("m", "0" * 64, "llama", 12, 12, 12, 768, 64, 50257)
    assert analysis.known_heads_found(other, analysis.scores_table([scores("name_copying", values)]), 0.15).empty
