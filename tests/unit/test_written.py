"""What a head does with words that somebody wrote, against the plain equations, and random heads on the same words."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from describe.maps.placebo import orthonormal
from describe.maps.vectors import SourceVectors
from describe.maps.view import LayerView
from describe.maps.written import RandomHeads, Written, answers, target_spread
from describe.weights.model import LayerWeights

D, DH, V = 24, 6, 60


def view_of(draw: torch.Generator, *, dtype: torch.dtype = torch.float64) -> LayerView:
    x = torch.randn(V, D, generator=draw, dtype=dtype)
    unembed = torch.randn(V, D, generator=draw, dtype=dtype) + 0.3
    places = torch.arange(V)
    return LayerView(SourceVectors(x, torch.linalg.vector_norm(x, dim=1)), places, unembed, places)


def layer_of(draw: torch.Generator, heads: int, groups: int) -> LayerWeights:
    shape = {"generator": draw, "dtype": torch.float64}
    return LayerWeights(torch.randn(groups, D, DH, **shape), torch.randn(heads, DH, D, **shape))  # type: ignore[call-overload]


def literal(view: LayerView, w_vo: Tensor, one: Written) -> tuple[float, float]:
    """By whole rows of M, row by row and pair by pair."""
    x, unembed = view.x.vectors[:], view.unembed[:]
    rows = x @ w_vo @ unembed.mT
    z = (rows - rows.mean(1, keepdim=True)) / rows.std(1, keepdim=True, correction=0) * (-1 if one.suppressed else 1)
    saliency = torch.linalg.vector_norm(x @ w_vo, dim=1) / torch.linalg.vector_norm(x, dim=1)

    def above(a: Tensor, b: Tensor) -> float:
        return 1.0 if a > b else 0.5 if a == b else 0.0

    inputs = [above(saliency[s], saliency[c]) for s, row in zip(one.inputs, one.company, strict=True) for c in row]
    outputs = []
    for i, s in enumerate(one.inputs):
        of_word: list[float] = []
        for t in one.outputs[i]:
            others = [k for k in range(len(one.inputs)) if t not in one.outputs[k]]
            shares = [above(z[s, t], z[one.inputs[k], t]) for k in others]
            of_word += [sum(shares) / len(shares)] if shares else []
        outputs += [sum(of_word) / len(of_word)] if of_word else []
    return sum(inputs) / len(inputs), sum(outputs) / len(outputs) if outputs else 0.5


def written_of(draw: torch.Generator, *, suppressed: bool = False) -> Written:
    order = torch.randperm(V, generator=draw)
    outputs = tuple(tuple(torch.randperm(V, generator=draw)[:2].tolist()) for _ in range(7))
    return Written(order[:7], order[7:42].view(7, 5), outputs, suppressed)


def test_answers_are_those_of_whole_rows() -> None:
    draw = torch.Generator().manual_seed(1)
    view, layer = view_of(draw), layer_of(draw, heads=4, groups=2)
    written = [written_of(draw), written_of(draw, suppressed=True)]
    found = answers(view, layer, target_spread(view), written)
    for one, of_heads in zip(written, found, strict=True):
        for head in range(4):
            expected = literal(view, layer.value[head // 2] @ layer.output[head], one)
            got = float(of_heads.of_inputs[head]), float(of_heads.of_outputs[head])
            assert got == pytest.approx(expected, abs=1e-9)
        torch.testing.assert_close(of_heads.both, (of_heads.of_inputs + of_heads.of_outputs) / 2)


def test_a_constant_head_bears_out_no_output_and_a_table_all() -> None:
    """Heads that write one thing whatever they read, and a different word for each: on words of their own."""
    draw = torch.Generator().manual_seed(2)
    x, unembed = torch.eye(V, D, dtype=torch.float64), torch.eye(V, D, dtype=torch.float64)
    places = torch.arange(V)
    view = LayerView(SourceVectors(x, torch.ones(V, dtype=torch.float64)), places, unembed, places)
    shift = torch.roll(torch.eye(D, dtype=torch.float64), 1, dims=1)  # word i -> word i + 1
    constant = torch.outer(torch.ones(D, dtype=torch.float64), torch.eye(D, dtype=torch.float64)[3])
    layer = LayerWeights(torch.stack([shift, constant]), torch.eye(D, dtype=torch.float64).repeat(2, 1, 1))
    words = torch.arange(4, 12)
    company = torch.randint(12, 20, (8, 5), generator=draw)
    table = Written(words, company, tuple((int(word) + 1,) for word in words))
    listed = Written(words, company, ((3,),) * 8)
    of_table, of_list = answers(view, layer, target_spread(view), [table, listed])
    assert float(of_table.of_outputs[0]) == 1.0
    assert float(of_list.of_outputs[1]) == 0.5, "the list comes whatever the input"
    assert of_table.of_inputs.tolist() == [0.5, 0.5], "all words alike"


def test_random_heads_bear_out_nothing_on_average() -> None:
    draw = torch.Generator().manual_seed(3)
    view = view_of(draw, dtype=torch.float32)
    singular = torch.rand(DH, generator=draw) + 0.2
    random = RandomHeads(target_spread(view), view.x.norms, d=D, width=DH, heads=400, seed=5)
    found = random.answers(view, singular, written_of(draw))
    assert len(found.inputs) == 400
    assert abs(float(found.of_outputs.mean()) - 0.5) < 0.05
    assert 0.01 < float(found.both.std()) < 0.3


def test_random_heads_are_heads() -> None:
    """Each is an A diag(s) B^T: the answers are those of the matrix, built out of the same rotations."""
    draw = torch.Generator().manual_seed(4)
    view, one = view_of(draw), written_of(draw)
    singular = torch.rand(DH, generator=draw, dtype=torch.float64) + 0.2
    random = RandomHeads(target_spread(view), view.x.norms, d=D, width=DH, heads=3, seed=9)
    found = random.answers(view, singular, one)
    again = torch.Generator().manual_seed(9)
    along, write = (orthonormal(D, D, again) for _ in range(2))
    into, out = (torch.stack([torch.randperm(D, generator=again)[:DH] for _ in range(3)]) for _ in range(2))
    for head in range(3):
        w_vo = (along[:, into[head]] * singular) @ write[:, out[head]].mT
        expected = literal(view, w_vo, one)
        assert (float(found.of_inputs[head]), float(found.of_outputs[head])) == pytest.approx(expected, abs=1e-9)
