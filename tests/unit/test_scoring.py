"""Scores: the statistics against their definitions, the rows, the judge's replies, the claims that statistics judge."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import product

import pytest

from describe.evidence import describe_evidence
from describe.labelling import Exchange
from describe.llm import Reply
from describe.measures import MEASURES
from describe.records import Evidence, HeadId, HeadMapping, MappingRow, Target
from describe.scoring import (
    Case,
    Judgement,
    JudgeQuestion,
    balanced_accuracy,
    detection,
    draw_trial,
    matched,
    questions_of,
    swapped_trial,
    without_named,
)
from describe.scoring.company import Company
from describe.scoring.detection import load
from describe.scoring.rows import NOBODY
from describe.statistics import auroc_of, wilson


def row(source: int, *targets: int) -> MappingRow:
    return MappingRow(source, f" s{source}", 1.0, tuple(Target(t, f" t{t}", 1.0) for t in targets), ())


def mapping(head: int, *, hub: int | None = None) -> HeadMapping:
    """Rows whose tokens tell the head: target ids are 1000 heads apart."""
    rows = [row(i, 1000 * (head + 1) + i, *([] if hub is None else [hub])) for i in range(90)]
    return HeadMapping(HeadId(0, head), tuple(rows[:30]), held_out=tuple(rows[30:60]), sampled=tuple(rows[60:]))


def test_auroc_is_the_chance_of_ranking_right_and_its_interval_covers() -> None:
    luck = random.Random(1)
    own, others = ([luck.choice([0.1, 0.5, 0.9]) for _ in range(n)] for n in (7, 9))
    by_pairs = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in product(own, others)) / 63
    found = auroc_of(own, others)
    assert found.value == pytest.approx(by_pairs)
    assert found.low < found.value < found.high
    perfect = auroc_of([0.9] * 15, [0.1] * 15)
    assert perfect.value == perfect.high == 1
    assert 0.7 < perfect.low < 1
    covered = 0
    for _ in range(400):  # normal scores 1 apart: AUROC = Phi(1 / sqrt 2)
        drawn = auroc_of([luck.gauss(1, 1) for _ in range(15)], [luck.gauss(0, 1) for _ in range(15)])
        covered += drawn.low <= 0.7602 <= drawn.high
    assert 0.91 < covered / 400 <= 0.99


def test_balanced_accuracy_and_wilson() -> None:
    found = balanced_accuracy([0.9, 0.5, 0.2, 0.8], [0.1, 0.6])
    assert found.value == pytest.approx((2.5 / 4 + 1 / 2) / 2)
    share = wilson(0, 40)
    assert (share.value, share.low) == (0, 0)
    assert share.high == pytest.approx(1.959964**2 / (40 + 1.959964**2))


def test_a_trial_shows_rows_never_shown_before_and_no_hub() -> None:
    hub = 999
    maps = {HeadId(0, head): mapping(head, hub=hub) for head in range(5)}
    own = maps.pop(HeadId(0, 0))
    trial = draw_trial(own, maps, 10_000, n=15, reach=5, seed=0)
    assert trial.enough
    assert trial == draw_trial(own, maps, 10_000, n=15, reach=5, seed=0)
    assert not any(target.token_id == hub for shown in trial.rows for target in shown.targets)
    for shown, head, reach in zip(trial.rows, trial.heads, trial.reach, strict=True):
        assert shown.token_id >= (60 if reach else 30)
        assert {target.token_id // 1000 - 1 for target in shown.targets} == {head.head}
    counts = [sum(r == reach and (h == own.id) == ours for h, r in zip(trial.heads, trial.reach, strict=True))
              for reach, ours in product((False, True), repeat=2)]  # fmt: skip
    assert counts == [15, 15, 5, 5]
    assert trial.heads != tuple(sorted(trial.heads)), "in random order"


def test_half_of_the_other_rows_are_of_the_nearest_heads() -> None:
    maps = {HeadId(0, head): mapping(head) for head in range(1, 5)}
    near = {HeadId(3, head): mapping(head) for head in range(5, 7)}
    trial = draw_trial(mapping(0), maps, 10_000, n=14, reach=0, seed=0, near=near)
    others = [head for head in trial.heads if head != trial.head]
    assert len(others) == 14
    assert sum(head.layer == 3 for head in others) == 7


def test_the_nearest_heads_share_rare_targets() -> None:
    def of(head: int, *targets: int) -> HeadMapping:
        return HeadMapping(HeadId(head, 0), tuple(row(i, *targets) for i in range(3)))

    company = Company({m.id: m for m in (of(0, 1, 7), of(1, 2, 7), of(2, 1, 2), of(3, 9, 7), of(4, 8, 7))})
    assert company.nearest(of(0, 1, 7), 3)[0] == HeadId(2, 0), "1 is rarer than 7"
    assert HeadId(0, 0) not in company.nearest(of(0, 1, 7), 5)
    assert company.nearest(of(9, 55), 5) == []
    assert company.nearest(of(9, 8), 5) == [HeadId(4, 0)], "a placebo is found company by its own rows"


def test_a_list_wins_no_relation_though_it_wins_detection() -> None:
    """A constant head by a judge that matches strings, as a description that lists its outputs has it."""
    constant = HeadMapping(HeadId(0, 0), (), held_out=tuple(row(i, 901, 902) for i in range(30)))
    maps = {HeadId(0, head): mapping(head) for head in range(1, 4)}
    trials = draw_trial(constant, maps, 10_000, n=15, reach=0, seed=0), swapped_trial(constant, n=15, seed=0)
    scores = []
    for trial in trials:
        listed = Judgement(tuple(float(any(t.token == " t901" for t in r.targets)) for r in trial.rows))
        scores.append(detection(trial, listed, None, None))
    assert [score.value for score in scores] == [1.0, 0.5]
    assert scores[0].found["grouping"]["value"] == 1.0, "nor does detection need a description here"


def test_rows_of_a_relation_are_the_heads_own() -> None:
    own = mapping(0)
    trial = swapped_trial(own, n=15, seed=0)
    assert trial == swapped_trial(own, n=15, seed=0)
    assert Counter(trial.heads) == {own.id: 15, NOBODY: 15}
    assert len({shown.token_id for shown in trial.rows}) == 30
    held_out = {held.token_id: held.targets for held in own.held_out}
    for shown, head in zip(trial.rows, trial.heads, strict=True):
        assert (shown.targets == held_out[shown.token_id]) == (head == own.id)
        assert shown.targets in held_out.values()
    assert len(swapped_trial(HeadMapping(own.id, (), held_out=own.held_out[:5]), n=15, seed=0).rows) == 4


def test_named_tokens_go_without_a_trace() -> None:
    maps = {HeadId(0, head): mapping(head) for head in range(1, 4)}
    trial = draw_trial(mapping(0), maps, 10_000, n=5, reach=1, seed=0)
    ours = next(shown for shown, head in zip(trial.rows, trial.heads, strict=True) if head == trial.head)
    bare = without_named(trial, ("words", f'promotes "{ours.targets[0].token}"'))
    assert len(bare.rows) == len(bare.heads) == len(bare.reach) == len(trial.rows) - 1
    assert ours.targets not in [shown.targets for shown in bare.rows]
    assert without_named(trial, ("nothing", "named")) == trial


def test_measures_by_rows_ask_of_both_descriptions_in_either_order() -> None:
    maps = {HeadId(0, head): mapping(head) for head in range(1, 4)}
    first = set()
    for head in range(8):
        own = HeadMapping(HeadId(1, head), (), held_out=mapping(0).held_out)
        trial = draw_trial(own, maps, 10_000, n=15, reach=0, seed=0)
        case = Case(trial, ("mine", "mine"), ("theirs", "theirs"), HeadId(0, 2), False, own)
        for name in ("detection", "relation", "masked", "inputs"):
            module = questions_of(MEASURES[name])
            inquiry = module.inquire(module.load(MEASURES[name].prompt), case)
            question = next(inquiry)
            first.add("mine" in question.prompt)  # type: ignore[attr-defined]
            judged = Judgement((0.5,) * question.n)  # type: ignore[attr-defined]
            again = inquiry.send(judged)
            assert ("mine" in again.prompt) != ("mine" in question.prompt)  # type: ignore[attr-defined]
            assert name != "inputs" or "What it does with them: (not told" in again.prompt  # type: ignore[attr-defined]
            with pytest.raises(StopIteration) as done:
                inquiry.send(Judgement((0.5,) * again.n))  # type: ignore[attr-defined]
            assert (done.value.value.measure, done.value.value.value) == (name, 0.5)
    assert first == {True, False}


def test_others_are_of_the_layer_or_of_the_nearest() -> None:
    heads = [HeadId(0, 0), HeadId(0, 1), HeadId(2, 0), HeadId(3, 3)]
    assert matched(HeadId(0, 0), heads) == [HeadId(0, 1)]
    assert matched(HeadId(3, 3), heads) == [HeadId(2, 0)]
    assert matched(HeadId(3, 3), [HeadId(3, 3)]) == []


def test_replies_of_judges() -> None:
    question = JudgeQuestion("which?", 3)
    good = [{"row": i, "probability": p} for i, p in ((2, 0.5), (1, 1), (3, 0))]
    reply = f"Well: ```json\n{json.dumps({'rows': good})}\n```"
    read = Exchange.begin(question).answered(Reply(reply))
    assert isinstance(read, Judgement)
    assert read.probabilities == (1, 0.5, 0)
    bad = [good[:2], [*good, good[0]], [*good[:2], {"row": 3, "probability": 1.5}], "none"]
    for rows in bad:
        again = Exchange.begin(question).answered(Reply(json.dumps({"rows": rows})))
        assert isinstance(again, Exchange), "goes back once, with the reason"
        failed = again.answered(Reply(json.dumps({"rows": rows})))
        assert isinstance(failed, Judgement)
        assert failed.failure == "invalid"


def test_the_prompt_shows_description_and_rows_alone() -> None:
    maps = {HeadId(0, head): mapping(head) for head in range(1, 4)}
    trial = draw_trial(mapping(0), maps, 10_000, n=5, reach=0, seed=0)
    template = load(MEASURES["detection"].prompt)
    prompt = JudgeQuestion.of(template, trial, "INPUTS", "PATTERN", suppressed=False).prompt
    assert "Inputs: INPUTS" in prompt
    assert "PATTERN" in prompt
    assert "promotes" in prompt
    assert [f'{i}. "{shown.token}" -> "{shown.targets[0].token}"' for i, shown in enumerate(trial.rows, 1)] == [
        line for line in prompt.splitlines() if line[:1].isdigit()
    ]
    assert "pushes down" in JudgeQuestion.of(template, trial, "a", "b", suppressed=True).prompt


def test_a_score_counts_a_failure_of_the_placebo_and_leaves_out_the_wrong_heads_own_rows() -> None:
    maps = {HeadId(0, head): mapping(head) for head in range(1, 4)}
    trial = draw_trial(mapping(0), maps, 10_000, n=15, reach=5, seed=0)
    right = Judgement(tuple(float(head == trial.head) for head in trial.heads))
    wrong = Judgement(tuple(float(head.head == 2) for head in trial.heads))
    found = detection(trial, right, wrong, HeadId(0, 2))
    assert (found.value, found.wrong, found.n) == (1, 0.5, 30), "rows of 0.2 would have made it less"
    assert found.found["balanced_accuracy"]["value"] == found.found["reach"]["value"] == 1
    failed = detection(trial, right, Judgement(failure="refusal", detail="no"), HeadId(0, 2))
    assert (failed.value, failed.failure) == (None, "refusal")
    assert detection(trial, right, None, None).wrong is None


def test_the_claims_are_those_of_the_words() -> None:
    def evidence(name: str, kind: str, wording: str, count: int = 12) -> Evidence:
        return Evidence(name, kind, wording, count, 30, 0.01, 1.0, 1e-9, 1e-9, ())  # type: ignore[arg-type]

    said = [
        evidence("plural", "inputs", "plural nouns"),
        evidence("year", "outputs", "years"),
        evidence("common_target", "outputs", '" x"'),
    ]
    unsaid = [evidence("weak", "inputs", "weak", count=4), evidence("common_target", "outputs", '" y"', count=5)]
    told = describe_evidence([*said, *unsaid])
    assert list(told.claims) == [one.claim for one in said]
