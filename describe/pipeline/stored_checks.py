"""A model's operations and checks in the catalogue, as it is: nothing is read from weights or run."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.catalog.checks import ablation as as_ablation
from describe.catalog.checks import dynamic_hits as as_hits
from describe.check_records import Ablation, DynamicHits
from describe.head_record.contradictions import HARM
from describe.pipeline.inference.ablation import ablation_rows
from describe.pipeline.inference.correlation import Sources
from describe.records import HeadId, OperationScores
from describe.text import spaced

if TYPE_CHECKING:
    from describe.inference import Correlation

__all__ = ["KnownChecks", "known_checks", "known_relations"]


CLOSE = 0.5
"""From this r on static scores go with dynamic ones."""


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

    @property
    def correlated(self) -> str:
        """The correlations in a sentence; empty where there are none."""
        rows = (row for row in self.correlations if row.side == "relation" and row.sources == "single")
        known = [row.of_source.r for row in rows if row.of_source.r is not None]
        if not known:
            return ""
        close = sum(r >= CLOSE for r in known)
        return (
            f"Of {len(known)} operations {close} go with what heads write in prompts as if they attended to the source"
            f" alone (r {CLOSE:g} or more over heads and templates; median r {statistics.median(known):.2f};"
            " scores that say nothing would give r 0)."
        )

    @property
    def removed(self) -> str:
        """The ablations in a sentence, beside random heads; empty where there are none."""
        rows = ablation_rows(self.ablations)
        if not rows:
            return ""
        lost = [row for row in rows if row["random"] - row["targeted"] >= HARM]
        most = max(rows, key=lambda row: row["random"] - row["targeted"])
        return (
            f"Of {len(rows)} abilities {len(lost)} are lost with their heads, by {100 * HARM:.0f} points of accuracy or"
            f" more beyond random heads; most {spaced(most['operation'])}, from {most['base']:.2f} to"
            f" {most['targeted']:.2f} without {most['heads']} of its heads, {most['random']:.2f} without random ones."
        )


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
