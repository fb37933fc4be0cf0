"""What an owner is told before a study is made, and rules that exclude only where there is something to go by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from annotations.design import new_study
from annotations.frame import ratings
from annotations.pace import ASSUMED_SECONDS, pace
from annotations.power import ALIKE, power, smallest_difference, standard_error
from annotations.preview import preview
from annotations.rating import RatingDesk
from annotations.records import Study
from annotations.report import build, written
from annotations.status import status
from annotations.storage import invite, studies
from describe.catalog import Catalogue
from describe.errors import InputError
from tests.study_samples import described_catalogue, design, rate_all


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    with described_catalogue(tmp_path_factory.mktemp("studies") / "c.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def answered(catalogue: Catalogue) -> Study:
    """A study of which one rater answered everything, at once, and said that all fits."""
    made = new_study(catalogue, design(name="answered", heads="sample:20", raters_per_item=1, catch=0.3))
    rate_all(RatingDesk(catalogue), invite(catalogue, made)[0].rater.id)
    return made


def test_power_is_that_of_studies_made_up() -> None:
    """The items' shares have a beta distribution, by which answers on one item are as alike as is assumed."""
    generator, own, other, raters, difference = np.random.default_rng(1), 80, 24, 3, 0.3
    error = standard_error(own, other, raters)
    found, draws = 0, 2000
    for _ in range(draws):
        shares = []
        for mean, number in ((0.5 + difference / 2, own), (0.5 - difference / 2, other)):
            weight = 1 / ALIKE - 1
            of_items = generator.beta(mean * weight, (1 - mean) * weight, number)
            shares.append(generator.binomial(raters, of_items).sum() / (number * raters))
        found += shares[0] - shares[1] > 1.96 * error
    assert found / draws == pytest.approx(power(difference, error), abs=0.04)
    assert power(smallest_difference(error), error) == pytest.approx(0.8)
    assert standard_error(40, 0, 3) == float("inf")


def test_nothing_is_made_and_all_of_it_is_told(catalogue: Catalogue, answered: Study) -> None:
    before = len(studies(catalogue))
    found = preview(catalogue, design(name="answered", raters_per_item=3, items_per_rater=10))
    assert len(studies(catalogue)) == before
    made = new_study(catalogue, design(name="made", raters_per_item=3, items_per_rater=10))
    assert found.items == made.n_items
    total = sum(made.n_items.values())
    assert (found.raters, found.per_rater) == (-(-total * 3 // 10), 11)
    told = dict(found.lines())
    assert told["items"] == str(total)
    assert "cannot hold" in told["exclusion"], "a rater meets fewer than three catch items"
    assert "points with 80%" in told["finds, own against other heads' descriptions"]
    none = preview(catalogue, design(swap_easy=0, swap_hard=0))
    assert "no difference" in dict(none.lines())["finds, own against other heads' descriptions"]


def test_minutes_are_measured_where_there_is_something_to_measure(catalogue: Catalogue, answered: Study) -> None:
    assert 0 < pace(catalogue).seconds < ASSUMED_SECONDS
    assert pace(catalogue).answers == len(ratings(catalogue, answered))
    assert replace(pace(catalogue), seconds=60.0).minutes(10) == 15


def test_unclear_descriptions_can_be_left_out(catalogue: Catalogue) -> None:
    assert preview(catalogue, design(sources=("openai:x",))).unclear
    assert not preview(catalogue, design(sources=("openai:x",), unclear=False)).unclear
    with pytest.raises(InputError, match="all descriptions of these heads are abstentions"):
        preview(catalogue, design(heads="0.0", sources=("openai:x",), unclear=False))


def test_a_rule_needs_three_catch_items(catalogue: Catalogue, answered: Study) -> None:
    frame = ratings(catalogue, answered)
    rules = {"max_failed_catch": 0.25, "max_repeat_disagreement": None, "min_seconds_per_item": None}
    strict = replace(answered, exclusion=rules)
    assert build(frame, strict, draws=100).excluded
    catches = frame[frame.kind == "catch"]
    some = frame[~frame.index.isin(catches.index[2:])]
    report = build(some, strict, draws=100)
    assert not report.excluded
    assert any("only 2 met, 3 are needed" in note for note in report.raters[0].notes)


def test_where_all_raters_are_excluded_the_figures_are_theirs_and_marked(catalogue: Catalogue, answered: Study) -> None:
    report = build(ratings(catalogue, answered), answered, draws=100)
    assert report.nobody_left
    assert report.figure("plausibility", "strict", "own description").value == 1.0
    for form in ("markdown", "html"):
        told = written(report, form)
        assert "exclude all 1 raters" in told
        assert "equally often" in told, "who says that all fits tells nothing apart"
        assert told.count("Of raters whom the rules exclude: there are no others.") >= 10
    assert '"all, none of them kept"' in written(report, "csv") or "all, none of them kept" in written(report, "csv")
    assert status(catalogue, answered)["raters"][0]["standing"] == "at risk"
    assert status(catalogue, answered)["state"] == "complete"


def test_a_careful_rater_is_finished(catalogue: Catalogue) -> None:
    made = new_study(
        catalogue, design(name="careful", heads="sample:6", raters_per_item=1, min_seconds_per_item=None, catch=0.0)
    )
    desk, first = RatingDesk(catalogue), invite(catalogue, made, 2)[0]
    rate_all(desk, first.rater.id)
    assert [one["standing"] for one in status(catalogue, made)["raters"]] == ["finished", "invited"]
