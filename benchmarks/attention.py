"""Where the heads of ``demo`` look, against a plain loop over the same documents in the same process.

    python -m benchmarks.attention [--tokens N] [--json PATH]

The plain loop runs one document after the other with ``output_attentions=True``, which keeps the patterns of all layers
and makes logits, and takes each figure by a mask over whole patterns. Both must give the same figures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from describe.attention import FIGURES, FIRST_PLACE, LOCAL
from describe.inference.attention import (
    Document,
    PatternReader,
    TokenMarks,
    at_once,
    documents,
    read_documents,
    read_sources,
)
from describe.inference.loading import load_network
from describe.weights import open_model

NAMES = [figure.name for figure in FIGURES]


def patterns_of(model: Any, document: Document) -> tuple[Tensor, ...]:
    """The patterns of all layers of one document, each (1, H, T, T)."""
    with torch.no_grad():
        found: tuple[Tensor, ...] = model(
            torch.tensor(document.ids)[None], output_attentions=True, use_cache=False
        ).attentions
    return found


def plain(layers: Sequence[Tensor], document: Document, marks: TokenMarks) -> Tensor:
    """The figures (L, H, F) of one document, by masks over the patterns of all layers."""
    ids = torch.tensor(document.ids)
    size = len(ids)
    place = torch.arange(size)
    back = place[:, None] - place[None, :]
    same = (ids[:, None] == ids[None, :]) & (back > 0) & (place[None, :] > 0)
    after = same.roll(1, 1) & (back > 0) & (place[None, :] > 1)
    following = ids.roll(-1)
    masks = {
        "first": (place == 0).expand(size, size),
        "itself": back == 0,
        "previous": back == 1,
        "before_previous": back == 2,
        "duplicate": same,
        "induction": after,
        "same_next": after & (ids[None, :] == following[:, None]) & (place[:, None] < size - 1),
        "punctuation": (torch.tensor([marks.punctuation[i] for i in document.ids]) & (place > 0)).expand(size, size),
        "line_break": (torch.tensor([marks.line_break[i] for i in document.ids]) & (place > 0)).expand(size, size),
        "local": (back >= 0) & (back < LOCAL),
    }
    return torch.stack([_figures(patterns[0].float(), masks, back) for patterns in layers])


def _figures(patterns: Tensor, masks: dict[str, Tensor], back: Tensor) -> Tensor:
    seen = patterns[:, FIRST_PLACE:]
    found = {}
    for name, mask in masks.items():
        of_rows = mask[FIRST_PLACE:]
        rows = of_rows.any(1) if name in ("duplicate", "induction", "same_next") else torch.ones(len(of_rows)).bool()
        found[name] = (seen * of_rows).sum(-1)[:, rows].mean(1)
    total = seen.sum(-1)
    found["nowhere"] = (1 - total).clamp(min=0).mean(1)
    found["distance"] = ((seen * back[FIRST_PLACE:].clamp(min=0)).sum(-1) / total).mean(1)
    found["entropy"] = torch.special.entr(seen).sum(-1).mean(1)
    beside = seen[:, :, 1:]
    explained = torch.zeros(len(patterns))
    for distance in range(patterns.shape[1] - 1):
        at = (back == distance)[FIRST_PLACE:, 1:]
        if at.any():
            explained += beside[:, at].sum(1) ** 2 / at.sum()
    found["placed"] = explained / beside.square().sum((1, 2))
    return torch.stack([found[name] for name in NAMES], dim=1)


def compare(model: Any, reader: PatternReader, texts: Sequence[Document], marks: TokenMarks) -> dict[str, float]:
    """Seconds of both, their ratio, and how far the figures are apart at most."""
    read_documents(reader, texts[:1], [0], marks)  # what is made once is not measured
    started = time.perf_counter()
    ours = {}
    for batch in at_once(texts, reader):
        for place, reading in zip(batch, read_documents(reader, [texts[i] for i in batch], batch, marks), strict=True):
            ours[place] = torch.from_numpy(reading.figures)
    middle = time.perf_counter()
    literal, running = [], 0.0
    for document in texts:
        began = time.perf_counter()
        layers = patterns_of(model, document)
        running += time.perf_counter() - began
        literal.append(plain(layers, document, marks))
    ended = time.perf_counter()
    both = [(ours[place], found) for place, found in enumerate(literal)]
    apart = max(float((a - b).abs().nan_to_num().max() / max(1.0, float(b.nan_to_num().abs().max()))) for a, b in both)
    return {
        "ours_s": middle - started,
        "plain_s": ended - middle,
        "running_s": running,
        "ratio_to_running": (middle - started) / running,
        "ratio": (middle - started) / (ended - middle),
        "largest_difference": apart,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    weights = open_model("demo")
    model = load_network("demo", torch.float32, attn_implementation="eager")
    marks = TokenMarks.of(weights.tokens)
    texts = documents(read_sources(None), weights.start_ids, asked.tokens, 256)
    found = compare(model, PatternReader(model, weights.info), texts, marks)
    print(
        f"{sum(len(one.ids) for one in texts):,} tokens: ours {found['ours_s']:.1f} s, plain {found['plain_s']:.1f} s"
    )
    alone = f"{found['running_s']:.1f} s for the model alone, of which ours takes {found['ratio_to_running']:.2f}"
    print(f"of the plain loop {alone}")
    print(f"ratio {found['ratio']:.2f}; figures differ by {found['largest_difference']:.1e} at most")
    if asked.json:
        asked.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
