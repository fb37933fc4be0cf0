"""Templates and answers, without any LLM."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from describe.errors import TemplateError
from describe.labelling import (
    ANSWER_SCHEMA,
    DescribeQuestion,
    Exchange,
    Template,
    load_template,
    parse_answer,
    template_names,
)
from describe.labelling.answer import GROUPED_SCHEMA, looks_like_refusal, parse_completion
from describe.labelling.gloss import gloss
from describe.llm import Reply
from describe.records import ConstantPart, Description, Evidence, HeadId, HeadMapping, MappingRow, Target

MAPPING = HeadMapping(
    HeadId(1, 2),
    tuple(
        MappingRow(i, token, 9.0 - i, tuple(Target(7 + j, text, 3.0 - j) for j, text in enumerate(targets)), ())
        for i, (token, targets) in enumerate([(" Things", [" them", ' "these"']), ("\n", ["{{ 7 * 7 }}", "\\n"])])
    ),
)
GOOD = '{"reasoning": "r", "inputs": "plural nouns", "pattern": "maps to pronouns"}'


def test_the_prompt_shows_every_row_with_its_tokens_intact() -> None:
    prompt = load_template("salient-1").render(MAPPING)
    assert '" Things" -> " them", " \\"these\\""\n' in prompt
    assert '"\\n" -> "{{ 7 * 7 }}", "\\\\n"\n' in prompt
    assert "the 2 tokens" in prompt
    assert "The 2 inputs" in prompt


def test_templates_are_strict() -> None:
    with pytest.raises(TemplateError, match=r"no prompt template 'nope'; there are: .*salient-1"):
        load_template("nope")
    with pytest.raises(TemplateError, match="colour"):
        Template("mine", "{{ rows[0].colour }}").render(MAPPING)
    with pytest.raises(TemplateError):
        Template("mine", "{{ ''.__class__.__mro__ }}").render(MAPPING)


@pytest.mark.parametrize(
    "asked", ["rows.__class__", "rows[0].__class__", "rows[0].update({1: 2})", "loop.__init__", "loop._iterator"]
)
def test_rows_and_loops_give_no_way_out_of_the_sandbox(asked: str) -> None:
    text = f"{{% for row in rows %}}{{{{ loop.index }}}}{{{{ row.source }}}}{{{{ {asked} }}}}{{% endfor %}}"
    with pytest.raises(TemplateError, match=r"cannot be rendered.*(unsafe|not safely callable|undefined)"):
        Template("mine", text).render(MAPPING)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe{{ rows }}", "not UTF-8"),
        ("{{ rows", "line 1"),
        ("{{ rows }} {{ colour }}", "unknown field 'colour'"),
        ("What does this head do?", "shows nothing of a head"),
        ("{{ rows[0].colour }}", "colour"),
        ("{{ rows[0].source + 1 }}", "cannot be rendered"),
        ("{% include 'other' %}{{ rows }}", "cannot be rendered"),
        ("{% for i in range(10000000) %}{{ rows }}{% endfor %}", "cannot be rendered"),
        ("{% set mode = 'song' %}{{ rows }}", "the mode 'song'"),
        ("{% set examples = ['x'] %}{{ rows }}", "'inputs' and 'pattern'"),
    ],
)
def test_a_template_of_ones_own_is_checked_before_anyone_is_asked(
    text: str | bytes | None, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.jinja"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(TemplateError, match=complaint):
        load_template(str(path))


def test_a_template_of_ones_own_is_known_by_its_file_name_and_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("{% for row in rows %}{{ row.source }}{% endfor %}\n\n")
    template = load_template(str(path))
    assert (template.name, template.text) == ("mine", path.read_text())
    assert template.render(MAPPING) == '" Things""\\n"'


@pytest.mark.parametrize("name", template_names())
def test_every_installed_template_shows_the_head(name: str) -> None:
    down = tuple(replace(row, suppressed=(Target(90 + i, f" low{i}", -1.0),)) for i, row in enumerate(MAPPING.salient))
    claim = Evidence("plural", "inputs", "plural nouns", 2, 2, 0.1, 1.0, 0.0, 0.0, ('" Things"',))
    template = load_template(name)
    prompt = template.render(replace(MAPPING, salient=down, evidence=(claim,)))
    assert ('" Things" -> " them"' in prompt) == ("rows" in template.uses)
    assert ('" Things" -| " low0"' in prompt) == ("suppressed" in template.uses)
    assert ("plural nouns, 2 of 2 (10.0 %" in prompt) == ("evidence" in template.uses)


def test_what_was_not_kept_of_a_head_cannot_be_shown() -> None:
    with pytest.raises(TemplateError, match="run headscribe extract again"):
        load_template("suppression-1").render(MAPPING)


def test_a_text_is_gone_on_with_up_to_the_pattern() -> None:
    for reply in (
        " plural nouns\npattern: maps to pronouns",
        "inputs: plural nouns \nPattern:maps to pronouns\nHead 5",
    ):
        answer = parse_completion(reply)
        assert (answer.inputs, answer.pattern, answer.reasoning) == ("plural nouns", "maps to pronouns", "")
    assert parse_completion("Unclear\npattern: unclear.").unclear
    for reply in ("", "plural nouns", "plural nouns\nand so on", "x\npattern: ..."):
        with pytest.raises(ValueError, match=r"pattern|says nothing"):
            parse_completion(reply)


@pytest.mark.parametrize(
    ("inputs", "pattern", "echo"),
    [
        ("plural nouns", "Promotes the symbol of the element.", True),
        ("Musical instruments", "maps to pronouns", True),
        ("plural nouns", "maps to pronouns", False),
        ("Unclear", "Unclear", False),
    ],
)
def test_a_repeated_example_is_a_failure(inputs: str, pattern: str, echo: bool) -> None:
    exchange = Exchange.begin(DescribeQuestion.of(load_template("completion-1"), MAPPING))
    assert exchange.question.form is None
    outcome = exchange.answered(Reply(f"{inputs}\npattern: {pattern}"))
    assert isinstance(outcome, Description)
    assert outcome.failure == ("echo" if echo else None)


def test_a_text_that_was_gone_on_with_badly_is_not_repaired() -> None:
    outcome = Exchange.begin(DescribeQuestion.of(load_template("completion-1"), MAPPING)).answered(Reply("no idea"))
    assert isinstance(outcome, Description)
    assert outcome.failure == "invalid"


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        f"Here you are:\n```json\n{GOOD}\n```\nAnything else?",
        f"<think>maybe {{'inputs': 'x'}}</think>\n{GOOD}",
        f"The set {{a, b}} maps on.\n{GOOD}",
        GOOD.replace('"}', '",}'),
        GOOD.replace("maps to pronouns", "maps to\n pronouns "),
        GOOD.replace('{"reasoning": "r", ', "{"),
        GOOD.replace("}", ', "confidence": 0.9}'),
    ],
)
def test_replies_that_hold_an_answer(reply: str) -> None:
    answer = parse_answer(reply)
    assert (answer.inputs, answer.pattern, answer.unclear) == ("plural nouns", "maps to pronouns", False)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "no JSON object"),
        ("I think it maps nouns.", "no JSON object"),
        ('{"reasoning": "r", "inputs": "plu', "no JSON object"),
        ('{"reasoning": "r", "pattern": "p"}', "inputs"),
        ('{"inputs": "a", "pattern": "..."}', "pattern"),
        ('{"inputs": "a", "pattern": ["b"]}', "pattern"),
        (GOOD.replace("maps", "maps " * 300), "pattern"),
        ("[1, 2]", "no JSON object"),
    ],
)
def test_replies_that_do_not_fit_say_why(reply: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_answer(reply)


@pytest.mark.parametrize("word", ["Unclear", "unclear.", ' "UNCLEAR" ', "*Unclear*"])
def test_unclear_is_recognised(word: str) -> None:
    answer = parse_answer(GOOD.replace("maps to pronouns", word.replace('"', "'")))
    assert answer.unclear
    assert answer.pattern == "Unclear"
    assert not parse_answer(GOOD.replace("maps to pronouns", "It is unclear which noun is meant")).unclear


def test_refusals_in_words() -> None:
    assert looks_like_refusal("I'm sorry, but I can't help with that.")
    assert looks_like_refusal("<think>hm</think> I cannot assist.")
    assert not looks_like_refusal("Sorry nouns map to {this}")
    assert not looks_like_refusal("It maps nouns")


def test_the_schema_asks_for_reasoning_first_and_nothing_else() -> None:
    assert list(ANSWER_SCHEMA["properties"]) == ["reasoning", "inputs", "pattern"]
    assert ANSWER_SCHEMA["required"] == ["reasoning", "inputs", "pattern"]
    assert ANSWER_SCHEMA["additionalProperties"] is False


ROWS = tuple(
    MappingRow(i, f" word{i}", 10.0 - i, (Target(100 + i, f" out{i}", 4.0), Target(200 + i, f" more{i}", 1.0)), ())
    for i in range(6)
)
GROUPED = HeadMapping(HeadId(1, 2), ROWS)


def grouped(**changed: Any) -> str:
    groups = [{"inputs": 'like " word0"', "promoted": "its out", "lines": [1, 2, 3]}]
    told = {"reasoning": "r", "kind": "meaning", "groups": groups, "inputs": "words", "pattern": "gives the out"}
    return json.dumps(told | changed)


def test_lines_are_shown_with_their_strengths() -> None:
    prompt = load_template("salient-2").render(GROUPED)
    assert '2. " word1" 90 -> " out1" 100, " more1" 25\n' in prompt
    assert "Whatever it reads" not in prompt
    constant = ConstantPart((Target(7, " the", 1.0),), (), 0.4)
    assert '40 % of what it writes and has been taken off the lines below. It promotes " the".' in load_template(
        "salient-2"
    ).render(replace(GROUPED, constant=constant))


def test_pieces_of_words_are_glossed_by_the_commonest_word_and_a_gloss_is_no_token() -> None:
    pieces = {" strugg": "struggle", " Strugg": "Struggle", " enorm": "enormous", " achie": "achieve"}
    assert {piece: gloss(piece) for piece in pieces} == pieces
    whole = (" struggle", " dogs", " aren", " Richard", " went", "strugg", " st", " STR", " iPh", " zzz", "\n", " ")
    assert [token for token in whole if gloss(token)] == []
    row = replace(ROWS[0], token=" strugg", targets=(Target(100, " enorm", 4.0), Target(200, " more", 1.0)))
    mapping = replace(GROUPED, salient=(row, *ROWS[1:]))
    question = DescribeQuestion.of(load_template("salient-2"), mapping)
    assert '1. " strugg" (as in struggle) 100 -> " enorm" (as in enormous) 100, " more" 25\n' in question.prompt
    assert "as in" not in load_template("salient-1").render(mapping)
    for word, stands in ((" strugg", True), ("struggle", False)):
        groups = [{"inputs": f'"{word}"', "promoted": "", "lines": [1]}]
        assert question.read(grouped(groups=groups), {}).groups[0].checked == stands


@pytest.mark.parametrize(
    ("groups", "lines", "checked", "covered"),
    [
        ([("", "", [1, 2, 3])], [(1, 2, 3)], [True], 0.5),
        ([("", "", [1, 2, 99])], [(1, 2)], [False], 0.0),
        ([("", "", [1, 2]), ("", "", [2, 3])], [(1, 2), (3,)], [True, False], 2 / 6),
        ([('" word0"', '" out1"', [1, 2])], [(1, 2)], [True], 2 / 6),
        ([('"word0"', '"out1"', [1, 2])], [(1, 2)], [True], 2 / 6),
        ([('" word5"', "", [1, 2])], [(1, 2)], [False], 0.0),
        ([("", '" out5"', [1, 2])], [(1, 2)], [False], 0.0),
        ([("", "", [])], [], [], 0.0),
    ],
)
def test_groups_are_looked_up(
    groups: list[tuple[str, str, list[int]]], lines: list[tuple[int, ...]], checked: list[bool], covered: float
) -> None:
    named = [dict(zip(("inputs", "promoted", "lines"), group, strict=True)) for group in groups]
    question = DescribeQuestion.of(load_template("salient-2"), GROUPED)
    found = question.read(grouped(groups=named), {})
    assert [group.lines for group in found.groups] == lines
    assert [group.checked for group in found.groups] == checked
    assert found.covered == pytest.approx(covered)


def test_a_kind_without_a_pattern_is_an_abstention_and_an_unknown_one_goes_back() -> None:
    question = DescribeQuestion.of(load_template("salient-2"), GROUPED)
    assert question.form == GROUPED_SCHEMA
    for kind, unclear in (("list", True), ("nothing", True), ("class", False)):
        found = question.read(grouped(kind=kind), {})
        assert (found.unclear, found.pattern == "Unclear", found.kind) == (unclear, unclear, kind)
    for changed in ({"kind": "magic"}, {"groups": "all"}, {"groups": [{}] * 4}):
        with pytest.raises(ValueError, match=r"kind|groups"):
            question.read(grouped(**changed), {})


@pytest.mark.parametrize("prompt", ["salient-2", "attention-1"])
def test_the_two_sentences_alone_are_an_answer_to_a_prompt_that_asks_for_groups(prompt: str) -> None:
    found = DescribeQuestion(load_template(prompt), "prompt", ROWS).read(GOOD, {})
    assert (found.inputs, found.pattern, found.unclear) == ("plural nouns", "maps to pronouns", False)
    assert (found.kind, found.groups, found.covered) == (None, (), None)
