"""The verdict on a description is read off one table, from all its scores."""

from __future__ import annotations

from typing import Any

import pytest

from describe.head_record.scores import HeadlineScore
from describe.head_record.verdicts import verdict
from describe.measures import VERDICTS


def score(measure: str, low: float, scored: str = "2026-01-01", **known: Any) -> HeadlineScore:
    return HeadlineScore(measure, "judge", low + 0.1, low, 1.0, known.pop("wrong", 0.5), scored, **known)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], "not judged"),
        ([score("stability", 0.9)], "not judged"),
        ([score("write", 0.6, p=0.01)], "supported"),
        ([score("write", 0.6, p=0.3)], "not supported"),
        ([score("write", 0.6, p=0.3), score("detection", 0.8)], "names outputs only"),
        ([score("write", 0.6, p=0.3), score("relation", 0.8)], "not supported"),
        ([score("relation", 0.6)], "supported"),
        ([score("relation", 0.6, wrong=0.7), score("detection", 0.8)], "names outputs only"),
        ([score("masked", 0.55)], "supported"),
        ([score("detection", 0.8, grouping=0.7)], "supported"),
        ([score("detection", 0.8, grouping=0.9)], "names outputs only"),
        ([score("detection", 0.8)], "names outputs only"),
        ([score("detection", 0.4)], "not supported"),
        ([score("write", 0.6, "2026-02-01", p=0.01), score("write", 0.4, "2026-01-01", p=0.9)], "supported"),
    ],
)
def test_the_first_rule_that_holds(scores: list[HeadlineScore], expected: str) -> None:
    assert verdict(scores) == verdict(scores[::-1]) == expected
    assert expected in VERDICTS
