"""Replies that are made to break whoever reads them: they are no answer, and reading them takes bounded time."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import pytest

from describe.labelling import DescribeQuestion, Exchange, load_template, parse_answer, reply_object
from describe.labelling.json_reply import LONGEST, LONGEST_MENDED
from describe.llm import Reply
from describe.records import HeadId, HeadMapping, MappingRow, Target
from describe.scoring import ChoiceQuestion, JudgeQuestion
from describe.scoring.agreement import AgreementQuestion

GOOD = '{"reasoning": "r", "inputs": "plural nouns", "pattern": "maps to pronouns"}'

HOSTILE: dict[str, Callable[[int], str]] = {
    "words": lambda n: "{" + "a: b, " * (n // 6) + "}",
    "nested lists": lambda n: '{"pattern": ' + "[" * n + "]" * n + "}",
    "nested objects": lambda n: '{"pattern":' * n + "1" + "}" * n,
    "open braces": lambda n: "{" * n + "}",
    "comments": lambda n: '{{"pattern": ' + "/*0x0x*/{" * (n // 9) + "}",
    "quotes": lambda n: '{"pattern": ' + '"' * n + "}",
    "quotes and signs": lambda n: '{{"pattern": [' + '>"' * (n // 2) + "}",
    "backslashes": lambda n: '{"pattern": "' + "\\" * n + "}",
    "digits": lambda n: '{"pattern": ' + "9" * n + "}",
    "exponent": lambda n: '{"pattern": 1e' + "9" * n + "}",
    "thinking": lambda n: "<think>" * n + GOOD,
    "thoughts": lambda n: "<think></think>" * n + "{",
    "fences": lambda n: "{" + "```json " * (n // 8) + "}",
    "spaces": lambda n: "sorry" + " " * n + "{" + " " * n + "}",
    "keys": lambda n: '{"pattern": 1, ' + ", ".join(f'"{i}": 0' for i in range(n // 8)) + "}",
    "rows": lambda n: '{"rows": [' + ", ".join(['{"row": 1, "x": 2}'] * (n // 20)) + "]}",
    "surrogates": lambda n: '{"inputs": "a", "pattern": "' + "\\ud83d" * (n // 6) + '"}',
    "NUL": lambda n: "\0" * n + '{"pattern": "\0"}' + "\ud800" * n,
}


@lru_cache
def questions() -> list[Any]:
    mapping = HeadMapping(HeadId(0, 0), (MappingRow(0, " a", 1.0, (Target(1, " b", 1.0),), ()),))
    chats = [DescribeQuestion.of(load_template(name), mapping) for name in ("salient-1", "completion-1")]
    return [*chats, JudgeQuestion("which?", 3), AgreementQuestion("same?"), ChoiceQuestion("A or B?")]


def read_by_all(reply: str) -> float:
    """Have every question read a reply. Returns the CPU seconds of the slowest."""
    slowest = 0.0
    for question in questions():
        began = time.thread_time()
        step = Exchange.begin(question).answered(Reply(reply))
        if isinstance(step, Exchange):
            for message in step.messages:
                message["content"].encode()
            assert len(step.messages[-1]["content"]) < 1000
        slowest = max(slowest, time.thread_time() - began)
    return slowest


@pytest.mark.parametrize("size", [LONGEST_MENDED - 50, 120_000, LONGEST + 1])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_reply_is_no_answer_and_read_in_bounded_time(kind: str, size: int) -> None:
    assert read_by_all(HOSTILE[kind](size)) < 2


def test_whatever_comes_is_an_answer_or_none() -> None:
    luck = random.Random(7)
    signs = [
        *"{}[]()\"'\\,: \n\t1-.eé“”`<>",
        '"pattern": ',
        '"rows": ',
        '"A": ',
        "null",
        "true",
        "NaN",
        "1e999",
        "<think>",
    ]
    for _ in range(200):
        made = "".join(luck.choice(signs) for _ in range(luck.randrange(60)))
        damaged = list(GOOD)
        for _ in range(luck.randrange(4)):
            damaged[luck.randrange(len(damaged))] = luck.choice(signs)
        for reply in (made, "{" + made + "}", "".join(damaged)):
            read_by_all(reply)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (HOSTILE["nested lists"](3000), "nested too deeply"),
        (HOSTILE["words"](LONGEST_MENDED + 100), "too long to be repaired"),
        (HOSTILE["comments"](5000), "cannot be repaired"),
        (" " * (LONGEST + 1), "is the most that is read"),
    ],
)
def test_why_a_hostile_reply_is_no_answer(reply: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_answer(reply)


def test_a_repair_leaves_whoever_watches_calls_as_it_was() -> None:
    def watcher(*_: object) -> None:
        pass

    before = sys.getprofile()
    sys.setprofile(watcher)
    try:
        reply_object(GOOD.replace('"}', '",}'), "pattern")
        with pytest.raises(ValueError, match="cannot be repaired"):
            reply_object(HOSTILE["comments"](5000), "pattern")
        assert sys.getprofile() is watcher
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize(
    "letters", ['{"A": 1}', '{"A": "x", "B": 1}', '{"A": NaN, "B": 1}', '{"A": -1, "B": 1}', '{"A": 1e400, "B": 1}']
)
def test_probabilities_that_are_none(letters: str) -> None:
    with pytest.raises(ValueError, match=r"the field [AB]:"):
        ChoiceQuestion("A or B?").read(letters, {})


@pytest.mark.parametrize("pattern", ["Maps <think> to </think>.", "Promotes <think> after a newline."])
def test_an_answer_may_speak_of_thinking(pattern: str) -> None:
    said = GOOD.replace("maps to pronouns", pattern)
    for reply in (said, f"<think>{{well}} <think></think>\n{said}"):
        assert parse_answer(reply).pattern == pattern


@pytest.mark.parametrize(
    "reply",
    [
        f"The {{source}} is a noun:\n```json\n{GOOD}\n```\nHope it helps {{really}}.",
        f"{GOOD}\n\nNote: {{}} and {{ were no words.",
        f'{{"pattern": "a first try"}}\n{GOOD}\nThat is {{better}}.',
    ],
)
def test_prose_around_an_answer_may_have_braces(reply: str) -> None:
    assert parse_answer(reply).pattern == "maps to pronouns"


@pytest.mark.parametrize("pattern", ['Maps "}" to "{" always', 'Maps "} to {" always', 'Maps "}\n to {" always'])
def test_braces_and_quotes_leave_no_stump(pattern: str) -> None:
    with suppress(ValueError):
        assert parse_answer(GOOD.replace("maps to pronouns", pattern)).pattern.split() == pattern.split()


def test_a_reply_that_is_too_long_to_read_is_not_sent_back() -> None:
    step = Exchange.begin(JudgeQuestion("which?", 3)).answered(Reply("x" * (LONGEST + 1)))
    assert not isinstance(step, Exchange)
    assert step.failure == "invalid"


@pytest.mark.parametrize(
    "pattern",
    [
        'promotes "and" after ","',
        'maps "{" to "}", and "(" to ")"',
        'the token ":" is followed by a newline',
        'After "." it promotes "The"; after "," it promotes "and"',
        'Closes what was opened: "{" is mapped to "}"',
    ],
)
def test_quotes_that_are_not_escaped_never_leave_a_stump(pattern: str) -> None:
    told = f'"pattern": "{pattern}"'
    assert parse_answer(f'{{"reasoning": "most lines fit", "inputs": "punctuation", {told}}}').pattern == pattern
    with pytest.raises(ValueError, match="quotes"):  # not all of it is there: it is asked for again
        parse_answer(f'{{{told}, "inputs": "punctuation"}}')


WHOLE = '{"reasoning": "r", "inputs": "i", "pattern": "maps <think> to <|end|>"}'


@pytest.mark.parametrize(
    "reply",
    [
        f"<|channel|>analysis<|message|>so {{x}}<|end|><|start|>assistant<|channel|>final<|message|>{WHOLE}<|return|>",
        f"<|channel|>final <|constrain|>json<|message|>{WHOLE}",
        f"analysisWe see {{x}} here.assistantfinal{WHOLE}",
        f"[THINK]perhaps {{x}}[/THINK]{WHOLE}",
        f"<thinking>perhaps {{x}}</thinking>\n```json\n{WHOLE}\n```",
        f"opened by the template {{x}} </think>\n\n{WHOLE}",
        WHOLE.replace('"}', '",}'),
        WHOLE.replace('"', "'"),
    ],
)
def test_thinking_and_tags_of_channels_are_no_part_of_the_answer(reply: str) -> None:
    assert parse_answer(reply).pattern == "maps <think> to <|end|>"


@pytest.mark.parametrize(
    ("said", "unclear"),
    [
        *[(said, True) for said in ("None", "N/A", "n/a.", "Unknown", "Unclear (mixed)")],
        ("Unclear - no consistent pattern.", True),
        *[(said, True) for said in ("No consistent pattern.", "There is no clear relationship between the tokens")],
        *[(said, True) for said in ("n / a", "Nil", "Noisy / unclear", "Not enough information", "Not discernible")],
        *[(said, True) for said in ("The head has no clear function", "No meaningful relationship found")],
        *[(said, True) for said in ("No unifying theme", "No discernable pattern", "No significant pattern emerges")],
        *[(said, True) for said in ("There does not appear to be a pattern", "No relation is evident")],
        *[(said, False) for said in ("No meaningful relationship words", "Words such as nil", "Noisy words")],
        *[(said, False) for said in ("The head has words without clear function", "Nil to zero", "Not enough")],
        *[(said, False) for said in ("None of the verbs", "Unclear words to clear ones", "Nouns", "Unknown words")],
        ("No clear pattern, but maps verbs to nouns", False),
        *[
            (said, True)
            for said in (
                *("No pattern found", "The pattern is unclear.", "Not clear", "It is unclear", "Nothing in common"),
                *("None identified", "Cannot be determined from these lines", "Insufficient evidence", "I don't know"),
                *("n/a - mixed tokens", "Mixed / unclear", "No discernible pattern could be found", "Uncertain"),
            )
        ],
        *[
            (said, False)
            for said in (
                *("Not clear-cut: verbs to their past", "uncertain words such as maybe", "the function words"),
                *(
                    "n/a-style placeholders to zeros",
                    "Nothing-words such as null to zero",
                    "input devices",
                    "role names",
                ),
            )
        ],
    ],
)
def test_one_table_of_abstentions_for_inputs_and_patterns(said: str, unclear: bool) -> None:
    answer = parse_answer(json.dumps({"reasoning": "", "inputs": said, "pattern": said}))
    assert (answer.inputs == "Unclear", answer.unclear) == (unclear, unclear)
