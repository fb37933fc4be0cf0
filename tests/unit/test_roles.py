"""Roles: as many as were planted, one where there is one, none seen in noise; kept, numbered and shown."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import text

from describe.catalog import Catalogue
from describe.catalog.roles import Role
from describe.maps import cluster_rows, output_space
from describe.maps.roles import DRAWS, correlations, reach, singular_values, written
from describe.pipeline.role_rows import of_role, role_units
from describe.records import Description, Evidence, HeadId, HeadMapping, MappingRow, Score, Target
from tests.heads import head_records
from tests.older_catalogues import at_revision
from tests.planted_roles import DH, World, clusters, planted_head, random_weights, world
from tests.unit.test_catalogue import filled

SEEDS = (0, 1)


@cache
def a_world(seed: int) -> World:
    return world(seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("maps", [1, 2, 3])
def test_as_many_roles_as_were_planted(seed: int, maps: int) -> None:
    """Each cluster is of one class of sources, and every class has its cluster."""
    of = a_world(seed)
    planted = [(0, 3, 1), (1, 5, -1), (2, 7, 1)][:maps]
    found, top = clusters(of, planted_head(of, planted))
    classes = [set(of.classes[top[rows]].tolist()) for rows in found]
    assert len(found) == maps
    if maps > 1:
        assert sorted(map(sorted, classes)) == [[source] for source, _, _ in planted]


def test_noise_has_one_role() -> None:
    """Of as many heads as these, a test at 1 in 100 would split two once in a hundred and fifty times."""
    of = a_world(0)
    split = sum(len(clusters(of, random_weights(of))[0]) > 1 for _ in range(12))
    assert split <= 1


def test_one_map_of_different_words_is_one_role() -> None:
    """A head that copies writes something else for every source: no two rows are alike, and it does one thing."""
    of = a_world(0)
    ids = torch.arange(DH) * 7
    value = torch.linalg.lstsq(of.x.vectors[ids], torch.eye(DH)).solution
    rows = of.x.vectors[ids] @ value @ of.unembed[ids]
    split = cluster_rows(correlations(rows, of.space), DH)
    assert split.silhouette < 0.2 or split.labels.max() == 0


def test_correlation_and_reach_are_those_of_the_logits() -> None:
    """Against the literal equations: every logit of every row."""
    of = a_world(1)
    rows = written(of.x.vectors[:20], planted_head(of, [(0, 3, 1)]), 0)
    logits = (rows.double() @ of.unembed.double().mT).numpy()
    np.testing.assert_allclose(correlations(rows, of.space), np.corrcoef(logits), atol=1e-6)
    largest = torch.tensor(logits).topk(5, dim=1).values
    literal = (np.sort(logits)[:, -5:].mean(1) - logits.mean(1)) / logits.std(1)
    np.testing.assert_allclose(reach(rows, of.space, largest), literal, rtol=1e-6)
    assert output_space(of.unembed, 5, torch.device("cpu"), block=100).reached == pytest.approx(of.space.reached)


def test_singular_values_are_those_of_the_product() -> None:
    of = a_world(1)
    head = random_weights(of)
    literal = torch.linalg.svdvals(head.value[0] @ head.output[0])[:DH]
    assert torch.allclose(singular_values(head, 0, of.x.vectors), literal, rtol=1e-4)


def test_a_random_head_is_what_the_definition_says() -> None:
    """The correlations drawn for a spectrum are those of a head with these singular values, written out."""
    of, singular = a_world(0), torch.linspace(2, 0.5, DH)
    drawn = torch.Generator().manual_seed(0)
    axes = []
    for _ in range(2):
        q, r = torch.linalg.qr(torch.randn(of.x.vectors.shape[1], DH, generator=drawn, dtype=torch.float64))
        axes.append(q * r.diagonal().sign())
    rows = of.x.vectors.double() @ (axes[0] * singular) @ axes[1].mT
    top = (rows.norm(dim=1) / of.x.norms).topk(60).indices
    logits = (rows[top] @ of.unembed.double().mT).numpy()
    np.testing.assert_allclose(of.random[0].correlations(singular, 60), np.corrcoef(logits), atol=1e-5)
    assert len(of.random) == DRAWS


# -- in the catalogue -------------------------------------------------------------------------------------------------

FOUND = Evidence("name", "inputs", "wording", 3, 3, 0.1, 1.0, 0.01, 0.01, ('" a"',))
ROLES = [
    Role("promotes", (0, 2), (1,), 0.5, 6.0, 0.01),
    Role("suppresses", (0, 2), (1,), 0.2, 5.5, 0.01),
    Role("promotes", (1,), (), 0.3, 4.0, 0.01),
]
HEAD = HeadId(0, 0)


def test_roles_are_kept_once_and_never_renumbered(tmp_path: Path) -> None:
    catalogue, extraction = filled(tmp_path / "c.db")
    with catalogue:
        for _ in range(2):
            catalogue.roles.save(extraction, HEAD, ROLES, {"version": 1}, {})
        found = catalogue.roles.of_extraction(extraction, {"version": 1})
        assert found == {HEAD: {HEAD._replace(role=n): role for n, role in enumerate(ROLES, 1)}}
        catalogue.roles.save_evidence(extraction, HEAD._replace(role=2), {"heads": 2}, [FOUND])
        found = catalogue.roles.of_extraction(extraction, {"version": 1}, {"heads": 2})
        assert [role.evidence for role in found[HEAD].values()] == [None, (FOUND,), None]
        outdated = catalogue.roles.of_extraction(extraction, {"version": 1}, {"heads": 3})
        assert outdated[HEAD][HEAD._replace(role=2)].evidence is None
        catalogue.roles.save(extraction, HEAD, ROLES[2:], {"version": 2}, {})
        info = catalogue.models()[0]
        record = next(head_records(catalogue, info, extraction, only=HEAD))
        assert [role["role"] for role in record["roles"]] == [4], "the newest split, numbered on"
        assert record["provenance"]["roles"]["settings"] == {"version": 2}


def test_a_role_is_described_beside_its_head(tmp_path: Path) -> None:
    catalogue, extraction = filled(tmp_path / "c.db")
    with catalogue:
        labeller = catalogue.register_labeller("openai:x", "p-1", "text", {"seed": 7})
        for role in (2, 0):
            told = Description("inputs", f"pattern {role}")
            catalogue.save_description(extraction, HEAD._replace(role=role), labeller, told, {})
        assert set(catalogue.described_heads(extraction, labeller)) == {HEAD, HEAD._replace(role=2)}
        info = catalogue.models()[0]
        record = next(head_records(catalogue, info, extraction, only=HEAD, labellers=[labeller]))
        assert [(d["role"], d["pattern"]) for d in record["descriptions"]] == [(None, "pattern 0"), (2, "pattern 2")]


def row(token: int) -> MappingRow:
    return MappingRow(token, f" s{token}", 3.0 - token, (Target(9, " t", 2.0),), (Target(8, " u", -2.0),))


def test_what_is_described_of_each_head() -> None:
    """Several roles: those with evidence and of the prompt's sign. One role, or none with evidence: the head."""
    supported = {HEAD._replace(role=n): replace(role, evidence=(FOUND,)) for n, role in enumerate(ROLES[:2], 1)}
    bare = replace(ROLES[2], evidence=())
    several = supported | {HEAD._replace(role=3): bare}
    cases: list[tuple[dict[HeadId, Role], list[Any], list[int]]] = [
        (several, ["promotes"], [1]),
        (several, ["suppresses"], [2]),
        (several, ["promotes", "suppresses"], [1, 2]),
        ({HEAD._replace(role=1): ROLES[0]}, ["promotes"], [0]),
        ({HEAD._replace(role=1): ROLES[1]}, ["promotes"], []),
        ({HEAD._replace(role=1): ROLES[1]}, ["suppresses"], [0]),
        ({HEAD._replace(role=1): ROLES[1]}, ["promotes", "suppresses"], [1]),
        ({HEAD._replace(role=1): bare, HEAD._replace(role=2): bare}, ["promotes"], [0]),
    ]
    for found, signs, expected in cases:
        assert [unit.role for unit in role_units({HEAD: found}, [HEAD], signs)] == expected, (found, signs)


def test_a_role_shows_its_own_rows() -> None:
    whole = HeadMapping(HEAD, tuple(map(row, range(3))), held_out=tuple(map(row, (3, 4))))
    part = of_role(whole, HEAD._replace(role=1), replace(ROLES[0], evidence=(FOUND,)))
    assert [r.token_id for r in part.salient] == [0, 2]
    assert [r.token_id for r in part.held_out] == [4]
    assert (str(part.id), part.evidence) == ("0.0 role 1", (FOUND,))


def test_a_role_is_shown_with_what_most_of_its_rows_do_and_its_verdict(tmp_path: Path) -> None:
    catalogue, extraction = filled(tmp_path / "c.db")
    with catalogue:
        catalogue.roles.save(extraction, HEAD, ROLES, {"version": 1}, {})
        by = catalogue.register_labeller("openai:x", "p-1", "text", {})
        for role, told in ((1, Description("inputs", "pattern")), (3, Description("Unclear", "Unclear", unclear=True))):
            catalogue.save_description(extraction, HEAD._replace(role=role), by, told, {})
        judge = catalogue.register_labeller("judge", "j", "text", {})
        described = min(one.id for one in catalogue.scores.descriptions(extraction))
        catalogue.scores.save(described, judge, Score("relation", 0.9, 0.8, 0.95, 0.5), {}, {})
        (record,) = catalogue.head_records(catalogue.models()[0], extraction, only=HEAD)
    rows = (
        MappingRow(0, " a", 3.0, (Target(7, " x", 2.0), Target(8, " both", 1.0)), (Target(5, " low", -2.0),)),
        MappingRow(1, " b", 2.0, (Target(9, " alone", 2.0),), (Target(6, " lone", -2.0),)),
        MappingRow(2, " c", 1.0, (Target(8, " both", 2.0),), (Target(5, " low", -2.0),)),
    )
    first, second, third = record.model_copy(update={"salient": rows}).several_roles
    assert [target.token for target in first.targets] == [" both", " x"]
    assert [target.token for target in second.targets] == [" low"]
    assert [one.verdict for one in (first, second, third)] == ["supported", "not described", "unclear"]
    assert first.words == 'promotes " both" " x" for " a" " c" (50% of the saliency, 2 rows; supported)'


def test_descriptions_and_scores_survive_the_upgrade(tmp_path: Path) -> None:
    """SQLite makes the table of descriptions anew, while scores refer to it."""
    place = tmp_path / "c.db"
    catalogue, extraction = filled(place)
    with catalogue:
        labeller = catalogue.register_labeller("openai:x", "p-1", "text", {"seed": 7})
        catalogue.save_description(extraction, HEAD, labeller, Description("inputs", "pattern"), {})
        with catalogue.engine.connect() as connection:
            query = text("SELECT id FROM description WHERE labeller_id = :l")
            description = connection.execute(query, {"l": labeller}).scalar_one()
        catalogue.scores.save(description, labeller, Score("detection", 0.9), {"seed": 0}, {})
    older = tmp_path / "older.db"
    tables = ("model", "extraction", "head", "labeller", "description", "score", "catalogue_info")
    at_revision("0010", place, f"sqlite:///{older}", tables)
    with Catalogue(str(older)) as upgraded:
        record = next(head_records(upgraded, upgraded.models()[0], extraction, only=HEAD, labellers=[labeller]))
        (told,) = record["descriptions"]
        assert (told["pattern"], told["role"]) == ("pattern", None)
        assert told["scores"]["detection"]["openai:x"]["value"] == 0.9
        with upgraded.engine.connect() as connection:
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
            indexes = connection.execute(text("SELECT name FROM sqlite_master WHERE tbl_name = 'score'")).scalars()
            assert "ix_score_judge_id" in set(indexes)
