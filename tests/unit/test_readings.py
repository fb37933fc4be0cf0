"""Readings, as provenance names them."""

from dataclasses import replace

import pytest

from describe.errors import InputError
from describe.readings import DIRECT, PAPER, Reading, reading_named


def test_the_papers_reading_is_what_extractions_without_a_name_were_made_by():
    assert PAPER.settings() == {}
    assert Reading.of({"salient": 30, "dtype": "float32"}) == PAPER


@pytest.mark.parametrize(
    "reading",
    [
        DIRECT,
        replace(DIRECT, source="x", openings=(), lens=True),
        replace(DIRECT, tokens="8000", largest=100),
        replace(PAPER, tokens="learnt"),
    ],
)
def test_a_reading_is_found_again_in_its_settings(reading: Reading):
    assert Reading.of({"salient": 30} | reading.settings()) == reading
    assert list(reading.settings()) == [reading.name]


def test_settings_may_say_more_than_this_version_knows_and_less():
    assert Reading.of({"direct": {"openings": ["A"], "new": 1}}) == replace(DIRECT, openings=("A",))


def test_a_reading_that_there_is_not_is_refused():
    assert reading_named("direct") is DIRECT
    with pytest.raises(InputError, match="no reading 'dirct': paper or direct"):
        reading_named("dirct")
