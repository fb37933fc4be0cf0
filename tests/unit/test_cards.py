"""Cards that an LLM words: each statement names its evidence, and is looked up in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.head_record.card_evidence import card_evidence, worded_lines
from describe.labelling import CardQuestion, load_card_template, objection, passes, template_names
from describe.llm import Request, parse_llm
from describe.pipeline import head_record as record_of
from describe.pipeline import plan_cards, word_cards
from describe.records import Description, HeadId, Statement, WordedCard
from tests.headlined import headlined

LINES = (
    "operation, by its weights: suppresses names: 0.90 of 325 pairs; in prompts 0.81",
    "mappings beside random heads: nothing above random heads",
    'attention, by its weights: " John" at " Mary"; with attention on text r 0.31',
)
GOOD = {
    "headline": {"text": "Suppresses names", "evidence": [1]},
    "sentences": [
        {"text": "It suppresses 0.90 of 325 names, in prompts 0.8 [1].", "evidence": [1]},
        {"text": 'By queries and keys it goes from " John" to " Mary" (r 0.31).', "evidence": [3]},
    ],
}


def ask() -> CardQuestion:
    return CardQuestion.of(load_card_template(None), LINES)


def changed(place: str, **fields: Any) -> dict[str, Any]:
    found = json.loads(json.dumps(GOOD))
    (found["headline"] if place == "headline" else found["sentences"][int(place)]).update(fields)
    return found


def test_the_prompt_numbers_the_evidence_and_the_reply_names_it() -> None:
    question = ask()
    assert all(f"\n{number}. {line}" in question.prompt for number, line in enumerate(LINES, 1))
    assert "card-1" not in template_names()
    read = question.read(f"```json\n{json.dumps(GOOD)}\n```", {"calls": 1})
    assert [one.evidence for one in read.statements] == [(1,), (1,), (3,)]
    assert read.statements[1].text == "It suppresses 0.90 of 325 names, in prompts 0.8."
    assert read.failure is None
    assert read.usage == {"calls": 1}


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (changed("headline", evidence=[]), "the headline names no evidence"),
        (changed("0", evidence=[1, 4]), "sentence 1 names evidence 4, and there are 1 to 3"),
        (changed("1", evidence=[0]), "sentence 2 names evidence 0"),
        (changed("0", text="It suppresses names: 0.93"), "the figure 0.93, which does not stand"),
        (changed("0", text="It suppresses 326 names"), "the figure 326"),
        (changed("0", text="It suppresses 93 % of names"), "the figure 93 %"),
        (changed("0", text="It suppresses names"), "has no figure of the evidence"),
        (changed("1", text='It goes from " John" to " Paul": 0.31'), 'quotes " paul"'),
        (changed("headline", text="Copies capitals"), "no word of the evidence"),
        (changed("headline", text="Looks where it writes"), "no word of the evidence"),
        (GOOD | {"sentences": GOOD["sentences"][:1]}, "the field sentences"),
        ({"headline": "Suppresses names"}, "the field"),
    ],
)
def test_a_statement_that_does_not_rest_on_its_evidence_goes_back(reply: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(")):
        ask().read(json.dumps(reply), {})


def test_figures_may_be_rounded_and_shares_be_per_cent() -> None:
    assert objection("suppresses names: 0.9, that is 90 %", LINES[:1], figure=True) is None
    assert objection("suppresses names: 1", LINES[:1], figure=True) is not None
    assert objection("Unclear: nothing above random heads", LINES[1:2], figure=True) is None


def test_under_another_heads_evidence_the_same_words_do_not_pass() -> None:
    statements = ask().read(json.dumps(GOOD), {}).statements
    other = ("operation, by its weights: suppresses names: 0.41 of 325 pairs", *LINES[1:])
    assert passes(statements, LINES)
    assert not passes(statements, other)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return headlined(str(tmp_path / "h.db"))


def test_everything_known_of_a_head_is_evidence(catalogue: Catalogue) -> None:
    found = {
        str(head): card_evidence(record_of(catalogue, "m", head)) for head in (HeadId(0, 0), HeadId(0, 1), HeadId(1, 0))
    }
    assert found["0.0"][0] == "operation, by its weights: suppresses names: 0.80 of 40 pairs"
    assert any("0.90" in line and line.startswith("attention, previous-token: ") for line in found["0.1"])
    assert "none of 1 by 0.15 or more" in found["0.1"][0]
    assert any(line.startswith("description by openai:x, of what it writes: their country") for line in found["1.0"])


def test_a_wording_is_kept_with_its_level_until_more_is_known(catalogue: Catalogue) -> None:
    head, extraction = HeadId(0, 0), 1
    lines = card_evidence(record_of(catalogue, "m", head))
    by = catalogue.register_labeller("openai:y", "card-1", "t", {})
    failed = WordedCard(failure="invalid", detail="sentence 1 names no evidence")
    catalogue.worded.save(extraction, head, by, failed, lines, (0, 0), {})
    assert catalogue.worded.outcomes(extraction, by, {head: lines})[head].failure == "invalid"
    assert worded_lines(record_of(catalogue, "m", head))[0].failed == "failed (invalid): sentence 1 names no evidence"
    said = WordedCard((Statement("Suppresses names", (1,)),) * 3, reply="{}")
    for outcome in (said, WordedCard(failure="late")):
        catalogue.worded.save(extraction, head, by, outcome, lines, (3, 1), {})
    (found,) = worded_lines(record_of(catalogue, "m", head))
    assert found.statements == ["Suppresses names [1]"] * 3
    assert found.evidence == [f"[1] {lines[0]}"]
    assert found.notes == ["the check passes the same words under the evidence of 1 of 3 other heads"]
    assert record_of(catalogue, "m", head).card.headline == "suppresses names"  # type: ignore[union-attr]
    catalogue.save_description(1, head, by, Description("a", "b"), {})
    now_known = record_of(catalogue, "m", head)
    assert not catalogue.worded.outcomes(extraction, by, {head: card_evidence(now_known)})
    assert "something else is known now" in worded_lines(now_known)[0].notes[-1]


def test_statistics_word_no_cards_and_a_plan_changes_nothing(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with pytest.raises(InputError, match="--cards has an LLM word cards"):
        word_cards(catalogue, "m", parse_llm("statistics"), request=Request())
    plan = plan_cards(catalogue, "m", parse_llm("openai:gpt-none"), request=Request())
    assert len(plan.heads) == plan.calls == 3
    assert "suppresses names: 0.80 of 40 pairs" in plan.prompts[HeadId(0, 0)]
    assert catalogue.find_labeller("openai:gpt-none", "card-1", load_card_template(None).text, {}) is None
