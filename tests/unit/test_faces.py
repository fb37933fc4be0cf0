"""Every face of a catalogue shows the same of a head: its description, what became of it, its score, its operations."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

import describe
from app.terminal import HeadLine, draw_head
from describe import pipeline
from describe.catalog import Catalogue
from describe.catalog.roles import Role
from describe.export import markdown
from describe.export.html.data import Tables, pack_head
from describe.head_record import HeadRecord, best_first
from describe.head_record.head import Shape
from describe.records import THRESHOLD, Description, Evidence, HeadId, LayerScores, ModelInfo, Score
from tests.whole_catalogue import mapping

MODEL = ModelInfo("faces", "ef" * 32, "gpt2", 3, 3, 3, 8, 4, 500)
UNCLEAR, FAILED = Description("Unclear", "Unclear", unclear=True), Description(failure="timeout", detail="late")

# Of each head, who said what, in order of entry, with scores; and which of it is shown first.
SAID: dict[HeadId, tuple[list[tuple[str, int, Description | str, list[Score]]], int | None]] = {
    HeadId(0, 0): ([], None),
    HeadId(0, 1): ([("a", 0, FAILED, [])], 0),
    HeadId(0, 2): ([("a", 0, FAILED, []), ("b", 0, UNCLEAR, [])], 1),
    HeadId(1, 0): ([("a", 0, "described", []), ("b", 0, UNCLEAR, []), ("c", 0, FAILED, [])], 0),
    HeadId(1, 1): ([("a", 0, "older", []), ("b", 0, "newer", [])], 1),
    HeadId(1, 2): (
        [
            ("a", 0, "better", [Score("detection", 0.9, 0.8, 0.95, 0.5)]),
            ("b", 0, "worse", [Score("detection", 0.6)]),
        ],
        0,
    ),
    HeadId(2, 0): (
        [("a", 0, "told apart", [Score("detection", 0.2)]), ("b", 0, "saves bits", [Score("likelihood", 3.0)])],
        0,
    ),
    HeadId(2, 1): (
        [("a", 1, "of a role", [Score("detection", 0.99)]), ("b", 0, "of the head", [Score("detection", 0.5)])],
        1,
    ),
    HeadId(2, 2): ([("a", 0, UNCLEAR, []), ("a", 2, "of the other role", [Score("detection", 0.7, 0.6, 0.8)])], 1),
}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    with Catalogue(str(tmp_path_factory.mktemp("faces") / "c.db"), create=True) as opened:
        model_id = opened.register_model(MODEL)
        extraction = opened.begin_extraction(model_id, {"s": 1}, {})
        llms = {llm: opened.register_labeller(llm, "salient-1", llm, {}) for llm in ("a", "b", "c", "judge")}
        for head, (said, _) in SAID.items():
            opened.save_head(extraction, mapping(head))
            found = [Evidence("n", "inputs", "numbers", 27, 30, 0.09, 1.9, 1e-20, 1e-17, ('" 1"',))] * head.head
            opened.evidence.save(extraction, head, {"level": 0.01}, found)
            roles = [Role("promotes", (0, 2), (), 0.6, 6.5, 0.05), Role("suppresses", (1,), (), 0.4, 5.0, 0.05)]
            opened.roles.save(extraction, head, roles, {"draws": 19}, {})
            for llm, role, words, scores in said:
                outcome = Description(f"inputs of {words}", words) if isinstance(words, str) else words
                of = head._replace(role=role)
                opened.save_description(extraction, of, llms[llm], outcome, {})
                described = max(one.id for one in opened.scores.descriptions(extraction))
                for score in scores:
                    opened.scores.save(described, llms["judge"], score, {}, {})
        run = opened.relations.begin_run(model_id, {"k": None}, True, {})
        for name, by in (("copying", 0.0), ("rhyme", THRESHOLD), ("weak", -0.1)):
            about = {"name": name, "content_hash": name, "category": "c", "direction": "d", "pairs": []}
            relation = opened.relations.begin_relation(run, about, 10, 40, True)
            for layer in range(MODEL.n_layers):
                scores_of = [max(0.0, 0.1 * layer + 0.05 * head + by) for head in range(MODEL.n_heads)]
                opened.relations.save_layer(layer, {relation: LayerScores(scores_of, [0.2, 0.1, 0.0], 0.5)})
        yield opened


@pytest.fixture(scope="module")
def heads(catalogue: Catalogue) -> list[HeadRecord]:
    return list(catalogue.head_records(MODEL, 1))


def test_the_best_description_is_by_state_whole_head_score_and_time(heads: list[HeadRecord]) -> None:
    for head in heads:
        said, best = SAID[head.id]
        shown = head.best_description()
        if best is None:
            assert shown is None
            assert head.state == "none"
            continue
        llm, role, words, _ = said[best]
        assert shown is not None
        assert (shown.llm, shown.role or 0) == (llm, role), head.id
        assert head.state == shown.state
        assert shown.pattern == (words if isinstance(words, str) else words.pattern)


def test_an_equal_description_that_is_newer_is_shown_first(heads: list[HeadRecord]) -> None:
    (head,) = (one for one in heads if one.id == HeadId(1, 1))
    older, newer = head.descriptions
    made = newer.provenance.model_copy(update={"described": "2001-01-01T00:00:00Z"})
    assert best_first([older, newer.model_copy(update={"provenance": made})])[0] == older


def test_overviews_without_mappings_show_the_same(catalogue: Catalogue, heads: list[HeadRecord]) -> None:
    for llm in (None, "a", "b"):
        for summary, head in zip(catalogue.browse.heads(1, llm=llm), heads, strict=True):
            assert summary.saliency == pytest.approx(head.summary().saliency)
            same = head.summary(llm)
            assert {name: getattr(summary, name) for name in same.__dataclass_fields__ if name != "saliency"} == {
                name: getattr(same, name) for name in same.__dataclass_fields__ if name != "saliency"
            }


def test_the_terminal_shows_the_same(heads: list[HeadRecord]) -> None:
    for head in heads:
        line = HeadLine.of(head)
        name, inputs, said, _ = line.cells
        best = head.best_description()
        role = f"role {best.role}: " if best and best.role else ""
        failure = f"failed: {best.failure}" if best and best.failure else ""
        assert name == str(head.id)
        assert inputs.plain == (best.inputs or "" if best else "")
        assert said.plain == (failure or role + (best.pattern or "") if best else "")


def test_a_head_that_a_paper_named_says_so_on_every_face(
    heads: list[HeadRecord], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gpt2 = Shape(n_layers=12, n_heads=12, n_kv_heads=12, d_model=768, d_head=64, vocab_size=500)
    like = heads[0].provenance.model_copy(update={"shape": gpt2})
    head = heads[0].model_copy(update={"layer": 5, "head": 5, "provenance": like}).with_card()
    (said,) = head.named
    assert said.startswith("induction in GPT-2 small (Wang et al. 2022")
    assert "arXiv 2211.00593" in said
    draw_head(head)
    markdown.write_file([(MODEL, [head])], tmp_path / "a.md")
    page = json.dumps(pack_head(head, Tables())["named"])
    drawn = describe.Head(head)._repr_html_()
    for face in (capsys.readouterr().out, page, (tmp_path / "a.md").read_text(), drawn):
        assert "induction in GPT" in face
    assert heads[0].named == ()


def test_frames_and_notebook_show_the_same(catalogue: Catalogue, heads: list[HeadRecord]) -> None:
    frame = describe.heads_frame(catalogue, MODEL.name)
    for (_, row), head in zip(frame.iterrows(), heads, strict=True):
        summary = head.summary()
        assert (row["state"], row["implements"]) == (head.state, head.implements_text)
        for name in ("pattern", "score"):
            assert row[name] == getattr(summary, name) or (row[name] != row[name] or row[name] is None)
        page = describe.Head(head)._repr_html_()
        if summary.headline is not None:
            assert f"<b>{summary.headline.figure}</b>" in page.partition("<table>")[0].partition("</p>")[0]
        if summary.pattern:
            assert summary.pattern in page.partition("</p>")[0]
        assert ("implements" in page) == bool(head.implements)


def embedded(page: Path, name: str) -> str:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page.read_text(), re.S)
    assert found
    return found[1]


def test_the_page_and_the_site_show_the_same(catalogue: Catalogue, heads: list[HeadRecord], tmp_path: Path) -> None:
    pipeline.export(catalogue, [], "html", tmp_path / "a.html")
    pipeline.export(catalogue, [], "html", tmp_path / "site")
    data = json.loads(embedded(tmp_path / "a.html", "overview"))
    drawn = map(json.loads, embedded(tmp_path / "a.html", "heads").split("\n"))
    assert data["threshold"] == THRESHOLD
    for glance, packed, head in zip(data["heads"], drawn, heads, strict=True):
        best = head.best_description()
        assert glance["state"] == packed["state"] == head.state
        assert [one["pattern"] for one in packed["descriptions"]][:1] == ([best.pattern] if best else [])
        strong = {name for name, (score, *_) in packed["relations"].items() if score >= data["threshold"]}
        assert strong == set(head.implements)
        if best and best.headline:
            assert best.headline.with_interval in packed["descriptions"][0]["scores"][0]
    (listed,) = json.loads(embedded(tmp_path / "site" / "index.html", "data"))
    for (layer, number, told, _), head in zip(listed["heads"], heads, strict=True):
        assert (layer, number) == (head.layer, head.head)
        assert told == (head.card.headline if head.card and head.card.rests_on else told)


def test_markdown_and_csv_show_the_same(catalogue: Catalogue, heads: list[HeadRecord], tmp_path: Path) -> None:
    pipeline.export(catalogue, [], "markdown", tmp_path / "a.md")
    _, *sections = unescape((tmp_path / "a.md").read_text()).split("\n## ")
    pipeline.export(catalogue, [], "csv", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for section, head in zip(sections, heads, strict=True):
        best = head.best_description()
        assert head.implements_text in section
        mine = [row for row in rows if (row["layer"], row["head"]) == (str(head.layer), str(head.head))]
        assert {row["implements"] for row in mine} == {head.implements_text}
        if best is not None:
            first = section.split("\n- ")[1]
            assert first.startswith(f"{best.llm} (salient-1)")
            assert (best.headline.text if best.headline else "") in first
            (shown,) = (row for row in mine if (row["llm"], row["role"]) == (best.llm, str(best.role or "")))
            assert shown["score"] == (str(best.headline.value) if best.headline else "")


def test_the_page_of_a_head_shows_the_same(heads: list[HeadRecord]) -> None:
    for head in heads:
        best, tables = head.best_description(), Tables()
        packed = pack_head(head, tables)
        assert packed["state"] == head.state
        if best is not None:
            first, shared = packed["descriptions"][0], tables.to_json()["shared"]
            assert first["state"] == head.state
            assert shared[first["llm"]] == best.llm
            if best.headline:
                (told,) = [score for score in first["scores"] if score[0] == best.headline.measure]
                assert told[8] == best.headline.with_interval
                assert told[9] == best.headline.levels
