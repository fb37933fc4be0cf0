"""How well ways to compare descriptions tell one head from another: ``python -m benchmarks.stability [EMBEDDING...]``.

Every head of ``demo`` is described twice by statistics, once from its 30 most salient rows and once from the next 30.
Two descriptions of one head rest on other rows but should agree; those of different heads should not.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from describe import pipeline
from describe.catalog import Catalogue
from describe.evidence import Vocabulary, describe_evidence, model_evidence
from describe.llm import parse_llm
from describe.weights import open_model

MODEL = "demo"


def describe_halves(catalogue: Catalogue) -> None:
    """Describe each head by its salient rows, then by its held-out ones."""
    own = pipeline.extract(catalogue, MODEL, device="cpu").extraction_id
    salient = [catalogue.mapping(own, head, held_out=True) for head in sorted(catalogue.saved_heads(own))]
    held_out = [replace(mapping, salient=mapping.held_out) for mapping in salient]
    vocabulary = Vocabulary(open_model(MODEL).tokens)
    for half, mappings in enumerate((salient, held_out)):
        author = catalogue.register_labeller("statistics", f"half-{half}", "", {})
        for head, evidence in model_evidence(vocabulary, mappings).items():
            catalogue.save_description(own, head, author, describe_evidence(evidence), {})


def row(found: pipeline.StabilityResult) -> str:
    """Agreement, that with other heads', and the chance that a head's is above one of those drawn at random."""
    agreement = np.array([stable.value for _, stable in found.heads])
    others = np.array([stable.wrong for _, stable in found.heads if stable.wrong is not None])
    above = (agreement[:, None] > others).mean() + (agreement[:, None] == others).mean() / 2
    cells = (found.judge, len(agreement), *(f"{value:.3f}" for value in (agreement.mean(), others.mean(), above)))
    return "| " + " | ".join(map(str, cells)) + " |"


def main(embeddings: list[str]) -> None:
    """Print the table of docs/stability.md."""
    with tempfile.TemporaryDirectory() as folder, Catalogue(str(Path(folder) / "c.db"), create=True) as catalogue:
        describe_halves(catalogue)
        print("| compared by | heads | agreement | with other heads' | AUROC |")
        print("|---|---:|---:|---:|---:|")
        print(row(pipeline.stability(catalogue, MODEL, judge=parse_llm("statistics"))), flush=True)
        for embedding in embeddings:
            print(row(pipeline.stability(catalogue, MODEL, embedding=embedding)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or [MODEL])
