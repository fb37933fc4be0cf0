"""A model's operations and checks in the catalogue, as it is: nothing is read from weights or run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.catalog.checks import ablation as as_ablation
from describe.catalog.checks import dynamic_hits as as_hits
from describe.check_records import Ablation, DynamicHits
from describe.pipeline.inference.correlation import Sources
from describe.records import HeadId, OperationScores

if TYPE_CHECKING:
    from describe.inference import Correlation

__all__ = ["KnownChecks", "known_checks", "known_relations"]


@dataclass(frozen=True)
class KnownChecks:
    """Checks of operations by running a model, in its standard runs or else its newest.

    Attributes:
        correlations: static against dynamic scores, over all heads and templates.
        static: the static scores that were compared, by operation.
        dynamic: the hits that they were compared with, by operation and what the sources are.
        ablations: by operation.
        tasks: how often the model solves each operation's task with no head removed, by operation.
    """

    correlations: list[Correlation]
    static: dict[str, OperationScores]
    dynamic: dict[tuple[str, Sources], DynamicHits]
    ablations: dict[str, Ablation]
    tasks: dict[str, float]


def known_relations(catalogue: Catalogue, model_id: int) -> list[OperationScores]:
    """The relation scores of a model's standard run, or else of its newest; none where there is no run."""
    run_id = catalogue.relations.find_run(model_id)
    return [] if run_id is None else catalogue.relations.scores(run_id)


def known_checks(catalogue: Catalogue, model_id: int, n_layers: int) -> KnownChecks:
    """The checks of a model; correlations only of operations whose static scores are all there."""
    from describe.inference import correlations

    static = {
        found.name: found
        for found in known_relations(catalogue, model_id)
        if found.valid and len(found.layers) == n_layers
    }
    parts: tuple[Sources, ...] = ("single", "multi")
    dynamic = {
        (name, part): as_hits(found)
        for part in parts
        for name, found in sorted(catalogue.checks.newest(model_id, "correlate", part).items())
        if name in static
    }
    return KnownChecks(
        correlations=[
            row
            for (name, part), hits in dynamic.items()
            for row in correlations(static[name], hits, part, _heads(static[name]))
        ],
        static=static,
        dynamic=dynamic,
        ablations={
            name: as_ablation(found)
            for name, found in sorted(catalogue.checks.newest(model_id, "ablate", "ablation").items())
        },
        tasks={
            name: float(found["accuracy"])
            for name, found in sorted(catalogue.checks.newest(model_id, "ablate", "base").items())
        },
    )


def _heads(found: OperationScores) -> list[HeadId]:
    return [HeadId(layer, head) for layer, row in enumerate(found.scores) for head in range(len(row))]
