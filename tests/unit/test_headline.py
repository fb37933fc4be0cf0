"""The headline of a head is read off the table of trust; what contradicts it is flagged; it is kept, and found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import describe
from app.main import main
from describe import pipeline
from describe.catalog import Catalogue
from describe.export.report import COLOURS, as_html, as_markdown
from describe.figures import PARTS, FigurePart, HeadFigure
from describe.head_record import Facts, HeadlineScore, RelationRecord, Told, card
from describe.head_record.glance import glance
from describe.head_record.headline import TRUST
from describe.kinds import CARD_KINDS, CONTRADICTIONS
from describe.records import Description, HeadId, LayerScores
from tests.headlined import INFO, attend_anew, found_by_headlines, headlined, names_of
from tests.whole_catalogue import mapping


def dynamic(score: float, side: str = "score") -> dict[str, Any]:
    shares = {"score": 0.0, "suppression": 0.0, "promoted": (), "suppressed": ()} | {side: score}
    return {"in_context": shares, "of_source": shares}


def relation(score: float = 0.0, suppression: float = 0.0, **checks: Any) -> RelationRecord:
    return RelationRecord.of(score=score, suppression=suppression, **checks)


def removal(targeted: float, random: float | None = 0.9) -> dict[str, Any]:
    return {"removed_as": 1, "base": 0.92, "targeted": targeted, "random": random}


def figure(above: str = "", share: int = 60) -> HeadFigure:
    parts = {name: FigurePart(share if name == above else 1, 150, 0.01, 0.1, 0.001, 0.001) for name in PARTS}
    return HeadFigure("saliency", 256, 1, **parts)


def looks(kind: str, name: str, text: str = "text", value: float = 0.8) -> dict[str, Any]:
    return {"kinds": (kind,), "attention": {text: {name: (value, 0.01)}}}


def score(low: float, high: float, judge: str = "judge", **known: Any) -> HeadlineScore:
    known = {"measure": "write", "p": 0.9} | known
    return HeadlineScore(judge=judge, value=(low + high) / 2, low=low, high=high, wrong=0.5, scored="x", **known)


SAID = Told("a", "described", "promotes colours", "nouns")
SUPPORTED = Told("a", "described", "promotes colours", "nouns", judged=(score(0.8, 0.9, p=0.01),))
NAMES = {"relations": {"name_copying": relation(suppression=0.9)}, "pairs": {"name_copying": 325}}
CAPITALS = {"country_to_capital": relation(0.6, inference=dynamic(0.5))}


@pytest.mark.parametrize(
    ("facts", "headline", "kind", "rests_on"),
    [
        (Facts(**NAMES), "suppresses names", "suppresses", "relation score"),
        (
            Facts(**NAMES, **looks("first-token sink", "first"), figure=figure("relates"), descriptions=[SUPPORTED]),
            "suppresses names; parks its attention on the first token",
            "suppresses",
            "relation score",
        ),
        (
            Facts(relations=CAPITALS | {"copying": relation(0.9)}),
            "writes the capital of a country",
            "relates",
            "prompts",
        ),
        (
            Facts(relations=CAPITALS | {"verb_to_past_tense": relation(0.2, ablation=removal(0.3))}),
            "writes the past tense of a verb",
            "relates",
            "ablation",
        ),
        (
            Facts(**looks("induction", "induction", "random"), figure=figure("copies")),
            "induction head: looks at the token after an earlier copy of the present one; copies it",
            "induction",
            "attention",
        ),
        (
            Facts(**looks("previous-token", "previous"), descriptions=[SAID]),
            "previous-token head: looks at the token before",
            "previous-token",
            "attention",
        ),
        (
            Facts(**looks("local", "local"), figure=figure("relates")),
            "writes words related to its input; looks at the last 8 tokens",
            "relates",
            "mappings beside random heads",
        ),
        (Facts(figure=figure(), descriptions=[SAID]), "writes: promotes colours", "said", TRUST[-2].rests_on),
        (
            Facts(**looks("content", "placed"), descriptions=[SUPPORTED]),
            "writes: promotes colours; chooses tokens by what they are, wherever they stand",
            "supported",
            "description that a test bears out",
        ),
        (Facts(figure=figure()), "unclear: nothing found above chance", "unclear", ""),
        (Facts(looked_into=False), "not looked into beyond mappings", "not looked at", ""),
        (Facts(relations={"a_to_b": relation(0.14)}), "unclear: nothing found above chance", "unclear", ""),
        (Facts(relations={"day_to_month": relation(0.3)}), "writes month for day", "relates", "relation score"),
    ],
)
def test_the_most_trusted_evidence_carries_the_headline(facts: Facts, headline: str, kind: str, rests_on: str) -> None:
    made = card(facts)
    assert (made.headline, made.kind, made.rests_on) == (headline, kind, rests_on)
    assert made == card(facts), "the same every time"
    assert made.kind in CARD_KINDS


def test_a_headline_has_the_figure_that_carries_it() -> None:
    assert card(Facts(**NAMES)).figure == "suppresses names: 0.90 of 325 pairs"
    made = card(Facts(**looks("previous-token", "previous")))
    assert made.figure == "attends to the token before: 0.80 of its attention on text, 0.01 if to all tokens alike"
    assert card(Facts(figure=figure("relates"))).figure == "relates words: 0.40 of cells, random heads at most 0.10"


COPIES = Told("a", "described", "It copies names.")
SPLIT = Told("a", "described", "x", judged=(score(0.8, 0.9, "j1"), score(0.4, 0.6, "j2")))


@pytest.mark.parametrize(
    ("facts", "sort"),
    [
        (Facts(**NAMES, descriptions=[COPIES]), "copies"),
        (Facts(figure=figure("suppresses_copies"), descriptions=[COPIES]), "copies"),
        (Facts(relations={"copying": relation(0.6, inference=dynamic(0.1))}), "prompts"),
        (Facts(relations={"copying": relation(0.6, ablation=removal(0.88))}), "ablation"),
        (Facts(descriptions=[SPLIT]), "judges"),
        (Facts(kinds=("local",), halves=(("local",), ("broad",))), "halves"),
        (Facts(**NAMES, descriptions=[Told("a", "described", "It does not copy names but suppresses them.")]), None),
        (Facts(relations={"copying": relation(0.6, inference=dynamic(0.5), ablation=removal(0.2))}), None),
        (Facts(relations={"copying": relation(0.6, ablation=removal(0.88, None))}), None),
        (Facts(descriptions=[Told("a", "described", "x", judged=(score(0.5, 0.8, "j"), score(0.7, 0.9, "k")))]), None),
    ],
)
def test_what_does_not_go_together_is_flagged(facts: Facts, sort: str | None) -> None:
    assert [found.sort for found in card(facts).contradictions] == ([sort] if sort else [])
    assert sort is None or sort in CONTRADICTIONS


def test_an_operation_that_prompts_contradict_carries_no_headline() -> None:
    facts = Facts(relations={"copying": relation(0.6, inference=dynamic(0.1))}, figure=figure("relates"))
    assert card(facts).headline == "writes words related to its input"


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with headlined(str(tmp_path / "c.db")) as opened:
        yield opened


def test_heads_are_found_by_their_headlines(catalogue: Catalogue) -> None:
    found_by_headlines(catalogue)
    model, info = catalogue.find_model("m")
    extraction = catalogue.latest_extraction(model)
    kept = catalogue.cards.of_extraction(extraction)
    for record in catalogue.head_records(info, extraction):
        assert kept[record.id] == record.card, "from columns as from the record"
    summaries = {summary.name: summary.card for summary in catalogue.browse.heads(extraction)}
    assert {name: made and made.kind for name, made in summaries.items()} == {
        "0.0": "suppresses",
        "0.1": "previous-token",
        "1.0": "said",
        "1.1": "not looked at",
    }


def test_cards_follow_what_becomes_known(catalogue: Catalogue) -> None:
    assert names_of(catalogue.search.find("induction")) == []
    attend_anew(catalogue, HeadId(1, 1), "induction", "random", "induction")
    assert names_of(catalogue.search.find("induction")) == ["1.1"]
    assert names_of(catalogue.search.find("previous token")) == [], "the newer run knows of no such head"


def test_show_filters_by_kind_and_counts_contradictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = str(tmp_path / "c.db")
    with Catalogue(where, create=True) as opened:
        extraction = opened.begin_extraction(opened.register_model(INFO), {}, {})
        for head in INFO.heads:
            opened.save_head(extraction, mapping(head))
        run = opened.relations.begin_run(1, {}, True, {})
        copying = {"name": "copying", "content_hash": "0" * 64, "category": "a", "direction": "b", "pairs": []}
        scored = opened.relations.begin_relation(run, copying, 10, 40, True)
        opened.relations.save_layer(0, {scored: LayerScores([0.0, 0.4], [0.8, 0.0], 0.1)})
        by = opened.register_labeller("openai:x", "p", "t", {})
        opened.save_description(extraction, HeadId(0, 0), by, Description("words", "copies them"), {})
    assert main(["show", "m", "--catalog", where, "--kind", "copies"]) == 0
    shown = capsys.readouterr().out
    assert "copies its input" in shown
    assert "suppresses" not in shown
    assert main(["show", "m", "--catalog", where, "--contradictions"]) == 0
    shown = capsys.readouterr().out
    assert "0.0" in shown
    assert "0.1" not in shown
    assert f"   1  {CONTRADICTIONS['copies']}" in shown
    assert main(["show", "m", "0.0", "--catalog", where]) == 0
    _, first, *_ = capsys.readouterr().out.splitlines()
    assert first.strip() == "suppresses its input"


def test_a_model_at_a_glance(catalogue: Catalogue, tmp_path: Path) -> None:
    random = catalogue.placebos.begin(catalogue.latest_extraction(1), "random", {"seed": 0}, {})
    by = catalogue.register_labeller("openai:x", "p", "t", {})
    for head, said in (
        (HeadId(0, 0), Description("cities", "all of *them*")),
        (HeadId(0, 1), Description("Unclear", "Unclear", unclear=True)),
    ):
        catalogue.save_head(random, mapping(head))
        catalogue.save_description(random, head, by, said, {})
    found = pipeline.at_a_glance(catalogue, "m")
    counts = {one.kind: one.layers for one in found.kinds}
    assert counts == {"suppresses": (1, 0), "previous-token": (1, 0), "said": (0, 1), "not looked at": (0, 1)}
    assert (found.heads, found.unknown, found.not_looked_at) == (4, 0, 1)
    assert found.kinds[0].strongest[0].basis == "suppresses names: 0.80 of 40 pairs (relation score)"
    where = str(tmp_path / "c.db")
    for form in ("html", "markdown"):
        path = tmp_path / form
        assert main(["report", "m", "--catalog", where, "--format", form, "-o", str(path)]) == 0
        page = unescape(path.read_text())
        assert "suppresses names: 0.80 of 40 pairs" in page
        assert "Of 1 heads mappings alone are known." in page
        assert "own 1 of 1, random 1 of 2, excess 0.50" in page
    assert "![Kinds of heads, a bar for each layer](<markdown.svg>)" in (tmp_path / "markdown").read_text()
    assert (tmp_path / "markdown.svg").read_text().count("<rect") == 4 + 4


def test_kinds_have_one_colour_each_on_page_and_report() -> None:
    css = (Path(describe.__file__).parent / "export" / "html" / "page.css").read_text()
    assert list(COLOURS) == list(CARD_KINDS)
    for kind, colour in COLOURS.items():
        assert f'[data-kind="{kind}"] {{ --kind: {colour}; }}' in css


def test_a_report_escapes_what_is_not_ours() -> None:
    model = replace(INFO, name="<b>|*x*")
    found = glance(model, "paper", [])
    assert "<b>" not in as_html(found)
    assert "<b>" not in as_markdown(found)
    assert "*x*" not in as_markdown(found)
