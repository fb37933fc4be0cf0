"""Templates and answers, without any LLM."""

from __future__ import annotations

import pytest

from describe.errors import TemplateError
from describe.labelling import ANSWER_SCHEMA, Template, load_template, parse_answer
from describe.labelling.answer import looks_like_refusal
from describe.records import HeadId, HeadMapping, MappingRow, Target

MAPPING = HeadMapping(
    HeadId(1, 2),
    tuple(
        MappingRow(i, token, 9.0 - i, tuple(Target(7 + j, text, 3.0 - j) for j, text in enumerate(targets)))
        for i, (token, targets) in enumerate([(" Things", [" them", ' "these"']), ("\n", ["{{ 7 * 7 }}", "\\n"])])
    ),
)
GOOD = '{"reasoning": "r", "inputs": "plural nouns", "pattern": "maps to pronouns"}'


def test_the_prompt_shows_every_row_with_its_tokens_intact() -> None:
    prompt = load_template().render(MAPPING)
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
