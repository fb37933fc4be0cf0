"""``headscribe attend``: where every head looks, on text and on random tokens that come twice."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from describe.attention import KINDS, TEXTS, Figures, TextName, strength
from describe.catalog import Catalogue
from describe.catalog.attention import HeadKinds
from describe.errors import CheckpointError, InputError
from describe.head_record.attention import AttentionProvenance, AttentionRecord
from describe.pipeline.common import Progress, choose_device, silent
from describe.records import HeadId, ModelInfo
from describe.versions import versions

if TYPE_CHECKING:
    import torch

    from describe.inference.attention import Document, TokenMarks
    from describe.weights import HeadWeights

__all__ = ["AttendResult", "KindRow", "attend", "attention_rows", "kind_rows"]

PRECISIONS = ("float32", "bfloat16")
LENGTH, TOKENS, LEAST = 256, 16_384, 256
"""Tokens of a document, at most; of all text together, by default and at the least."""

METHOD = 2
"""Changed whenever figures, kinds or what is kept of a document are made otherwise, so that runs are not mixed."""


@dataclass(frozen=True)
class AttendResult:
    """Where the heads of a model look.

    Attributes:
        made: how the run was made, and what it shows that is no single head's.
        heads: every head at a glance; ``records``: everything of each.
        new: documents that were run now.
    """

    model: ModelInfo
    made: AttentionProvenance
    heads: list[HeadKinds]
    records: dict[HeadId, AttentionRecord]
    new: int


def attend(
    catalogue: Catalogue,
    model: str,
    *,
    text: str | None = None,
    tokens: int = TOKENS,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = silent,
) -> AttendResult:
    """Watch every head on text, on some of it shuffled, and on random tokens; committed document by document.

    Args:
        text: a file (.txt, .md, .jsonl, .parquet), a folder of such, or a dataset of the hub; by default ours.
        tokens: how many tokens of it, at most.
        seed: of the random tokens, the shuffling, and the places that contexts are drawn from.
        dtype: the precision the model runs in.

    Raises `InputError` for what cannot be read or used.
    """
    if dtype not in PRECISIONS:
        raise InputError(f"cannot watch a model in '{dtype}': use {' or '.join(PRECISIONS)}")
    if tokens < LEAST:
        raise InputError(f"--tokens must be at least {LEAST}")
    where = choose_device(device, dtype)

    from describe.inference.attention import TokenMarks
    from describe.inference.loading import longest_text
    from describe.weights import open_model

    weights = open_model(model)
    started = time.perf_counter()
    length = min(LENGTH, longest_text(model))
    documents = _documents(weights, text, tokens, length, seed)
    settings = {
        "method": METHOD,
        "text": "ours" if text is None else Path(text).name,
        "tokens": tokens,
        "length": length,
        "seed": seed,
        "dtype": dtype,
        "documents": _digest(documents),
    }
    made_by = versions("torch", "transformers", "accelerate", "gguf", "safetensors") | {"device": where.type}
    standard = text is None and (tokens, seed, dtype) == (TOKENS, 0, "float32")
    run_id = catalogue.attention.begin_run(
        catalogue.register_model(weights.info), settings, standard, {name: str(of) for name, of in made_by.items()}
    )
    work = _Work(catalogue, run_id, documents, TokenMarks.of(weights.tokens), weights, seed)
    new = 0 if catalogue.attention.is_complete(run_id) else work.complete(model, where, dtype, started, progress)
    made = catalogue.attention.made(run_id)
    return AttendResult(weights.info, made, catalogue.attention.heads(run_id), catalogue.attention.records(run_id), new)


def _documents(weights: HeadWeights, text: str | None, tokens: int, length: int, seed: int) -> list[Document]:
    """Text, then some of it shuffled, then random tokens."""
    from describe.inference.attention import documents, random_documents, read_sources, shuffled

    before = weights.start_ids("")
    found = documents(read_sources(text), weights.start_ids, tokens, length)
    known = {token for document in found for token in document.ids}
    named = [i for i, token in enumerate(weights.tokens) if token and token[0] not in "[<"]
    if len(named) < 64:
        raise InputError("the model knows too few tokens to be watched on random ones")
    if any(token >= weights.info.vocab_size for token in known):
        raise CheckpointError("the tokenizer makes tokens that the model does not have")
    return [*found, *shuffled(found, len(before), seed), *random_documents(named, before, length, seed)]


def _digest(documents: Sequence[Document]) -> str:
    ids = [[document.of, *document.ids] for document in documents]
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()


@dataclass(frozen=True)
class _Work:
    """One run over a model's documents."""

    catalogue: Catalogue
    run_id: int
    documents: list[Document]
    marks: TokenMarks
    weights: HeadWeights
    seed: int

    def complete(self, model: str, device: torch.device, dtype: str, started: float, progress: Progress) -> int:
        """Run the documents that the catalogue lacks, batch by batch, then commit what all of them show."""
        import torch

        from describe.inference.attention import DocumentReading, at_once, heads_of, open_pattern_reader, read_documents

        store, documents = self.catalogue.attention, self.documents
        there = store.documents(self.run_id)
        missing = [number for number in range(len(documents)) if number not in there]
        progress("attend", len(there), len(documents))
        if missing:
            reader = open_pattern_reader(model, self.weights.info, device, getattr(torch, dtype))
            for batch in at_once([documents[number] for number in missing], reader):
                numbers = [missing[place] for place in batch]
                seeds = [self.seed * len(documents) + number for number in numbers]
                readings = read_documents(reader, [documents[number] for number in numbers], seeds, self.marks)
                found = {number: reading.to_bytes() for number, reading in zip(numbers, readings, strict=True)}
                store.save_documents(self.run_id, found)
                there |= found
                progress("attend", len(there), len(documents))
        kept = [DocumentReading.of_bytes(there[number]) for number in range(len(documents))]
        heads = list(heads_of(documents, kept, self.weights.tokens))
        same = sum(set(head.halves[0]) == set(head.halves[1]) for head in heads)
        store.finish(self.run_id, heads, self._found(len(heads), same, time.perf_counter() - started))
        return len(missing)

    def _found(self, heads: int, same: int, seconds: float) -> dict[str, object]:
        texts = [document for document in self.documents if document.of == "text"]
        return {
            "documents": dict(Counter(document.of for document in self.documents)),
            "tokens": sum(len(document.ids) for document in texts),
            "sources": dict(Counter(document.source for document in texts)),
            "heads": heads,
            "same": same,
            "seconds": round(seconds, 1),
        }


@dataclass(frozen=True, slots=True)
class KindRow:
    """The heads of one kind.

    Attributes:
        heads: how many; ``in_both_halves``: how many of them are so by either half of the documents alone.
        uniform: the figure that the kind is told by, of a head that attends to all tokens alike.
        clearest: the heads for which it is clearest, with this figure.
    """

    kind: str
    heads: int
    in_both_halves: int
    uniform: float | None
    clearest: str


CLEAREST = 6


def kind_rows(result: AttendResult) -> list[KindRow]:
    """The kinds in the order of their table, and at the end the heads of none."""
    rows = []
    for kind in KINDS:
        those = {head: record for head, record in result.records.items() if kind.name in record.kinds}
        told = {head: strength(kind, _means(record)) for head, record in those.items()}
        best = sorted(told, key=lambda head: ((told[head] or 0.0) * (1 if kind.below else -1), head))[:CLEAREST]
        uniform = next((strength(kind, _means(record, "uniform")) for record in result.records.values()), None)
        stable = sum(all(kind.name in half for half in record.halves) for record in those.values())
        clearest = ", ".join(f"{head} {told[head] or 0.0:.2f}" for head in best)
        rows.append(KindRow(kind.name, len(those), stable, uniform, clearest))
    none = {head: record for head, record in result.records.items() if not record.kinds}
    stable = sum(not any(record.halves) for record in none.values())
    return [*rows, KindRow("none", len(none), stable, None, ", ".join(str(head) for head in [*none][:CLEAREST]))]


def attention_rows(result: AttendResult) -> list[dict[str, str | float | None]]:
    """A row a head: its kinds, and every figure on every text."""
    rows: list[dict[str, str | float | None]] = []
    for head, record in result.records.items():
        row: dict[str, str | float | None] = {"head": str(head), "kinds": ", ".join(record.kinds)}
        for of, figures in record.figures.items():
            row |= {f"{of}_{name}": figure.mean for name, figure in figures.items()}
        rows.append(row)
    return rows


def _means(record: AttentionRecord, which: Literal["mean", "uniform"] = "mean") -> dict[TextName, Figures]:
    return {
        of: {name: getattr(figure, which) for name, figure in record.figures[of].items()}
        for of in TEXTS
        if of in record.figures
    }
