"""Templates, tasks, and the choice of heads and controls for ablation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.tables import csv_table, latex_table
from describe.check_records import Ablation
from describe.errors import InputError
from describe.inference import (
    PAPER_TEMPLATES,
    Task,
    Template,
    choose_controls,
    make_exam,
    random_heads,
    read_tasks,
    read_templates,
    removal_numbers,
    strongest_heads,
)
from describe.operations import ALL, load_operations
from describe.pipeline import ablation_curves, ablation_rows
from describe.records import HeadId, OperationScores

IDS = {word: i for i, word in enumerate(["France", "Paris", "Spain", "Madrid", "Rome", "Italy", "Peru", "Lima"])}


def spell(text: str) -> list[int]:
    """A tokenizer that knows letters only."""
    return [1000 + ord(letter) for letter in text]


def test_the_entity_comes_after_a_space_and_is_read_at_its_last_token() -> None:
    first, second = Template.parse("Of <X>, no").prompts([[7], [8, 9]], spell, spell)
    assert first == ((*spell("Of"), 7, *spell(", no")), 2)
    assert second == ((*spell("Of"), 8, 9, *spell(", no")), 3)
    assert Template.parse("<X>").prompts([[7]], spell, spell) == [((7,), 0)]
    for text in ("no place", "<X> and <X>"):
        with pytest.raises(InputError, match="once"):
            Template.parse(text)


def test_templates_are_lines_or_a_list(tmp_path: Path) -> None:
    path = tmp_path / "t"
    for text in ("a <X>\n\n <X> b \na <X>\n", '["a <X>", "<X> b"]'):
        path.write_text(text)
        assert read_templates(path) == ["a <X>", "<X> b"]
    for text in ("", '{"a": 1}', "[1]"):
        path.write_text(text)
        with pytest.raises(InputError):
            read_templates(path)
    assert len(PAPER_TEMPLATES) == 4


def test_every_operation_has_a_task_and_bad_tasks_are_refused(tmp_path: Path) -> None:
    assert set(read_tasks()) == {operation.name for operation in load_operations(ALL)[0]}
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps({"a": "the <X> is", "b": {"text": "<X> =", "shots": 2}}))
    assert read_tasks(path) == {"a": Task("the <X> is", 0), "b": Task("<X> =", 2)}
    for bad in ('{"a": 1}', '{"a": {"text": "<X> is", "shots": -1}}', '{"a": "is"}', '{"a": "<X>"}', "[]", "{"):
        path.write_text(bad)
        with pytest.raises(InputError):
            read_tasks(path)


def test_examples_are_other_sources_and_every_good_answer_counts() -> None:
    pairs = [("France", "Paris"), ("Spain", "Madrid"), ("Italy", "Rome"), ("Peru", "Lima"), ("France", "Rome")]
    pairs += [("Chad", "Lima"), ("Peru", "Unknown")]
    exam = make_exam(Task("<X>:", 1), pairs, IDS.get, spell, spell, most=2, seed=1)
    assert len(exam.prompts) == 2
    text = "".join(chr(token - 1000) for token in exam.prompts[0].ids[: exam.prompts[0].source])
    source, target = text.rstrip("\n").split(": ")
    assert (source, target) in pairs
    asked = [prompt.ids[prompt.source] for prompt in exam.prompts]
    assert IDS[source] not in asked
    whole = make_exam(Task("<X>:", 0), pairs, IDS.get, spell, spell, most=9)
    answers = {prompt.ids[0]: answer for prompt, answer in zip(whole.prompts, whole.answers, strict=True)}
    assert answers[IDS["France"]] == {IDS["Paris"], IDS["Rome"]}
    assert set(answers) == {IDS[word] for word in ("France", "Spain", "Italy", "Peru")}


def scores(values: list[list[float]]) -> OperationScores:
    rows = tuple(map(tuple, values))
    return OperationScores("o", "c", 10, 40, True, tuple(range(len(values))), rows, rows, 0.0)


def test_heads_go_from_the_strongest_down_as_many_as_the_model_allows() -> None:
    assert strongest_heads(scores([[0.1, 0.0], [0.5, 0.1]]), 4) == [HeadId(1, 0), HeadId(0, 0), HeadId(1, 1)]
    many = scores([[0.5] * 300])
    for n_heads, most in ((299, 30), (300, 50), (500, 100), (1000, 150), (1500, 250), (9000, 250)):
        assert len(strongest_heads(many, n_heads)) == most
    assert removal_numbers(4) == (1, 2, 3, 4)
    assert removal_numbers(0) == ()
    assert removal_numbers(50)[:2] == (2, 4)
    assert removal_numbers(250)[-1] == 250
    assert len(removal_numbers(250)) <= 31


def test_random_heads_are_others() -> None:
    every = [HeadId(layer, head) for layer in range(3) for head in range(4)]
    drawn = [random_heads(every, every[:4], seed) for seed in range(5)]
    assert all(len(heads) == 4 and not set(heads) & set(every[:4]) for heads in drawn)
    assert len({tuple(heads) for heads in drawn}) > 1


def test_controls_are_near_in_accuracy_and_have_other_heads() -> None:
    own = [HeadId(0, i) for i in range(20)]
    far = [HeadId(1, i) for i in range(20)]
    heads = {"own": own, "far": far, "touching": far[:18] + own[:2], "overlapping": far[:17] + own[:3], "hard": far}
    base = {"own": 0.6, "far": 0.75, "touching": 0.55, "overlapping": 0.6, "hard": 0.3}
    assert choose_controls("own", heads, base, 5) == ["touching", "far"]
    assert choose_controls("own", heads, base, 1) == ["touching"]


def test_the_table_is_taken_where_the_task_fares_worst() -> None:
    found = Ablation(
        prompts=10,
        heads=("1.0", "0.0", "0.1"),
        numbers=(1, 2, 3),
        base=0.8,
        targeted=(0.6, 0.2, 0.2),
        random=((0.8, 0.7, 0.1), (0.8, 0.9, 0.1)),
        controls={"a": (0.9, (0.9, 0.9, 0.0)), "b": (0.7, (0.7, 0.5, 0.0))},
        seconds=1.0,
    )
    (row,) = ablation_rows({"o": found})
    assert (row["heads"], row["base"], row["targeted"], row["controls"]) == (2, 0.8, 0.2, "a, b")
    assert row["targeted_change"] == pytest.approx(-0.75)
    assert row["random"] == pytest.approx(0.8)
    assert row["random_sd"] == pytest.approx(0.02**0.5)
    assert (row["control_base"], row["control"]) == (pytest.approx(0.8), pytest.approx(0.7))
    assert row["control_change"] == pytest.approx(-0.125)
    curves = ablation_curves(found)
    assert [(c["removed"], c["accuracy"]) for c in curves[:4]] == [(0, 0.8), (1, 0.6), (2, 0.2), (3, 0.2)]
    spread = next(c for c in curves if c["kind"] == "random heads" and c["removed"] == 2)
    assert (spread["low"], spread["high"]) == (pytest.approx(0.8 - 0.02**0.5), pytest.approx(0.8 + 0.02**0.5))


def test_tables_are_safe_for_spreadsheets_and_latex() -> None:
    rows = [{"operation": "=evil_&%", "p_with_context": 0.0, "r": None}, {"operation": "b", "p_with_context": 0.5}]
    assert csv_table(rows).splitlines()[1].startswith("'=evil")
    latex = latex_table(rows)
    assert "=evil \\&\\%" in latex
    assert "$<$1e-300" in latex
    assert "0.50" in latex
