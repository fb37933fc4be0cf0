"""Full-text search and nearest heads: found as soon as saved, nothing is syntax, likeness as defined."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from app.main import main
from describe.catalog import Catalogue
from describe.catalog.database import begin_write
from describe.catalog.passages import fill, passage
from describe.records import Description, HeadId, HeadMapping, MappingRow, ModelInfo, Target
from describe.terms import head_terms, marked, prose_terms, query_terms
from tests.attacks import FORMULAS, HIDDEN, HTML, MARKDOWN, TEXTS, attacked_catalogue, texts_of

INFO = ModelInfo("m", "ab" * 32, "llama", 2, 3, 3, 8, 4, 50)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue(str(tmp_path / "c.db"), create=True) as opened:
        yield opened


def begin(catalogue: Catalogue, info: ModelInfo = INFO, **placebo: Any) -> int:
    return catalogue.begin_extraction(catalogue.register_model(info), dict(placebo), {}, **placebo)


def save(catalogue: Catalogue, extraction: int, head: HeadId, *tokens: str) -> None:
    rows = (MappingRow(n, token, 1.0, (Target(9, f"{token}ed", 1.0),), ()) for n, token in enumerate(tokens))
    catalogue.save_head(extraction, HeadMapping(head, tuple(rows)))


def found(catalogue: Catalogue, query: str, **narrowed: Any) -> list[str]:
    result = catalogue.search.find(query, **narrowed)
    assert result["total"] == len(result["heads"])
    return [f"{head['layer']}.{head['head']}" for head in result["heads"]]


def test_a_head_is_found_as_soon_as_it_is_saved(catalogue: Catalogue) -> None:
    extraction = begin(catalogue)
    first, second = INFO.heads[:2]
    save(catalogue, extraction, first, " Paris", "():", "it's")
    save(catalogue, extraction, second, " London")
    save(catalogue, extraction, first, " Paris", "():", "it's")  # again: entered once
    assert found(catalogue, "PARIS") == found(catalogue, "():") == found(catalogue, "it") == ["0.0"]
    assert found(catalogue, "pari") == ["0.0"], "a word stands for what begins with it"
    assert found(catalogue, "lo") == [], "a short one for itself"
    by = catalogue.register_labeller("openai:x", "p", "t", {})
    catalogue.save_description(extraction, second, by, Description(failure="timeout", detail="capital"), {})
    assert found(catalogue, "capital") == []
    catalogue.save_description(extraction, second, by, Description("cities", "their capital city"), {})
    catalogue.save_description(extraction, first, by, Description("Unclear", "Unclear", unclear=True), {})
    assert found(catalogue, "capital") == found(catalogue, "capital cities LONDON") == ["0.1"]
    assert found(catalogue, "capital paris") == found(catalogue, "unclear") == []
    (head,) = catalogue.search.find("lond capital")["heads"]
    assert (head["model"], head["llm"], head["tokens"]) == ("m@abababab", "openai:x", ["london", "londoned"])


def test_a_word_as_it_is_asked_for_ranks_before_one_that_begins_so(catalogue: Catalogue) -> None:
    extraction = begin(catalogue)
    by = catalogue.register_labeller("openai:x", "p", "t", {})
    said = ("capitalised", "the capital of a country that is named before it", "words")
    for head, pattern in zip(INFO.heads, said, strict=False):
        save(catalogue, extraction, head, " capitals" if pattern == "words" else " x")
        catalogue.save_description(extraction, head, by, Description("any", pattern), {})
    assert found(catalogue, "capital") == ["0.1", "0.0", "0.2"]
    assert found(catalogue, "capi") == ["0.0", "0.2", "0.1"], "of beginnings that in the shortest text"


def test_to_look_for_heads_not_indexed_among_twice_as_many_takes_twice_as_long(catalogue: Catalogue) -> None:
    """By the steps of SQLite's machine."""
    extraction = begin(catalogue)
    steps = []
    for n_heads in (100, 200):
        for place in range(len(catalogue.saved_heads(extraction)), n_heads):
            save(catalogue, extraction, HeadId(*divmod(place, 100)), "word")
        with begin_write(catalogue.engine) as connection:
            made: Any = connection.connection.dbapi_connection
            counted: list[None] = []
            made.set_progress_handler(lambda: counted.append(None), 10)  # noqa: B023
            fill(connection)
            made.set_progress_handler(None, 10)
            steps.append(len(counted))
            assert connection.execute(select(func.count()).select_from(passage)).scalar() == n_heads
    assert steps[1] < 2.5 * steps[0]


def test_descriptions_come_before_tokens_and_can_be_asked_alone(catalogue: Catalogue) -> None:
    extraction = begin(catalogue)
    for head in INFO.heads[:3]:
        save(catalogue, extraction, head, " months", *(f" t{n}" for n in range(30)))
    llms = {llm: catalogue.register_labeller(llm, "p", "t", {}) for llm in ("a", "b")}
    catalogue.save_description(extraction, HeadId(0, 1), llms["a"], Description("words", "months and years"), {})
    catalogue.save_description(extraction, HeadId(0, 2), llms["b"], Description("words", "months " + "and on " * 9), {})
    assert found(catalogue, "months") == ["0.1", "0.2", "0.0"]
    assert found(catalogue, "months", llm="b") == ["0.2"]
    assert found(catalogue, "months", llm="nobody") == found(catalogue, "months", models=[]) == []
    page = catalogue.search.find("months", limit=1, offset=1)
    assert (page["total"], page["heads"][0]["head"]) == (3, 2)


def test_placebos_and_older_extractions_are_nobodys_heads(catalogue: Catalogue) -> None:
    old = begin(catalogue)
    save(catalogue, old, HeadId(0, 0), " older")
    new = catalogue.begin_extraction(1, {"salient": 2}, {})
    placebo = begin(catalogue, placebo="spectrum")
    save(catalogue, new, HeadId(0, 0), " newer")
    save(catalogue, placebo, HeadId(0, 1), " newer")
    assert (found(catalogue, "older"), found(catalogue, "newer")) == ([], ["0.0"])
    assert [row["extraction_id"] for row in catalogue.browse.models()] == [new]
    assert catalogue.search.nearest(new, HeadId(0, 0))["by_tokens"] == {"here": [], "elsewhere": []}


def test_nothing_in_a_query_is_syntax(tmp_path: Path) -> None:
    with attacked_catalogue(tmp_path / "c.db", huge=False) as catalogue:
        for text in (*TEXTS, "a" * 10_000, " ".join("word" for _ in range(1000))):
            result = catalogue.search.find(text)
            assert result["total"] or text in HIDDEN or text not in TEXTS or not query_terms(text), text
        for text in (HTML[0], MARKDOWN[0], FORMULAS[3], HIDDEN[1]):
            head = next(head for head in INFO.heads if text in texts_of(head))
            assert str(head) in found(catalogue, text)
        assert main(["search", '"NEAR(', "--catalog", str(tmp_path / "c.db"), "--json"]) == 0
        assert main(["search", " ", "--catalog", str(tmp_path / "c.db")]) == 2


def test_nearest_heads_are_those_with_the_largest_jaccard_index(catalogue: Catalogue) -> None:
    other = ModelInfo("n", "cd" * 32, "llama", 2, 3, 3, 8, 4, 50)
    tokens: dict[tuple[str, HeadId], set[str]] = {}
    for info in (INFO, other):
        extraction = begin(catalogue, info)
        for number, head in enumerate(info.heads):
            names = [f" w{chr(97 + k % 26)}{k}" for k in range(number * 3, number * 3 + 12 - number)]
            save(catalogue, extraction, head, *names)
            packed = [[0, name, 1.0, [[9, f"{name}ed", 1.0]]] for name in names]
            tokens[info.name, head] = set(head_terms(packed))
    near = catalogue.search.nearest(1, HeadId(0, 1))["by_tokens"]
    own = tokens["m", HeadId(0, 1)]
    for where, name in (("here", "m"), ("elsewhere", "n")):
        literal = {
            head: len(own & theirs) / len(own | theirs)
            for (model, head), theirs in tokens.items()
            if model == name and (model, head) != ("m", HeadId(0, 1)) and own & theirs
        }
        got = {HeadId(one["layer"], one["head"]): one["similarity"] for one in near[where]}
        assert got == pytest.approx(literal)
        assert list(got.values()) == sorted(got.values(), reverse=True)
    assert near["elsewhere"][0]["similarity"] == 1


def test_nearest_heads_take_no_more_statements_for_more_tokens(catalogue: Catalogue) -> None:
    extraction, numbers = begin(catalogue), []
    statements: list[str] = []
    event.listen(catalogue.engine, "before_cursor_execute", lambda *about: statements.append(about[2]))
    for head, number in ((HeadId(0, 0), 2), (HeadId(1, 0), 20)):
        for other in (head, head._replace(head=1)):
            save(catalogue, extraction, other, *(f" {number}w{n}" for n in range(number)))
        statements.clear()
        assert len(catalogue.search.nearest(extraction, head)["by_tokens"]["here"]) == 1
        numbers.append(len(statements))
    assert numbers[1] == numbers[0] > 0


def test_rare_words_make_descriptions_alike(catalogue: Catalogue) -> None:
    extraction = begin(catalogue)
    by = catalogue.register_labeller("a", "p", "t", {})
    told = (
        "the words of mediaeval falconry",
        "the words of a list",
        "falconry and its birds",
        "the words of",
        "of",
        "x",
    )
    for head, words in zip(INFO.heads, told, strict=True):
        save(catalogue, extraction, head, f" {head}")
        catalogue.save_description(extraction, head, by, Description("tokens", words), {})
    near = catalogue.search.nearest(extraction, HeadId(0, 2))["by_description"]["here"]
    assert (near[0]["head"], near[0]["shared"][0]) == (0, "falconry")


def test_descriptions_are_alike_by_one_describer_and_by_words_that_tell(catalogue: Catalogue) -> None:
    extraction = begin(catalogue)
    said = {
        "a": ("of birds that are these (30 of 30)", "of what these are (30 of 30)", "birds"),
        "b": ("rivers", "mountains", "rivers and birds"),
    }
    for llm, told in said.items():
        by = catalogue.register_labeller(llm, "p", llm, {})
        for head, words in zip(INFO.heads, told, strict=False):
            save(catalogue, extraction, head, f" {head}")
            catalogue.save_description(extraction, head, by, Description(words, words), {})
    near = catalogue.search.nearest(extraction, HeadId(0, 0))["by_description"]["here"]
    assert [(one["llm"], one["head"], one["pattern"], one["shared"]) for one in near] == [
        ("a", 2, "birds", ["birds"]),
        ("b", 2, "rivers and birds", ["rivers"]),
    ], "neither b's birds, nor stop words and numbers, make heads alike"


def test_the_way_of_speaking_of_a_describer_makes_no_heads_alike(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("describe.catalog.search.MANNER", (2, 0.2))
    extraction = begin(catalogue)
    by = catalogue.register_labeller("a", "p", "t", {})
    for head, words in zip(INFO.heads, ("promotes red", "promotes blue", "promotes red ones"), strict=False):
        save(catalogue, extraction, head, f" {head}")
        catalogue.save_description(extraction, head, by, Description("Unclear", words), {})
    near = catalogue.search.nearest(extraction, HeadId(0, 0))["by_description"]["here"]
    assert [(one["head"], one["shared"]) for one in near] == [(2, ["red"])]


def test_what_was_searched_for_is_marked_where_it_stands() -> None:
    text = "x" * 400 + " Verbs in the PAST tense " + "y" * 400
    pieces = marked(text, query_terms("past ten"), 200)
    assert [piece for piece, hit in pieces if hit] == ["PAST", "tense"]
    assert pieces[0] == pieces[-1] == ("…", False)
    assert sum(len(piece) for piece, _ in pieces) == 202
    assert "".join(piece for piece, _ in marked("a <b>", query_terms("b"))) == "a <b>"


def test_terms_never_have_a_space_and_are_bounded() -> None:
    for text in (*TEXTS, "x " * 1_000_000):
        terms = [*prose_terms(text), *head_terms([[0, text, 1.0, []]])]
        assert all(term and term == "".join(term.split()) and len(term) <= 60 for term in terms)
        assert len(terms) <= 4000


def test_what_is_said_comes_before_phrases_around_it(catalogue: Catalogue) -> None:
    extraction = begin(catalogue)
    by = catalogue.register_labeller("statistics", "p", "t", {})
    for head, inputs, pattern in (
        (HeadId(0, 0), "all words without a space before them (30 of 30; 32 % of the vocabulary)", "Unclear"),
        (HeadId(0, 1), "pronouns", 'promotes " them" (21 of 30 rows), " vocabulary" (18)'),
        (HeadId(0, 2), "words", 'whatever the input, promotes " him"'),
    ):
        save(catalogue, extraction, head, *(f" t{n}" for n in range(40)), *(" them",) * (head.head == 2))
        catalogue.save_description(extraction, head, by, Description(inputs, pattern), {})
    assert found(catalogue, "them") == ["0.1", "0.2", "0.0"]
    assert found(catalogue, "vocabul") == ["0.1", "0.0"]
    assert found(catalogue, "space before") == ["0.0"], "found all the same"
    assert catalogue.search.places("them", 1, extraction) == [HeadId(0, 1), HeadId(0, 2), HeadId(0, 0)]
    assert prose_terms("a (1 of 2 b) a", "them without a space before them") == [
        "a",
        "them",
        *["‹1", "‹of", "‹2", "‹b", "‹without", "‹space", "‹before"],
    ]


def test_a_mistyped_word_is_asked_about(
    catalogue: Catalogue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extraction = begin(catalogue)
    save(catalogue, extraction, HeadId(0, 0), " London")
    by = catalogue.register_labeller("a", "p", "t", {})
    catalogue.save_description(extraction, HeadId(0, 0), by, Description("cities", "their capital"), {})
    place = ("--catalog", str(tmp_path / "c.db"))
    assert catalogue.search.meant("captial lodnon") == "capital london"
    assert catalogue.search.meant("capital lodnon") == "capital london"
    assert catalogue.search.meant("capi london") is None, "all words are there"
    assert catalogue.search.meant("xylophone") is None
    assert main(["search", "captial", *place]) == 0
    assert "0 heads; do you mean 'capital'?" in capsys.readouterr().err
    assert main(["search", "captial", *place, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"query": "captial", "total": 0, "heads": [], "meant": "capital"}
