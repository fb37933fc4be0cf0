"""Readings: as provenance names them, and both of one model in a catalogue."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from describe.catalog import Catalogue
from describe.catalog.packing import pack
from describe.errors import InputError
from describe.readings import DIRECT, PAPER, Reading, reading_named
from describe.records import ConstantPart, HeadId, HeadMapping, MappingRow, Target
from tests.whole_catalogue import MODEL, direct_mapping
from tests.whole_catalogue import mapping as whole_mapping


def test_the_papers_reading_is_what_extractions_without_a_name_were_made_by() -> None:
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
def test_a_reading_is_found_again_in_its_settings(reading: Reading) -> None:
    assert Reading.of({"salient": 30} | reading.settings()) == reading
    assert list(reading.settings()) == [reading.name]


def test_settings_may_say_more_than_this_version_knows_and_less() -> None:
    assert Reading.of({"direct": {"openings": ["A"], "new": 1}}) == replace(DIRECT, openings=("A",))


def test_a_reading_that_there_is_not_is_refused() -> None:
    assert reading_named("direct") is DIRECT
    with pytest.raises(InputError, match="no reading 'dirct': paper or direct"):
        reading_named("dirct")


def rows(n: int, up: int, down: int, *, strengths: bool, seed: int) -> tuple[MappingRow, ...]:
    """Rows as a model gives them, of so many targets each."""
    luck = random.Random(seed)

    def targets(k: int, sign: float) -> tuple[Target, ...]:
        drawn = [(luck.randrange(49_152), sign * luck.uniform(1, 30), luck.uniform(1, 30)) for _ in range(k)]
        return tuple(Target(t, f" token{t}", logit, z if strengths else None) for t, logit, z in drawn)

    return tuple(
        MappingRow(t, f" token{t}", luck.uniform(0, 5), targets(up, 1.0), targets(down, -1.0), 9.5 * strengths or None)
        for t in (luck.randrange(49_152) for _ in range(n))
    )


def test_a_directly_read_head_takes_at_most_twice_the_space() -> None:
    head = HeadId(0, 0)
    papers = HeadMapping(
        head,
        rows(30, 5, 5, strengths=False, seed=0),
        held_out=rows(30, 5, 5, strengths=False, seed=1),
        sampled=rows(30, 5, 5, strengths=False, seed=2),
    )
    direct = replace(
        papers,
        salient=rows(30, 10, 5, strengths=True, seed=3),
        distinct=rows(30, 10, 5, strengths=True, seed=4),
        constant=ConstantPart(papers.salient[0].targets, papers.salient[0].suppressed, share=0.5),
    )
    assert len(json.dumps(pack(direct))) <= 2 * len(json.dumps(pack(papers)))


def test_both_readings_of_a_model_stand_side_by_side(tmp_path: Path) -> None:
    info, head = MODEL, HeadId(1, 1)
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        model = catalogue.register_model(info)
        paper = catalogue.begin_extraction(model, {"salient": 30}, {})
        direct = catalogue.begin_extraction(model, {"salient": 30} | DIRECT.settings(), {})
        catalogue.save_head(paper, whole_mapping(head))
        catalogue.save_head(direct, direct_mapping(head))
        kept = catalogue.mapping(direct, head)
        assert [row.variants for row in kept.distinct] == [row.variants for row in direct_mapping(head).distinct]
        assert [row.distinctness for row in kept.distinct] == [9.5, 8.5, 7.5]
        assert [t.z for t in kept.salient[0].targets] == pytest.approx([2.142857, 2.285714], rel=1e-4)
        assert kept.constant is not None
        assert catalogue.mapping(paper, head).constant is None
        said = next(catalogue.head_records(info, paper)).to_json()
        assert said.keys() & {"distinct", "constant"} == set()
        assert all(target.keys() == {"token_id", "token", "logit"} for target in said["salient"][0]["targets"])
        assert said["salient"][0].keys() == {"token_id", "token", "saliency", "targets", "suppressed"}
        said = next(catalogue.head_records(info, direct)).to_json()
        assert said["constant"]["share"] == 0.125
        assert said["distinct"][0]["variants"] == (" T", "t")
        assert "variants" not in said["distinct"][1]
