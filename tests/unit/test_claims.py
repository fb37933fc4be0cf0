"""What descriptions by statistics claim: stored with them, judged whatever their words, and read out of older ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from describe import pipeline
from describe.catalog import Catalogue
from describe.catalog.roles import Role
from describe.catalog.stated_claims import claims_stated
from describe.evidence import Vocabulary, describe_evidence
from describe.records import Claim, Description, Evidence, HeadId, MappingRow, Target
from describe.scoring import Judgement, StatisticsJudge, Trial
from describe.scoring.evidence import StatisticsWriter
from tests.older_catalogues import at_revision
from tests.whole_catalogue import MODEL, VERSIONS, mapping

DESCRIBED = ("model", "extraction", "head", "labeller", "description", "evidence", "head_role", "catalogue_info")
SETTINGS = {"version": 2, "max_q": 0.01}
HEAD, ROLE, BARE, CHANGED = HeadId(0, 0), HeadId(0, 0, 1), HeadId(0, 1), HeadId(1, 0)


def evidence(name: str, kind: Any, wording: str, count: int = 12, random: float | None = None) -> Evidence:
    return Evidence(name, kind, wording, count, 30, 0.013, 1.0, 1e-9, 1e-9, (), random)


STATED = [
    evidence("plural_noun", "inputs", "plural nouns", 27, 0.04),
    evidence("common_target", "outputs", '" x"', 29),
    evidence("common_target", "outputs", '" y; promotes (3"', 28),
    evidence("copy", "pairing", "copies the input token", 14),
]
NOT_STATED = [
    evidence("weak", "inputs", "weak words", 4),
    evidence("common_target", "outputs", '" Y; Promotes (3"', 20),
    evidence("one_set", "outputs", "the same outputs", 29),
]


@pytest.mark.parametrize("suppresses", [False, True])
def test_a_description_has_the_claims_that_its_words_state(suppresses: bool) -> None:
    told = describe_evidence([*STATED, *NOT_STATED], suppresses=suppresses)
    assert set(told.claims) == {one.claim for one in STATED}
    assert "whatever the input" in (told.pattern or ""), "what is no claim of its own"
    assert describe_evidence([]).claims == ()


def filled(place: Path) -> Catalogue:
    """A head and a role of it, described by statistics; a head in whose words a number was changed; and an LLM's."""
    catalogue = Catalogue(str(place), create=True)
    extraction = catalogue.begin_extraction(catalogue.register_model(MODEL), {"salient": 3}, VERSIONS)
    author = catalogue.register_labeller("statistics", "evidence-2", "method", SETTINGS)
    for head in (HEAD, BARE, CHANGED):
        catalogue.save_head(extraction, mapping(head))
        if head != BARE:
            catalogue.evidence.save(extraction, head, SETTINGS, [*STATED, *NOT_STATED])
    catalogue.roles.save(extraction, HEAD, [Role("suppresses", (0, 2), (1,), 0.6, 6.5, 0.05)], {"draws": 9}, VERSIONS)
    catalogue.roles.save_evidence(extraction, ROLE, SETTINGS, STATED)
    told = describe_evidence([*STATED, *NOT_STATED])
    of_role = describe_evidence(STATED, suppresses=True)
    changed = replace(told, inputs="nearly all plural nouns (26 of 30)", claims=())
    for unit, said in ((HEAD, told), (ROLE, of_role), (BARE, replace(told, claims=())), (CHANGED, changed)):
        catalogue.save_description(extraction, unit, author, said, VERSIONS)
    other = catalogue.register_labeller("a:llm", "p", "text", {})
    catalogue.save_description(extraction, HEAD, other, Description(told.inputs, told.pattern), VERSIONS)
    return catalogue


def claims(catalogue: Catalogue) -> dict[tuple[str, HeadId], tuple[Claim, ...]]:
    return {(told.llm, told.head): told.claims for told in catalogue.scores.descriptions(1)}


def test_an_older_catalogue_is_read_once_by_its_words(tmp_path: Path) -> None:
    with filled(tmp_path / "now.db") as catalogue:
        before = claims(catalogue)
        assert [len(found) for found in before.values()] == [4, 4, 0, 0, 0]
    at_revision("0013", tmp_path / "now.db", f"sqlite:///{tmp_path / 'older.db'}", DESCRIBED)
    with Catalogue(str(tmp_path / "older.db")) as upgraded:
        assert claims(upgraded) == before, "no evidence, changed words, another describer: nothing is made up"


def without_claims(source: Path, to: Path) -> None:
    """An export as it was before claims were stored."""
    heads = [json.loads(line) for line in source.read_text().splitlines()]
    for head in heads:
        for told in head["descriptions"]:
            del told["claims"]
    to.write_text("".join(json.dumps(head, ensure_ascii=False) + "\n" for head in heads))


def test_exports_carry_claims_and_older_exports_are_read_by_their_words(tmp_path: Path) -> None:
    with filled(tmp_path / "now.db") as catalogue:
        before = claims(catalogue)
        for form in ("jsonl", "parquet"):
            pipeline.export(catalogue, [], form, tmp_path / f"now.{form}")
    without_claims(tmp_path / "now.jsonl", tmp_path / "older.jsonl")
    table = pq.read_table(tmp_path / "now.parquet")
    place = table.schema.get_field_index("descriptions")
    kept = pa.struct([field for field in table.schema.types[place].value_type if field.name != "claims"])
    older = table.schema.set(place, pa.field("descriptions", pa.list_(kept)))
    pq.write_table(pa.Table.from_pylist(table.to_pylist(), schema=older), tmp_path / "older.parquet")
    for name in ("now.jsonl", "now.parquet", "older.jsonl", "older.parquet"):
        with Catalogue(str(tmp_path / f"{name}.db"), create=True) as other:
            pipeline.import_heads(other, tmp_path / name)
            assert claims(other) == before, name
            pipeline.export(other, [], "jsonl", tmp_path / "again.jsonl")
        assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "now.jsonl").read_bytes(), name


def test_words_that_are_none_of_statistics_state_nothing() -> None:
    found = [{name: getattr(one, name) for name in Evidence.__dataclass_fields__} for one in STATED]
    told = describe_evidence(STATED)
    assert len(claims_stated(told.inputs, told.pattern, found)) == 4
    assert claims_stated(told.inputs, "it copies", found) == []
    assert claims_stated("plurals", told.pattern, found) == []
    assert claims_stated(None, None, found) == []


def test_a_judge_reads_claims_and_says_where_there_are_none() -> None:
    tokens = [" cats", " dogs", " under", " x"]
    judge = StatisticsJudge(Vocabulary(tokens))
    rows = tuple(MappingRow(i, tokens[i], 1.0, (Target(i, tokens[i], 1.0),), ()) for i in (0, 1, 2))
    trial = Trial(HEAD, rows, (HEAD, HEAD, BARE), (False, False, False))
    plural, copy = (one.claim for one in (STATED[0], STATED[3]))
    cats, dogs, under = judge.judge(trial, [plural]).probabilities
    assert cats == dogs > 0.9
    assert under < 0.2
    assert judge.judge(trial, [plural, copy]).probabilities[2] > under, "it copies"
    for unknown in ([], [replace(plural, name="nosuch")], [replace(copy, name="nosuch")]):
        found = judge.judge(trial, unknown)
        assert isinstance(found, Judgement)
        assert found.failure == "no_claims"
        assert "describe the model again" in (found.detail or "")


def test_claims_of_meaning_are_judged_and_written_from() -> None:
    pairs = {"big": "small", "wide": "narrow", "early": "late", "strong": "weak", "rich": "poor", "light": "dark"}
    tokens = [f" {word}" for pair in pairs.items() for word in pair] + [" cat", " colour", " labour", " under"]
    vocabulary = Vocabulary(tokens)
    claim = Claim("antonym", "pairing", "gives words of opposite meaning", 14, 30, 0.05, lines=(1, 2))
    rows = tuple(MappingRow(i, tokens[i], 1.0, (Target(j, tokens[j], 1.0),), ()) for i, j in ((0, 1), (0, 3), (12, 13)))
    trial = Trial(HEAD, rows, (HEAD, HEAD, HEAD), (False, False, False))
    opposite, *others = StatisticsJudge(vocabulary).judge(trial, [claim]).probabilities
    assert opposite > 0.9
    assert max(others) < 0.5
    writer = StatisticsWriter(vocabulary, range(len(tokens)))
    written = dict(writer.write(HEAD, [claim]).words)
    assert written[" wide"] == (" narrow",)
    assert len(written) == 2 * len(pairs)
    british = Claim("british_spelling", "outputs", "British spellings", 9, 30, 0.01)
    outputs = {one for _, found in writer.write(HEAD, [british]).words for one in found}
    assert outputs == {" colour", " labour"}


def test_claims_of_an_export_are_checked(tmp_path: Path) -> None:
    with filled(tmp_path / "now.db") as catalogue:
        pipeline.export(catalogue, [], "jsonl", tmp_path / "now.jsonl")
    for wrong in ("[1]", '[{"name": "x"}]', '{"name": "x"}', "null"):
        head = json.loads((tmp_path / "now.jsonl").read_text().splitlines()[0])
        head["descriptions"][0]["claims"] = json.loads(wrong)
        (tmp_path / "wrong.jsonl").write_text(json.dumps(head))
        with (
            Catalogue(str(tmp_path / "new.db"), create=True) as other,
            pytest.raises(Exception, match=r"descriptions\[0\]\.claims"),
        ):
            pipeline.import_heads(other, tmp_path / "wrong.jsonl")
