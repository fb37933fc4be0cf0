"""The report of a study: figures counted by hand, exclusion, what cannot be computed, and every written form."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import annotations.frame
import annotations.storage
from annotations.report import FORMS, Report, build, written
from annotations.report.calibration import BINS, TOGETHER, auroc_name, luck_name
from annotations.report.charts import charts, data_uri
from annotations.report.frame import COLUMNS
from annotations.report.records import Figure
from annotations.report.sections import PARTS
from annotations.report.words import FEW_RATERS
from app.study_report import ReportForm, report_from_frame, study_report
from describe.catalog import Catalogue
from describe.errors import InputError
from tests.conftest import need
from tests.ratings import Truth, simulate

SOURCES = ("openai:some-model salient-1", "statistics")
EVIL = "<script>alert(1)</script> [x](javascript:1) | =1+1 \u202egpj`"
DRAWS = 100


@pytest.fixture(scope="module")
def simulated() -> tuple[pd.DataFrame, dict[str, Any]]:
    return simulate(3, heads=36, controls=12, catches=12, raters=8, repeats=0.2, careless=1, sources=SOURCES)


@pytest.fixture(scope="module")
def report(simulated: tuple[pd.DataFrame, dict[str, Any]]) -> Report:
    return build(*simulated, draws=DRAWS)


def rows_of(ratings: pd.DataFrame, report: Report, **where: Any) -> list[dict[str, Any]]:
    """First answers of the raters who are kept, as plain records."""
    out = {line.rater for line in report.excluded}
    rows = [row for row in ratings.to_dict("records") if row["rater"] not in out and row["occasion"] == 1]
    return [row for row in rows if all(row[name] == value for name, value in where.items())]


def value(report: Report, part: str, name: str, group: str) -> tuple[float | None, int]:
    figure = report.figure(part, name, group)
    assert figure is not None, (part, name, group)
    return figure.value, figure.n


def test_shares_are_those_counted_by_hand(simulated: tuple[pd.DataFrame, dict[str, Any]], report: Report) -> None:
    own = rows_of(simulated[0], report, kind="real", unclear=False)
    swap = rows_of(simulated[0], report, kind="swap_easy", unclear=False)
    strict, other = (sum(row["fit"] == "fits" for row in rows) / len(rows) for rows in (own, swap))
    lenient = sum(row["fit"] in ("fits", "partly") for row in own) / len(own)
    assert value(report, "plausibility", "strict", "own description") == (strict, len(own))
    assert value(report, "plausibility", "lenient", "own description") == (lenient, len(own))
    minus = value(report, "difference", "strict", "own minus another head's, random")
    assert minus == (pytest.approx(strict - other), len(own) + len(swap))
    unclear = rows_of(simulated[0], report, kind="real", unclear=True)
    assert value(report, "plausibility", "strict", 'own "Unclear"')[1] == len(unclear) > 0
    assert value(report, "plausibility", "strict", 'own, "Unclear" included')[1] == len(own) + len(unclear)


def test_by_layer_and_source(simulated: tuple[pd.DataFrame, dict[str, Any]], report: Report) -> None:
    own = rows_of(simulated[0], report, kind="real", unclear=False)
    for source in SOURCES:
        told = [row["fit"] == "fits" for row in own if row["source"] == source]
        assert value(report, "source", "strict", source) == (np.mean(told), len(told))
    middle = [row["fit"] == "fits" for row in own if 4 <= row["layer"] < 8]
    assert value(report, "layer", "strict", "middle third (layers 4 to 7)") == (np.mean(middle), len(middle))
    bands = [f.n for f in report.figures if (f.part, f.name) == ("layer", "strict")]
    assert sum(bands) == len(own)


def test_patterns_seen_against_abstention(simulated: tuple[pd.DataFrame, dict[str, Any]], report: Report) -> None:
    real = rows_of(simulated[0], report, kind="real")
    for seen, cells in zip(report.confusion.rows, report.confusion.cells, strict=True):
        for abstained, count in zip((False, True), cells, strict=True):
            assert count == sum(row["presence"] == seen and row["true_unclear"] == abstained for row in real)
    agree = sum((row["presence"] == "none") == row["true_unclear"] for row in real) / len(real)
    found = value(report, "presence", "people and describer agree", "described and seen, or Unclear and none")
    assert found == (agree, len(real))


def test_a_careless_rater_is_excluded_for_reasons_and_all_figures_stand_twice(
    simulated: tuple[pd.DataFrame, dict[str, Any]], report: Report
) -> None:
    ratings, study = simulated
    assert [line.rater for line in report.excluded] == ["R08"]
    assert any("less than 4.0 s" in reason for reason in report.excluded[0].reasons)
    without_rules = build(ratings, study | {"exclusion": {}}, draws=DRAWS)
    assert report.figures_all == without_rules.figures
    assert without_rules.figures_all == ()
    without_rater = build(ratings[ratings["rater"] != "R08"], study, draws=DRAWS)
    assert report.figures == without_rater.figures
    mean = value(report, "detection", "mean of the raters' d'", "own against another head's, all")[0]
    kept = [line.detection.value for line in report.raters if not line.reasons]
    assert mean == pytest.approx(np.mean([found for found in kept if found is not None]))


def test_rules_that_cannot_be_applied_say_so(simulated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    ratings, study = simulated
    rules = {"max_failed_catch": 0.1, "max_repeat_disagreement": 0.0, "a_later_rule": 3, "min_seconds_per_item": None}
    some = ratings[(ratings["kind"] != "catch") & (ratings["occasion"] == 1)]
    found = build(some, study | {"exclusion": rules}, draws=DRAWS)
    assert not found.excluded
    assert all(len(line.notes) == 2 for line in found.raters)
    assert any("a_later_rule" in rule and "not applied" in rule for rule in found.rules)


def test_catches_and_repeats_are_counted_per_rater(
    simulated: tuple[pd.DataFrame, dict[str, Any]], report: Report
) -> None:
    for line in report.raters:
        rows = [row for row in simulated[0].to_dict("records") if row["rater"] == line.rater]
        catches = [row for row in rows if row["kind"] == "catch"]
        assert (line.answered, line.catches) == (len(rows), len(catches))
        assert line.failed == sum(row["fit"] != row["expected"] for row in catches)
        first = {row["item"]: row["fit"] for row in rows if row["occasion"] == 1}
        again = {row["item"]: row["fit"] for row in rows if row["occasion"] == 2}
        assert line.repeats == len(again)
        assert line.changed == sum(first[item] != fit for item, fit in again.items())


def test_what_is_missing_is_counted(simulated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    ratings, study = simulated
    fewer = ratings.drop(ratings[(ratings["item"] == 1) | (ratings.index == ratings.index[-1])].index).copy()
    fewer.loc[fewer.index[:5], "fit"] = None
    gaps = build(fewer, study, draws=DRAWS).gaps
    wanted = sum(study["n_items"].values()) * 3
    assert f"{wanted - 4:,} of {wanted:,}" in gaps[0]
    assert "1 items have fewer than 3 raters, and 1 have none" in gaps[1]
    assert f"fit: 5 of {len(fewer):,} answers" in gaps[3]


def test_scores_are_held_against_people() -> None:
    """A score that knows the answers ranks them, its reversal the other way round, a constant not at all."""
    ratings, study = simulate(3, sources=("good", "reversed", "constant"), heads=40, controls=0, catches=0)
    own = (ratings["kind"] == "real") & ~ratings["unclear"]
    liked = ratings[own].assign(fits=ratings["fit"] == "fits").groupby("item")["fits"].mean()
    height = ratings["item"].map(liked).fillna(0.5) + 1e-6 * ratings["item"]  # no two alike
    made = {"good": height, "reversed": -height, "constant": height * 0 + 0.7}
    ratings["score"] = sum((ratings["source"] == name) * score for name, score in made.items())
    report = build(ratings, study, draws=200)
    found = {name: report.figure("calibration", "AUROC of the score, strict", name) for name in made}
    values = {name: figure.value for name, figure in found.items() if figure}
    assert values["constant"] == 0.5
    assert values["good"] is not None
    assert values["reversed"] is not None
    assert values["good"] > 0.7 > 0.3 > values["reversed"]
    (interval,) = found["good"].intervals if found["good"] else ()
    assert interval.low < values["good"] < interval.high
    curve = [f for f in report.figures if f.part == "calibration" and f.group.startswith("good, score")]
    shares = [figure.value for figure in curve]
    assert len(curve) == BINS
    assert shares == sorted(shares, key=lambda share: share or 0)
    assert sum(figure.n for figure in curve) == found["good"].n if found["good"] else 0
    assert "calibration" in charts(report)


def test_every_measure_is_held_against_people_and_against_luck() -> None:
    """Two measures with the same error, one turned round, say together what neither says; noise says nothing."""
    ratings, study = simulate(3, heads=60, controls=0, catches=0)
    liked = ratings.assign(fits=ratings["fit"] == "fits").groupby("item")["fits"].mean()
    error, noise = np.random.default_rng(1).normal(size=(2, int(ratings["item"].max()) + 1))
    scores = {
        item: {"write by x": share + error[item], "relation by x": share - error[item], "likelihood by y": noise[item]}
        for item, share in liked.items()
    }
    own = ratings["kind"] == "real"
    ratings["scores"] = [
        json.dumps(scores[item]) if real else None for item, real in zip(ratings["item"], own, strict=True)
    ]
    report = build(ratings, study, draws=DRAWS)
    (source,) = ratings["source"].unique()

    def figure(name: str) -> Figure:
        found = report.figure("calibration", name, source)
        assert found is not None, name
        assert found.descriptions == ratings[own & ~ratings["unclear"]]["item"].nunique()
        return found

    values = {name: figure(auroc_name(name)).value for name in ("write by x", "likelihood by y", TOGETHER)}
    luck = {name: figure(luck_name(name)) for name in values}
    ends = {name: found.intervals[0] for name, found in luck.items()}
    assert all(abs((found.value or 0) - 0.5) < 0.05 for found in luck.values())
    assert (values[TOGETHER] or 0) > 0.8 > (values["write by x"] or 1) > 0.5
    assert (values[TOGETHER] or 0) > ends[TOGETHER].high
    assert ends["likelihood by y"].low < (values["likelihood by y"] or 0) < ends["likelihood by y"].high
    curves = {found.bin.score for found in report.figures if found.bin is not None}
    assert curves == {"write by x", "relation by x", "likelihood by y"}
    assert "<svg" in base64.b64decode(data_uri(charts(report)["calibration"][1]).split(",", 1)[1]).decode()
    assert "200 shuffles" in written(report, "markdown")


@pytest.fixture
def _tables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without pictures: these take most of the time, and have a test of their own."""
    monkeypatch.setattr("annotations.report.page.drawable", lambda: False)


def forms_of(ratings: pd.DataFrame, study: dict[str, Any]) -> dict[str, str]:
    made = build(ratings, study, draws=DRAWS)
    texts = {form: written(made, form) for form in FORMS}
    for form, text in texts.items():
        assert not re.search(r"\b(nan|NaN|None|inf)\b|<NA>", text) or form == "json", form
    json.loads(texts["json"], parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    return texts


@pytest.mark.parametrize(
    ("what", "keep", "words"),
    [
        ("no answers", lambda rows: rows.iloc[:0], "nothing can be said of their plausibility"),
        ("no controls", lambda rows: rows[rows["kind"] == "real"], "one of the two sides has no answers"),
        ("no own", lambda rows: rows[rows["kind"] == "swap_easy"], "no such answers"),
        ("catch items only", lambda rows: rows[rows["kind"] == "catch"], "nothing can be said of their plausibility"),
        ("one rater", lambda rows: rows[rows["rater"] == "R01"], "With one rater, only heads are drawn"),
        ("one rater", lambda rows: rows[rows["rater"] == "R01"], "no item has answers of two raters"),
        ("one head", lambda rows: rows[rows["head"] == rows["head"].iloc[0]], "one head: no bootstrap"),
        ("no repeats", lambda rows: rows[rows["occasion"] == 1], "no such answers"),
        ("one answer", lambda rows: rows.assign(fit="fits"), "not defined: all answers are the same"),
        ("one answer", lambda rows: rows.assign(fit="fits"), "every draw is the same"),
        ("no times", lambda rows: rows.assign(seconds_a=np.nan), "no times recorded"),
        (
            "two raters",
            lambda rows: rows[rows["rater"].isin(["R01", "R02"])],
            "With 2 raters the bootstrap knows little",
        ),
    ],
)
@pytest.mark.usefixtures("_tables_only")
def test_what_cannot_be_computed_is_said(
    simulated: tuple[pd.DataFrame, dict[str, Any]], what: str, keep: Any, words: str
) -> None:
    ratings, study = simulated
    texts = forms_of(keep(ratings), study | {"exclusion": {}})
    assert words in texts["markdown"], what
    assert words in texts["html"], what


@pytest.mark.usefixtures("_tables_only")
def test_settings_that_are_not_known_are_said_to_be(simulated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    texts = forms_of(simulated[0], {"name": "bare"})
    assert "| raters per item | not recorded |" in texts["markdown"]
    assert "How many answers were planned is not recorded" in texts["markdown"]
    assert "the guideline; the study has none stored" in texts["datasheet"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop(columns=["fit", "head"]), "lack the columns head, fit"),
        (lambda rows: rows.assign(fit="good"), "unknown fit: 'good'"),
        (lambda rows: pd.concat([rows, rows.iloc[:1]]), "twice"),
    ],
)
def test_ratings_that_cannot_be_are_one_line(
    simulated: tuple[pd.DataFrame, dict[str, Any]], change: Any, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        build(change(simulated[0]), simulated[1])


def test_the_seed_fixes_every_figure(simulated: tuple[pd.DataFrame, dict[str, Any]], report: Report) -> None:
    ratings, study = simulated
    shuffled = ratings.sample(frac=1, random_state=0)
    assert build(shuffled, study, draws=DRAWS).figures == report.figures
    assert build(ratings, study, draws=DRAWS, seed=1).figures != report.figures


def test_every_figure_stands_in_a_section_and_the_method_is_told(report: Report) -> None:
    assert {figure.part for figure in report.figures} == set(PARTS)
    text = written(report, "markdown")
    for words in (
        f"{DRAWS} draws, seed 0",
        "pigeonhole bootstrap",
        "Wilson: the score interval",
        *(t for t, _, _ in PARTS.values()),
    ):
        assert words in text
    assert f"With {FEW_RATERS} raters" not in text


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def evil(simulated: tuple[pd.DataFrame, dict[str, Any]]) -> dict[str, str]:
    ratings, study = simulated
    told = study | {"name": EVIL, "models": [EVIL], "guideline": f"# {EVIL}\n{EVIL}"}
    ratings = ratings.assign(source=ratings["source"].replace(SOURCES[0], f"={EVIL}"), model=EVIL)
    return forms_of(ratings, told)


def test_the_page_is_closed_and_text_stays_text(evil: dict[str, str]) -> None:
    page = Tags(evil["html"])
    names = {tag for tag, _ in page.tags}
    assert "script" not in names
    assert "<script>alert(1)</script> [x](javascript:1) | =1+1 \\u202egpj`" in page.text
    sources = [attrs[name] or "" for _, attrs in page.tags for name in ("src", "href") if name in attrs]
    assert sources
    assert all(source.startswith(("#", "data:image/svg+xml;base64,")) for source in sources)
    policy = next(attrs["content"] or "" for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
    css = (Path(annotations.__file__).parent / "report" / "templates" / "page.css").read_bytes()
    assert f"style-src 'sha256-{base64.b64encode(hashlib.sha256(css).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy


def test_markdown_shows_untrusted_text_as_it_is(evil: dict[str, str]) -> None:
    for form in ("markdown", "datasheet"):
        assert "<script" not in evil[form]
        assert "[x]" not in evil[form]
        assert "\u202e" not in evil[form]
    columns = [line.count("|") for line in evil["markdown"].splitlines() if line.startswith("| strict")]
    assert columns
    assert len(set(columns)) <= 3, "a cell broke a row"


def test_csv_has_every_figure_and_no_formula(evil: dict[str, str], report: Report) -> None:
    table = pd.read_csv(io.StringIO(written(report, "csv")))
    for figure in report.figures:
        same = (table["part"] == figure.part) & (table["figure"] == figure.name) & (table["group"] == figure.group)
        rows = table[same & (table["raters"] == "kept")]
        assert len(rows) == max(len(figure.intervals), 1)
        assert rows["value"].isna().all() if figure.value is None else (rows["value"] == figure.value).all()
        assert (rows["n"] == figure.n).all()
        assert rows["low"].dropna().tolist() == [found.low for found in figure.intervals]
    assert (table["raters"] == "all").sum() >= len(report.figures_all)
    attacked = pd.read_csv(io.StringIO(evil["csv"]))
    cells = [cell for cell in attacked.select_dtypes(exclude="number").to_numpy().ravel() if isinstance(cell, str)]
    assert any(cell.startswith("'=") for cell in cells)
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in cells)


def test_json_is_the_report(report: Report) -> None:
    told = json.loads(written(report, "json"))
    assert len(told["figures"]) == len(report.figures)
    assert told["figures"][0]["intervals"][0].keys() == {"method", "low", "high"}
    assert told["study"]["name"] == "simulated"
    assert told["confusion"]["cells"] == [list(row) for row in report.confusion.cells]


def test_the_data_sheet_has_the_headings_and_leaves_to_the_owner_what_is_theirs(report: Report) -> None:
    text = written(report, "datasheet")
    headings = re.findall(r"^## (\d)\. (.+)$", text, re.MULTILINE)
    assert [name for _, name in headings] == [
        "Main Reference and Supplementary Resources",
        "Evaluated System(s)",
        "Sample of System Outputs, Evaluators and Experimental Design",
        "Definition and Operationalisation of Quality Criteria",
        "Ethics",
    ]
    assert text.count("[to be filled in by the owner: ") >= 12
    assert "> Look at the table first." in text
    assert "Excluded by these rules: 1 of 8 raters" in text


def test_charts_are_drawn_from_what_there_is(report: Report, simulated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    need(
        importlib.util.find_spec("vl_convert") is not None,
        "vl-convert: pip install 'headscribe[plots]'",
    )
    drawn = charts(report)
    assert set(drawn) == {"plausibility", "detection", "confusion", "layer", "times"}
    for _, chart in drawn.values():
        svg = base64.b64decode(data_uri(chart).split(",", 1)[1]).decode()
        assert svg.startswith("<svg")
    assert charts(build(simulated[0].iloc[:0], simulated[1], draws=DRAWS)) == {}


@pytest.mark.usefixtures("_tables_only")
def test_without_pictures_the_page_has_its_tables(report: Report) -> None:
    page = Tags(written(report, "html"))
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert "pip install 'headscribe[plots]'" in page.text
    assert len([tag for tag, _ in page.tags if tag == "table"]) > 10


def test_the_command_writes_a_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = simulate(1, heads=6, controls=2, catches=2, raters=3)
    assert [form.value for form in ReportForm] == list(FORMS)

    monkeypatch.setattr(annotations.frame, "ratings", lambda _catalogue, _study: simulated[0])
    monkeypatch.setattr(annotations.storage, "find_study", lambda _catalogue, _name: simulated[1])
    with Catalogue(str(tmp_path / "c.db"), create=True):
        pass
    command = typer.Typer()
    command.command()(study_report)
    place = ["--catalog", str(tmp_path / "c.db"), "--draws", str(DRAWS)]
    done = CliRunner().invoke(command, ["simulated", *place, "--format", "csv", "-o", str(tmp_path / "r.csv")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "r.csv").read_text() == report_from_frame(*simulated, "csv", draws=DRAWS)
    shown = CliRunner().invoke(command, ["simulated", *place, "-f", "csv"])
    assert shown.stdout == (tmp_path / "r.csv").read_text()


def test_simulated_ratings_have_the_columns_and_rates_they_are_said_to_have() -> None:
    ratings, _ = simulate(1, Truth(heads=0, raters=0), heads=300, raters=20, repeats=0)
    assert set(COLUMNS) <= set(ratings.columns)
    assert (ratings.loc[ratings["kind"] == "real", "fit"] == "fits").mean() == pytest.approx(0.7, abs=0.06)
