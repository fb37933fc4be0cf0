"""A catalogue with made-up scores of operations and checks: what the tests of the pages that draw them share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from describe.catalog import Catalogue
from describe.catalog.checks import plain
from describe.check_records import Ablation, DynamicHits, HitCounts
from describe.records import LayerScores, ModelInfo
from tests.study_samples import unsafe_but_quick

__all__ = ["NAMES", "SHAPE", "add_checks", "add_model", "checked_catalogue"]

NAMES = ("name_copying", "country_to_capital", "copying")
SHAPE = (6, 4)


def checked_catalogue(where: str | Path) -> Catalogue:
    """A model ``m`` with scores of three operations and one that is not valid, and checks of the first two."""
    catalogue = Catalogue(str(where), create=True)
    unsafe_but_quick(catalogue.engine)
    model_id = add_model(catalogue, "m", "ab" * 32)
    add_checks(catalogue, model_id, NAMES[:2])
    return catalogue


def add_model(
    catalogue: Catalogue, name: str, content: str, names: Sequence[str] = NAMES, shape: tuple[int, int] = SHAPE
) -> int:
    """A model with scores of operations; one head implements each: by the operation's place 1.1, 2.2, 3.3."""
    layers, heads = shape
    model_id = catalogue.register_model(ModelInfo(name, content, "llama", layers, heads, heads, 8, 4, 50))
    run_id = catalogue.relations.begin_run(model_id, {}, True, {})
    ids = {o: catalogue.relations.begin_relation(run_id, _operation(o), 10, 40, True) for o in names}
    catalogue.relations.begin_relation(run_id, _operation("too_few_pairs"), 10, 3, False)
    for layer in range(layers):
        found = {}
        for place, relation_id in enumerate(ids.values(), 1):
            scores = [0.8 if layer == head == place else 0.01 * head for head in range(heads)]
            suppression = [0.6 if (layer, head) == (place, 0) else 0.0 for head in range(heads)]
            found[relation_id] = LayerScores(scores, suppression, 0.1)
        catalogue.relations.save_layer(layer, found)
    return model_id


def add_checks(catalogue: Catalogue, model_id: int, names: Sequence[str], shape: tuple[int, int] = SHAPE) -> None:
    """Dynamic scores that follow the static ones, and ablations."""
    correlate = catalogue.checks.begin_run(model_id, "correlate", {}, True, {})
    ablate = catalogue.checks.begin_run(model_id, "ablate", {}, True, {})
    for place, name in enumerate(names, 1):
        operation_id = catalogue.relations.operation_id(_operation(name))
        catalogue.checks.save(correlate, operation_id, "single", plain(_hits(place, shape)))
        catalogue.checks.save(ablate, operation_id, "base", {"accuracy": 0.9, "prompts": 40})
        catalogue.checks.save(ablate, operation_id, "ablation", plain(_ablation(place, names[0])))
    hard = catalogue.relations.operation_id(_operation("too_hard"))
    catalogue.checks.save(ablate, hard, "base", {"accuracy": 0.05, "prompts": 40})


def _operation(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "content_hash": "c" * 64,
        "category": "knowledge",
        "direction": "",
        "pairs": [["a", "b"]],
    }


def _hits(place: int, shape: tuple[int, int]) -> DynamicHits:
    drawn = random.Random(place)
    layers, heads = shape

    def counts(high: int) -> HitCounts:
        table = tuple(
            tuple(high if layer == head == place else drawn.randrange(3) for head in range(heads))
            for layer in range(layers)
        )
        return HitCounts(table, table)

    templates = ("<X>", "This is about <X>")
    return DynamicHits(10, 40, templates, (counts(20), counts(22)), (counts(35), counts(36)), 1.0)


def _ablation(place: int, control: str) -> Ablation:
    return Ablation(
        prompts=40,
        heads=(f"{place}.{place}", "0.3"),
        numbers=(1, 2),
        base=0.9,
        targeted=(0.3, 0.1),
        random=((0.9, 0.85), (0.88, 0.9)),
        controls={control: (0.8, (0.79, 0.8))},
        seconds=1.0,
    )
