"""The tables of docs/readings.md, of the figures that `benchmarks.readings` wrote."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

__all__ = ["tables"]

GROUPS = 4
"""Groups of layers whose cosines are shown: the first layer, then thirds of the others."""


def tables(kept: dict[str, Any]) -> str:
    """All tables as Markdown, a model after the other."""
    return "\n\n".join(_of_model(found) for found in kept.values())


def _of_model(found: dict[str, Any]) -> str:
    groups = _groups(found["layers"])
    headings = [
        "reading",
        *(f"layer {group[0]}" if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in groups),
        "heads",
        "relate",
        "copy",
        "suppress",
        "random",
        "r",
        "score",
        "hubs",
    ]
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)]]
    lines += [[label, *_cells(row, groups)] for label, row in found["rows"].items()]
    if found["elsewhere"]:
        lines.append(["elsewhere in the text", *_means(found["elsewhere"], groups), *[""] * 8])
    about = (
        f"**{found['name']}**: {found['layers']} layers of {found['heads']} heads, {found['learnt']:,} learnt tokens"
        f" of {found['vocabulary']:,}; text: {found['positions']:,} positions, {found['types']:,} tokens;"
        f" {found['operations']} operations"
    )
    return about + "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: dict[str, Any], groups: Sequence[range]) -> list[str]:
    cosines = _means(row["cosine"], groups) if row["cosine"] else [""] * GROUPS
    if row["heads"] is None:  # text alone was measured
        return [*cosines, *[""] * 8]
    parts = row["parts"]
    suppress = parts["suppresses_related"] + parts["suppresses_copies"]
    return [
        *cosines,
        str(row["heads"]),
        str(parts["relates"]),
        str(parts["copies"]),
        str(suppress),
        f"{row['random_heads']}, {row['random_most']['relates']:.2f}",
        "" if row["r"] is None else f"{row['r']:.2f}",
        "" if row["largest"] is None else f"{row['largest']:.2f}",
        str(row["hubs"]),
    ]


def _means(values: Sequence[float], groups: Sequence[range]) -> list[str]:
    return [f"{sum(values[layer] for layer in group) / len(group):.2f}" for group in groups]


def _groups(layers: int) -> list[range]:
    """The first layer, then thirds of the others."""
    edges = [1 + round(i * (layers - 1) / (GROUPS - 1)) for i in range(GROUPS)]
    return [range(1), *(range(a, b) for a, b in itertools.pairwise(edges))]
