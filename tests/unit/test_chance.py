"""Random heads: they have the spectra asked for, are drawn once, and belong to nobody's results."""

from __future__ import annotations

from pathlib import Path

import torch
from sqlalchemy import select

from describe.catalog import Catalogue, schema
from describe.evidence import RANDOM
from describe.maps import SourceVectors, random_operations
from describe.pipeline import extract, find
from describe.pipeline.extraction.random_heads import random_mappings
from tests.heads import head_records


def test_random_heads_are_maps_with_these_singular_values() -> None:
    """With x and U the identity, the logits of all tokens are W_VO itself."""
    d, dh, heads = 24, 8, 5
    singular = torch.rand(heads, dh, dtype=torch.float64).sort(descending=True).values + 0.1
    one = torch.eye(d, dtype=torch.float64)
    found = random_operations(SourceVectors(one, torch.ones(d, dtype=torch.float64)), one, singular, d, d, seed=3)
    maps = torch.zeros(heads, d, d, dtype=torch.float64)
    for head in range(heads):
        maps[head][found.sources[head][:, None], found.targets[head]] = found.logits[head]
        torch.testing.assert_close(maps[head].norm(dim=1)[found.sources[head]], found.saliency[head])
    torch.testing.assert_close(torch.linalg.svdvals(maps)[:, :dh], singular)
    assert (found.saliency.diff() <= 0).all()
    directions = maps.flatten(1) / maps.flatten(1).norm(dim=1, keepdim=True)
    assert (directions @ directions.mT - torch.eye(heads)).abs().max() < 0.7, "no two are the same"
    again = random_operations(SourceVectors(one, torch.ones(d, dtype=torch.float64)), one, singular, d, d, seed=3)
    assert torch.equal(found.sources, again.sources)


def extractions(catalogue: Catalogue) -> int:
    with catalogue.engine.connect() as connection:
        return len(connection.execute(select(schema.extraction)).all())


def test_they_are_drawn_once_and_are_nobodys_heads(tiny_llama: Path, tmp_path: Path) -> None:
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        own = extract(catalogue, str(tiny_llama), reading="paper", device="cpu").extraction_id
        tried = random_mappings(catalogue, str(tiny_llama), own, keep=False, device="cpu")
        assert extractions(catalogue) == 1, "not kept"
        drawn = random_mappings(catalogue, str(tiny_llama), own, device="cpu")
        assert (extractions(catalogue), catalogue.placebos.of(own)) == (2, {})
        assert len(drawn) == RANDOM["groups"] * RANDOM["heads"]
        assert [[row.token_id for row in m.salient] for m in drawn] == [[r.token_id for r in m.salient] for m in tried]
        kept: list[int] = []
        again = random_mappings(catalogue, str(tiny_llama), own, progress=lambda *told: kept.append(told[1]))
        assert [m.id for m in again] == [m.id for m in drawn]
        assert not kept, "nothing is drawn again"
        info, newest = find(catalogue, str(tiny_llama))
        assert newest == own
        assert len(list(head_records(catalogue, info, own))) == 12
