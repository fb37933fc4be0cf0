"""``headscribe stability``: how far the descriptions of one head agree, and which of them is the most central."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from describe.catalog import Catalogue, schema
from describe.errors import InputError
from describe.pipeline.common import Progress, find, silent
from describe.records import HeadId, ModelInfo, Score, parse_heads
from describe.versions import versions
from describe.weights import content_hash, locate

__all__ = ["StabilityResult", "Stable", "agreements", "stability"]

PROMPT, METHOD = (
    "agreement-1",
    """How far two descriptions of a head agree: the cosine of their sentences' vectors.

A vector is the mean of the last hidden states of the embedding model over the sentence, less the mean of all
descriptions' vectors, which they share whatever they say. Two abstentions agree (1), an abstention and a description do
not (0). A description's own agreement is its mean over the others of its head; the representative has the most.
""",
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stable:
    """How far the descriptions of a head or role agree.

    Attributes:
        value: the mean over pairs of its descriptions.
        placebo: the mean over pairs of one of its descriptions and one of another head; None without other heads.
        representative: which description agrees most with the others, by its id.
        descriptions: their ids, and ``own`` the mean agreement of each with the others.
    """

    value: float
    placebo: float | None
    representative: int
    descriptions: tuple[int, ...]
    own: tuple[float, ...]


@dataclass(frozen=True)
class StabilityResult:
    """The agreement of each head or role that has two descriptions or more; ``single``: those that have one.

    ``heads`` are in order; one that is described by what it promotes and by what it suppresses comes twice.
    """

    model: ModelInfo
    extraction_id: int
    heads: list[tuple[HeadId, Stable]]
    single: list[HeadId]


@dataclass(frozen=True)
class _Told:
    """A description: its id, what it is of, and its sentence; None for an abstention."""

    id: int
    unit: HeadId
    shows: str
    sentence: str | None


def stability(
    catalogue: Catalogue, model: str, *, embedding: str, heads: str = "all", progress: Progress = silent
) -> StabilityResult:
    """Compare all descriptions of each head that are in the catalogue: other seeds, prompts and LLMs side by side.

    What heads promote and what they suppress is compared apart. Each head's figures are committed with its
    descriptions, as scores by the ``embedding`` model. Raises `InputError` when no head has two descriptions, or a
    model cannot be read or run.
    """
    from describe.validation.embedding import embed

    info, extraction_id = find(catalogue, model)
    wanted = set(parse_heads(heads, info.n_layers, info.n_heads))
    told = _told(catalogue, extraction_id)
    groups: dict[tuple[HeadId, str], list[int]] = {}
    for place, one in enumerate(told):
        groups.setdefault((one.unit, one.shows), []).append(place)
    asked = {key: rows for key, rows in groups.items() if key[0]._replace(role=0) in wanted}
    several = {key: rows for key, rows in asked.items() if len(rows) > 1}
    if not several:
        raise InputError(f"no head of {info.name} has two descriptions yet: describe again with another --seed")
    location = locate(embedding)
    sentences = [one.sentence or "" for one in told]
    progress("embed", 0, len(sentences))
    agree = agreements(embed(embedding, sentences), [one.sentence is None for one in told])
    progress("embed", len(sentences), len(sentences))
    settings = {"embedding": content_hash(location)}
    judge = catalogue.register_labeller(f"embedding:{location.name}", PROMPT, METHOD, settings)
    made_by = versions("torch", "transformers", "numpy")
    found: list[tuple[HeadId, Stable]] = []
    for (unit, _), rows in several.items():
        others = [place for (other, _), places in groups.items() if other[:2] != unit[:2] for place in places]
        stable = _stable(agree, rows, others, [told[place].id for place in rows])
        found.append((unit, stable))
        compared = {"descriptions": list(stable.descriptions), "others": len(others)}
        _save(catalogue, judge, stable, settings | compared, made_by)
    return StabilityResult(info, extraction_id, found, [unit for (unit, _), rows in asked.items() if len(rows) == 1])


def agreements(vectors: Floats, unclear: Sequence[bool]) -> Floats:
    """The agreement of every two descriptions, (n, n), of vectors (n, d); ``unclear`` says which are abstentions."""
    abstains = np.array(unclear, dtype=bool)
    said = ~abstains
    found = np.zeros((len(vectors), len(vectors)))
    found[np.ix_(abstains, abstains)] = 1.0
    centred = vectors[said] - vectors[said].mean(0) if said.any() else vectors[said]
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
    found[np.ix_(said, said)] = unit @ unit.T
    return found


def _stable(agree: Floats, rows: list[int], others: list[int], ids: list[int]) -> Stable:
    inside = agree[np.ix_(rows, rows)]
    own = (inside.sum(1) - inside.diagonal()) / (len(rows) - 1)
    outside = float(agree[np.ix_(rows, others)].mean()) if others else None
    return Stable(float(own.mean()), outside, ids[int(own.argmax())], tuple(ids), tuple(map(float, own)))


def _save(catalogue: Catalogue, judge: int, stable: Stable, settings: dict[str, Any], made_by: dict[str, str]) -> None:
    for number, own in zip(stable.descriptions, stable.own, strict=True):
        found = {"own": own, "representative": number == stable.representative}
        score = Score("stability", stable.value, placebo=stable.placebo, n=len(stable.own), found=found)
        catalogue.scores.save(number, judge, score, settings, made_by)


def _told(catalogue: Catalogue, extraction_id: int) -> list[_Told]:
    """All descriptions and abstentions of an extraction's heads and roles; failures are none."""
    head, description, labeller = schema.head, schema.description, schema.labeller
    query = (
        select(description, head.c.layer, head.c.head, labeller.c.settings)
        .join(head, description.c.head_id == head.c.id)
        .join(labeller, description.c.labeller_id == labeller.c.id)
        .where(head.c.extraction_id == extraction_id, description.c.failure.is_(None))
        .order_by(head.c.layer, head.c.head, description.c.role, description.c.id)
    )
    with catalogue.engine.connect() as connection:
        return [
            _Told(
                row.id,
                HeadId(row.layer, row.head, row.role),
                str(row.settings.get("shows", "rows")),
                None if row.unclear else f"{row.inputs}: {row.pattern}",
            )
            for row in connection.execute(query)
        ]
