"""The reading ``direct``: rows in both orders, z, constant parts and random heads, against the literal equations."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.maps import HeadCoordinates, LayerView, RowCounts, SourceVectors, own_heads, random_heads_of, read_layer
from describe.maps import coordinates as coordinates_module
from describe.maps import distinct as distinct_module
from describe.weights import LayerWeights
from tests import oracle

N, M, D, DH, HEADS, GROUPS = 150, 170, 24, 6, 4, 2


@dataclass(frozen=True)
class Planted:
    """A view and a layer, with what they are made of."""

    view: LayerView
    layer: LayerWeights

    def cells(self, head: int) -> Tensor:
        """M of one head, W_VO formed."""
        unembed = self.view.unembed[:]
        return self.view.x.of(slice(None)) @ self.w_vo(head) @ unembed.T

    def w_vo(self, head: int) -> Tensor:
        return self.layer.value[head // (HEADS // GROUPS)] @ self.layer.output[head]


def planted(seed: int = 0, dtype: torch.dtype = torch.float64, n: int = N, words: Tensor | None = None) -> Planted:
    draw = torch.Generator().manual_seed(seed)
    x, u, mean = (torch.randn(size, D, generator=draw, dtype=torch.float64).to(dtype) for size in (n, M, 1))
    x -= x.mean(dim=0)
    value = torch.randn(GROUPS, D, DH, generator=draw, dtype=torch.float64).to(dtype)
    output = torch.randn(HEADS, DH, D, generator=draw, dtype=torch.float64).to(dtype)
    vectors = SourceVectors(x, x.norm(dim=1))
    view = LayerView(vectors, 1000 + 2 * torch.arange(n), u, 7 + 3 * torch.arange(M), mean[0], words)
    return Planted(view, LayerWeights(value, output))


def literal_z(cells: Tensor) -> Tensor:
    """Columns less their mean over sources and divided by their spread, then rows likewise; 0 where there is none."""
    cells = cells.double()
    for dim in (0, 1):
        apart = cells - cells.mean(dim=dim, keepdim=True)
        spread = apart.square().mean(dim=dim, keepdim=True).sqrt()
        cells = torch.where(spread > 1e-9 * cells.abs().amax(dim=dim, keepdim=True), apart / spread, 0)
    return cells


COUNTS = RowCounts(salient=14, held_out=6, sampled=9, distinct=12, targets=5)


def test_both_orders_equal_the_literal_equations() -> None:
    made = planted()
    found = read_layer(made.view, own_heads(made.view, made.layer), COUNTS)
    promoting, suppressing = found.promoting, found.suppressing
    assert promoting is not None
    assert suppressing is not None
    for head in range(HEADS):
        cells = made.cells(head)
        z = literal_z(cells)
        literal = oracle.salient(made.view.x.of(slice(None)), made.w_vo(head), made.view.unembed[:], N)
        places = (torch.cat([found.salient.sources[head], found.held_out.sources[head]]) - 1000) // 2
        assert torch.equal(places[:20], literal.sources[:20])
        assert len(set(places.tolist())) == 29, "what is drawn is another"
        assert torch.equal((promoting.sources[head] - 1000) // 2, z.amax(1).argsort(descending=True)[:12])
        assert torch.equal((suppressing.sources[head] - 1000) // 2, (-z).amax(1).argsort(descending=True)[:12])
        for rows, by, side in ((found.salient, cells, 1), (promoting, z, 1), (suppressing, z, -1)):
            at = (rows.sources[head] - 1000) // 2
            torch.testing.assert_close(rows.distinctness[head].double(), (side * z[at]).amax(1), rtol=1e-5, atol=0)
            torch.testing.assert_close(rows.saliency[head], literal.saliency[at])
            for ids, logits, way, stands in (
                (rows.targets[head], rows.logits[head], 1, rows.z[head]),
                (rows.suppressed[head], rows.suppressed_logits[head], -1, rows.suppressed_z[head]),
            ):
                columns = (ids - 7) // 3
                assert torch.equal(columns, (way * by[at]).argsort(dim=1, descending=True)[:, :5])
                torch.testing.assert_close(logits, cells[at].gather(1, columns))
                torch.testing.assert_close(stands.double(), z[at].gather(1, columns), rtol=1e-5, atol=1e-6)
        at, out = (found.held_out.sources[head] - 1000) // 2, found.held_out
        torch.testing.assert_close(out.saliency[head], literal.saliency[at])
        for ids, logits, way in (
            (out.targets[head], out.logits[head], 1),
            (out.suppressed[head], out.suppressed_logits[head], -1),
        ):
            assert torch.equal((ids - 7) // 3, (way * cells[at]).argsort(dim=1, descending=True)[:, :5])
            torch.testing.assert_close(logits, cells[at].gather(1, (ids - 7) // 3))


def test_how_many_heads_are_looked_at_together_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = planted()
    whole = read_layer(made.view, own_heads(made.view, made.layer), COUNTS)
    for together in (1, 3 * M * DH):
        monkeypatch.setattr(coordinates_module, "TOGETHER", together)
        found = read_layer(made.view, own_heads(made.view, made.layer), COUNTS)
        for name in ("sources", "targets", "suppressed", "logits", "z"):
            # A wider product may add in another order, which rounds otherwise: to the bit only what is chosen is equal.
            torch.testing.assert_close(getattr(found.salient, name), getattr(whole.salient, name))


def test_the_constant_part_is_what_the_mean_source_writes() -> None:
    made = planted()
    constant = read_layer(made.view, own_heads(made.view, made.layer), COUNTS).constant
    assert constant is not None
    assert made.view.mean is not None
    for head in range(HEADS):
        logits = made.view.mean @ made.w_vo(head) @ made.view.unembed[:].T
        columns = logits.argsort(descending=True)
        assert torch.equal((constant.targets[head] - 7) // 3, columns[:5])
        assert torch.equal((constant.suppressed[head] - 7) // 3, columns.flip(0)[:5])
        torch.testing.assert_close(constant.logits[head], logits[columns[:5]])
        own, rest = logits.var(unbiased=False), made.cells(head).var(dim=1, unbiased=False).mean()
        torch.testing.assert_close(constant.share[head], own / (own + rest))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(6))
def test_looking_in_little_precision_misses_nothing(
    seed: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ties, zero rows and columns, huge and tiny norms, variants of words; tiles that do not divide the sizes."""
    monkeypatch.setattr(distinct_module, "quickest", lambda _device: dtype)
    monkeypatch.setattr(distinct_module, "TILE", (37, 50))
    draw = torch.Generator().manual_seed(seed)
    made = planted(seed, words=torch.randint(0, 60, (N,), generator=draw).sort().values)
    x, u = made.view.x.vectors, made.view.unembed
    assert isinstance(x, Tensor)
    assert isinstance(u, Tensor)
    x[90:140] = x[literal_z(made.cells(0)).amax(dim=1).argmax()] + 0.003 * torch.randn(
        50, D, generator=draw, dtype=torch.float64
    )
    x[10:20] = x[30:40]
    u[5:15] = u[100:110]
    x[50:53] = 0
    u[60:63] = 0
    x[70] *= 1e4
    u[71] *= 1e6
    x[80] *= 1e-4
    made.view.x.norms.copy_(x.norm(dim=1))
    found = read_layer(made.view, own_heads(made.view, made.layer), COUNTS, block=2000)
    words = made.view.words
    assert words is not None
    for head in range(HEADS):
        z = literal_z(made.cells(head))
        for side, rows in ((1, found.promoting), (-1, found.suppressing)):
            assert rows is not None
            score = (side * z).amax(dim=1).float()
            order = sorted(range(N), key=lambda place: (-round(float(score[place]), 5), place))
            expected: dict[int, list[int]] = {}
            for place in order:
                if int(words[place]) not in expected and len(expected) == 12:
                    break
                expected.setdefault(int(words[place]), []).append(1000 + 2 * place)
            last = max(order.index((row[0] - 1000) // 2) for row in expected.values())
            kept = {1000 + 2 * place for place in order[: last + 1]}
            assert rows.sources[head].tolist() == [row[0] for row in expected.values()]
            merged = [tuple(one for one in row[1:] if one in kept) for row in expected.values()]
            assert [tuple(row) for row in rows.variants[head]] == merged


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_tokens_are_read_as_they_are(n: int) -> None:
    """One token has no spread over sources: nothing stands out, and it is shown all the same."""
    made = planted(n=n)
    found = read_layer(made.view, own_heads(made.view, made.layer), RowCounts(30, 30, 30, 30, 400))
    assert found.promoting is not None
    assert found.promoting.sources.shape == (HEADS, n)
    assert found.salient.sources.shape == (HEADS, n)
    assert found.salient.targets.shape == (HEADS, n, M)
    assert bool(torch.isfinite(found.promoting.z).all())
    if n == 1:
        assert not found.promoting.z.any()


def test_what_is_drawn_is_no_variant_of_what_is_shown() -> None:
    words = torch.arange(N) // 3 * 3
    made = planted(words=words)
    rows = read_layer(made.view, own_heads(made.view, made.layer), RowCounts(12, 8, 15, 0, 5), seeds=range(5, 9))
    assert rows.promoting is None
    for head in range(HEADS):
        shown = words[(torch.cat([rows.salient.sources[head], rows.held_out.sources[head]]) - 1000) // 2].tolist()
        assert len(set(shown)) == 35
        assert any(rows.salient.variants[head] + rows.held_out.variants[head])
        assert not any(rows.held_out.variants[head][8:])


def test_random_heads_have_these_spectra_between_random_axes() -> None:
    """With x and U the identity, M is W_VO itself; its axes are alike in all directions."""
    singular = torch.rand(40, DH, dtype=torch.float64).sort(descending=True).values + 0.1
    one, ids = torch.eye(D, dtype=torch.float64), torch.arange(D)
    mean = torch.ones(D, dtype=torch.float64)
    view = LayerView(SourceVectors(one, torch.ones(D, dtype=torch.float64)), ids, one, ids, mean)
    squares = torch.zeros(2, D, D, dtype=torch.float64)
    heads: list[HeadCoordinates] = []
    for seed in range(8):
        heads = [head for some in random_heads_of(view, singular, seed=seed) for head in some]
        for head, spectrum in zip(heads, singular, strict=True):
            w_vo = head.read @ head.write.T
            torch.testing.assert_close(torch.linalg.svdvals(w_vo)[:DH], spectrum)
            torch.testing.assert_close(head.read.norm(dim=1), w_vo.norm(dim=1))
            assert head.constant is not None
            torch.testing.assert_close(head.constant @ head.write.T, mean @ w_vo)
            squares += torch.stack([w_vo @ w_vo.T, w_vo.T @ w_vo]) / 320
    expected = torch.eye(D, dtype=torch.float64) * singular.square().sum(dim=1).mean() / D
    assert (squares - expected).abs().max() < 0.25 * expected.max()
    again = [head for some in random_heads_of(view, singular, seed=7) for head in some]
    assert torch.equal(heads[-1].read, again[-1].read)


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("value", "value or output"),
        ("output", "value or output"),
        ("x", "what a head writes"),
        ("unembed", "the unembedding"),
    ],
)
def test_what_is_not_finite_is_named(where: str, named: str) -> None:
    made = planted(dtype=torch.float32)
    view, layer = made.view, made.layer
    matrix = {"value": layer.value, "output": layer.output, "x": view.x.vectors, "unembed": view.unembed}[where]
    assert isinstance(matrix, Tensor)
    matrix[1, 3] = torch.nan if where != "x" else 3e38
    with pytest.raises(CheckpointError, match=named):
        read_layer(view, own_heads(view, layer), COUNTS)
