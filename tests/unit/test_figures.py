"""The figure of a head: what relates, copies and suppresses words stands out among random heads, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from describe.catalog import Catalogue
from describe.evidence import RANDOM as RANDOM_HEADS
from describe.evidence import figures
from describe.evidence.figures import SETTINGS, TARGETS, HeadRows, Neighbours, model_figures, near_neighbours, word_keys
from describe.figures import PARTS, FigurePart, HeadFigure
from describe.pipeline import extract, figures_in_words
from describe.pipeline import figures as pipeline_figures
from describe.statistics import benjamini_hochberg
from describe.text import visible

V, D, NEAR = 600, 24, 20
TOKENS = [f" word{i // 2}" if i % 2 else f"Word{i // 2}" for i in range(V)]
KEYS = word_keys(TOKENS)
RANDOM = np.random.default_rng(0)
EMBED = RANDOM.normal(size=(V, D)).astype(np.float32)


@pytest.fixture(scope="module")
def near() -> Neighbours:
    every = np.arange(V)
    return near_neighbours(EMBED.__getitem__, every, every, NEAR)


def random_rows() -> HeadRows:
    return HeadRows(RANDOM.choice(V, 30, replace=False), RANDOM.integers(0, V, (30, 5)), RANDOM.integers(0, V, (30, 5)))


def test_near_neighbours_have_the_largest_cosines_once_the_mean_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "BLOCK", 300)
    tokens = np.sort(RANDOM.choice(V, 200, replace=False))
    sources = RANDOM.choice(tokens, 7)
    found = near_neighbours((EMBED[tokens] + 3).__getitem__, tokens, sources, 10)
    centred = (EMBED[tokens] - EMBED[tokens].mean(0)).astype(np.float64)
    for source in sources:
        own = centred[list(tokens).index(source)]
        cosine = {t: own @ v / np.linalg.norm(own) / np.linalg.norm(v) for t, v in zip(tokens, centred, strict=True)}
        del cosine[source]
        assert set(found.of(np.array([source]))[0]) == set(sorted(cosine, key=cosine.__getitem__)[-10:])
    everyone = near_neighbours(EMBED[:4].__getitem__, np.arange(4), np.array([2]), 10)
    assert sorted(everyone.near[0]) == [0, 1, 3], "fewer tokens than neighbours"


def test_words_are_the_same_in_other_case_and_spacing_and_spaces_are_not_one_word() -> None:
    keys = word_keys([" dog", "Dog", "dogs", " ", "\n", "DOG "])
    assert keys[0] == keys[1] == keys[5] != keys[2]
    assert keys[3] != keys[4]


Plant = Callable[[HeadRows, Neighbours], None]


def _relates(rows: HeadRows, near: Neighbours) -> None:
    rows.promoted[:12, :2] = near.of(rows.sources)[:12, :2]


def _copies(rows: HeadRows, near: Neighbours) -> None:
    rows.promoted[:12, 3] = rows.sources[:12] ^ 1  # the same word in other case and spacing


def _suppresses_related(rows: HeadRows, near: Neighbours) -> None:
    rows.suppressed[:12, 1:3] = near.of(rows.sources)[:12, 4:6]


def _suppresses_copies(rows: HeadRows, near: Neighbours) -> None:
    rows.suppressed[:12, 0] = rows.sources[:12]


@pytest.mark.parametrize(
    ("part", "plant"),
    [
        ("relates", _relates),
        ("copies", _copies),
        ("suppresses_related", _suppresses_related),
        ("suppresses_copies", _suppresses_copies),
    ],
)
def test_what_a_head_does_stands_out_and_nothing_else(part: str, plant: Plant, near: Neighbours) -> None:
    one = random_rows()
    plant(one, near)
    own = [one, *(random_rows() for _ in range(40))]
    found = model_figures(own, [random_rows() for _ in range(256)], KEYS, near)
    assert list(found[0].above) == [part]
    assert sum(bool(figure.above) for figure in found) == 1
    assert found[0].random_above == 0
    shown = getattr(found[0], part)
    assert found[0].words == (
        f"{PARTS[part].does}: {shown.share:.2f} of {PARTS[part].units} (random heads at most {shown.most:.2f})"
    )
    assert found[1].words == "nothing above random heads"


def test_a_copy_is_no_relation_although_it_is_near() -> None:
    """The word in other case lies nearest of all, and counts as a copy alone."""
    embed = EMBED.copy()
    embed[1::2] = embed[::2] + 0.01
    every = np.arange(V)
    near = near_neighbours(embed.__getitem__, every, every, NEAR)
    rows = random_rows()
    assert (near.of(rows.sources) == (rows.sources ^ 1)[:, None]).any(1).all()
    rows.promoted[:] = (rows.sources ^ 1)[:, None]
    (figure,) = model_figures([rows], [random_rows() for _ in range(20)], KEYS, near)
    assert (figure.relates.count, figure.copies.count, figure.copies.of) == (0, 30, 30)


def test_p_is_the_rank_where_random_heads_reach_as_much_and_never_0(near: Neighbours) -> None:
    random, own = [random_rows() for _ in range(64)], [random_rows() for _ in range(9)]
    own[0].promoted[:] = near.of(own[0].sources)[:, :5]
    own[0].suppressed[:] = own[0].sources[:, None]
    found = model_figures(own, random, KEYS, near)
    shares = np.array([[getattr(f, name).share for name in PARTS] for f in model_figures(random, random, KEYS, near)])
    p_values = np.array([[getattr(figure, name).p_value for name in PARTS] for figure in found])
    for j, name in enumerate(PARTS):
        for i, figure in enumerate(found):
            reached = int((shares[:, j] >= getattr(figure, name).share).sum())
            if reached:
                assert p_values[i, j] == pytest.approx((1 + reached) / 65)
            else:
                assert 0 < p_values[i, j] <= 1 / 65
        assert getattr(found[0], name).most == pytest.approx(shares[:, j].max())
        assert getattr(found[0], name).expected == pytest.approx(shares[:, j].mean())
    q_values = [[getattr(figure, name).q_value for name in PARTS] for figure in found]
    np.testing.assert_allclose(np.ravel(q_values), benjamini_hochberg(p_values.ravel()))
    assert p_values[0].min() < 1e-30, "far beyond the rank"


def test_a_random_head_that_is_no_random_head_is_counted(near: Neighbours) -> None:
    random = [random_rows() for _ in range(64)]
    random[5].promoted[:] = near.of(random[5].sources)[:, :TARGETS]
    found = model_figures([random_rows() for _ in range(9)], random, KEYS, near)
    assert {figure.random_above for figure in found} == {1}


def test_rows_may_lack_targets_and_heads_rows(near: Neighbours) -> None:
    nothing = HeadRows(np.empty(0, dtype=int), np.empty((0, 5), dtype=int), np.empty((0, 5), dtype=int))
    few = random_rows()
    few.suppressed[:] = -1
    found = model_figures([nothing, few], [random_rows() for _ in range(8)], KEYS, near)
    assert (found[0].relates.of, found[0].relates.share, found[0].words) == (0, 0.0, "nothing above random heads")
    assert (found[1].suppresses_copies.of, found[1].relates.of) == (0, 150)
    assert model_figures([], [random_rows()], KEYS, near) == []


def test_the_largest_share_comes_first_in_words() -> None:
    no = FigurePart(0, 150, 0.0, 0.0, 1.0, 1.0)
    figure = HeadFigure(
        "saliency",
        256,
        0,
        relates=FigurePart(46, 150, 0.01, 0.05, 1e-20, 1e-18),
        copies=FigurePart(28, 30, 0.0, 0.0, 1e-20, 1e-18),
        suppresses_related=no,
        suppresses_copies=FigurePart(2, 30, 0.0, 0.0, 1e-20, 1e-18),
    )
    assert figure.words == (
        "copies: 0.93 of rows (random heads at most 0.00); relates words: 0.31 of cells (random heads at most 0.05)"
    ), "two rows are too few to speak of"
    assert visible(figure.words) == figure.words


def test_the_figures_of_a_model_are_found_together_and_once_all_its_heads_are_there(
    tiny_llama: Path, tmp_path: Path
) -> None:
    model, told = str(tiny_llama), list[str]()
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        one = extract(catalogue, model, heads="0.0", reading="paper", device="cpu")
        assert pipeline_figures(catalogue, model, one.model, one.extraction_id, device="cpu") == {}
        every = extract(catalogue, model, reading="paper", device="cpu")
        found = pipeline_figures(catalogue, model, every.model, every.extraction_id, device="cpu")
        assert sorted(found) == every.model.heads
        again = pipeline_figures(
            catalogue, model, every.model, every.extraction_id, progress=lambda *stage: told.append(stage[0])
        )
        assert (again, told) == (found, []), "nothing is drawn or found again"
        assert figures_in_words(found).startswith(f"{sum(bool(f.above) for f in found.values())} of 12 heads relate")
        records = list(catalogue.head_records(every.model, every.extraction_id))
        assert [record.figure for record in records] == [found[record.id] for record in records]
        assert records[0].provenance.figure == {**SETTINGS, "random": RANDOM_HEADS, "heads": 12}
        assert [row.figure for row in catalogue.browse.heads(every.extraction_id)] == [r.figure for r in records]
