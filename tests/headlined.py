"""A catalogue whose heads have headlines of different kinds."""

from __future__ import annotations

from typing import Any

from describe.attention import HeadAttention, Spread
from describe.catalog import Catalogue
from describe.records import Description, HeadId, LayerScores, ModelInfo
from tests.whole_catalogue import mapping

__all__ = ["INFO", "attend_anew", "found_by_headlines", "headlined", "names_of"]

INFO = ModelInfo("m", "ab" * 32, "llama", 2, 2, 2, 8, 4, 500)
NAMES = {"name": "name_copying", "content_hash": "0" * 64, "category": "a", "direction": "b", "pairs": []}


def headlined(where: str) -> Catalogue:
    """A head that suppresses names, one that looks at the token before, one that was described, and one of nothing."""
    catalogue = Catalogue(where, create=True)
    model = catalogue.register_model(INFO)
    extraction = catalogue.begin_extraction(model, {}, {})
    for head in INFO.heads:
        catalogue.save_head(extraction, mapping(head))
    run = catalogue.relations.begin_run(model, {}, True, {})
    scored = catalogue.relations.begin_relation(run, NAMES, 10, 40, True)
    catalogue.relations.save_layer(0, {scored: LayerScores([0.0, 0.0], [0.8, 0.0], 0.1)})
    attend_anew(catalogue, HeadId(0, 1), "previous-token", "text", "previous")
    by = catalogue.register_labeller("openai:x", "p", "t", {})
    catalogue.save_description(extraction, HeadId(1, 0), by, Description("cities", "their country"), {})
    return catalogue


def attend_anew(catalogue: Catalogue, head: HeadId, kind: str, text: str, figure: str) -> None:
    """A run of its own that finds one head of a kind, and nothing of any other."""
    run = catalogue.attention.begin_run(1, {"kind": kind}, True, {})
    figures = {text: {figure: Spread(0.9, 0.1, 0.02)}}
    found = {"documents": {}, "tokens": 1, "sources": {}, "heads": 1, "same": 1, "seconds": 1.0}
    heads = (HeadAttention(head.layer, head.head, (kind,), ((), ()), figures, (), (), ()),)
    catalogue.attention.finish(run, heads, found)


def names_of(found: dict[str, Any]) -> list[str]:
    """The heads that a search found, in order."""
    return [f"{head['layer']}.{head['head']}" for head in found["heads"]]


def found_by_headlines(catalogue: Catalogue) -> None:
    """The heads of `headlined` are found by what their headlines say, and by nothing that they do not."""
    find = catalogue.search.find
    assert names_of(find("suppresses names")) == ["0.0"]
    assert find("suppress name copying")["heads"][0]["headline"] == "suppresses names"
    assert names_of(find("previous token head")) == names_of(find("token before")) == ["0.1"]
    assert names_of(find("country")) == ["1.0"]
    assert find("unclear")["total"] == find("suppresses country")["total"] == 0
