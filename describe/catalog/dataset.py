"""A catalogue as a Hugging Face dataset: a folder of Parquet files with a card, as ``datasets.load_dataset`` reads it.

Two configurations: ``heads``, a row per head with all that is known of it, nested, which `headscribe import` reads
again; and ``descriptions``, a flat row per head and description, for tables. Each model is a file of both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from describe.catalog.links import neuronpedia
from describe.catalog.parquet import pyarrow, write_heads, write_table
from describe.errors import InputError
from describe.records import ModelInfo
from describe.text import file_name, markdown, visible
from describe.versions import headscribe_version

__all__ = ["heads_of", "model_file_name", "write_dataset"]

Records = Iterator[dict[str, Any]]
Flat = Callable[[dict[str, Any]], Iterable[dict[str, Any]]]

HEADS, DESCRIPTIONS = Path("data/heads"), Path("data/descriptions")


@dataclass
class _Told:
    """What the card says of a model, counted as its heads go by, and their flat rows."""

    model: ModelInfo
    heads: int = 0
    describers: Counter[str] = field(default_factory=Counter)
    flat: list[dict[str, Any]] = field(default_factory=list)

    def count(self, records: Records, flat: Flat) -> Records:
        for record in records:
            self.heads += 1
            self.describers.update({found["llm"] for found in record["descriptions"] if not found["failure"]})
            link = neuronpedia(record["model"], record["layer"], record["head"])
            self.flat.extend(row | {"neuronpedia": link} for row in flat(record))
            yield record


def write_dataset(
    parts: Iterable[tuple[ModelInfo, Records]], folder: Path, flat: Flat, columns: list[str], licence: str | None
) -> None:
    """Write the folder, a model at a time.

    ``flat`` makes table rows with ``columns`` of a head; ``licence``: as the Hub names licences; None: not stated.
    """
    if licence is not None and not re.fullmatch(r"[\w.-]+", licence):
        raise InputError(f"'{visible(licence)[:80]}' is no licence as the Hub names them, such as cc-by-4.0")
    for place in (HEADS, DESCRIPTIONS):
        (folder / place).mkdir(parents=True)
    told = []
    for model, records in parts:
        about = _Told(model)
        told.append(about)
        name = f"{model_file_name(model, folder / HEADS, '.parquet')}.parquet"
        write_heads(about.count(records, flat), folder / HEADS / name)
        write_table(about.flat, _flat_schema([*columns, "neuronpedia"]), folder / DESCRIPTIONS / name)
        about.flat.clear()
    (folder / "README.md").write_text(_card(told, licence), encoding="utf-8", errors="backslashreplace")


def heads_of(folder: Path) -> list[Path]:
    """The files of a dataset folder that hold heads. Raises `InputError` when there are none."""
    files = sorted((folder / HEADS).glob("*.parquet"))
    if not files:
        raise InputError(f"'{folder}' is no dataset folder of headscribe: it has no {HEADS}/*.parquet")
    return files


def model_file_name(model: ModelInfo, folder: Path, suffix: str) -> str:
    """The name of a model's file, without its suffix: of harmless characters, and not in the folder yet."""
    name = f"{file_name(model.name) or 'model'}-{file_name(model.content_hash, 8)}"
    while (folder / f"{name}{suffix}").exists():
        name += "_"
    return name


def _flat_schema(columns: list[str]) -> Any:
    pa, _ = pyarrow()
    types = {"layer": pa.int64(), "head": pa.int64(), "role": pa.int64(), "unclear": pa.bool_()}
    return pa.schema([(name, pa.float64() if name in NUMBERS else types.get(name, pa.string())) for name in columns])


def _card(told: list[_Told], licence: str | None) -> str:
    """README.md: what the Hub reads of a dataset, then what people do. Nothing in it but the table is data."""
    made = sorted({name for about in told for name in about.describers})
    rows = "\n".join(
        f"| {markdown(visible(about.model.name))} | {markdown(visible(about.model.family))} | {about.model.n_layers} x"
        f" {about.model.n_heads} | {about.heads} | `{markdown(visible(about.model.content_hash))}` |"
        f" {markdown(', '.join(f'{visible(name)} ({count})' for name, count in sorted(about.describers.items())))} |"
        for about in told
    )
    return CARD.format(
        licence=f"license: {licence}" if licence else "license: other\nlicense_name: not-stated",
        version=markdown(headscribe_version()),
        n_models=len(told),
        n_heads=f"{sum(about.heads for about in told):,}",
        describers=markdown(visible(", ".join(made))) or "nobody yet",
        models=rows,
        heads="\n".join(f"| `{name}` | {meaning} |" for name, meaning in HEAD_COLUMNS.items()),
        descriptions="\n".join(f"| `{name}` | {meaning} |" for name, meaning in FLAT_COLUMNS.items()),
        stated=f"`{licence}`" if licence else "not stated by whoever exported this",
    )


HEAD_COLUMNS = {
    "model": "the model's name: a hub id, or what its directory or file is called",
    "layer": "layer, from 0",
    "head": "head in the layer, from 0",
    "salient": "the tokens of the whole vocabulary that the head acts on most, from the most salient down: `token_id`,"
    " `token`, `saliency` (the norm of what the head writes for it, relative to the source vector's), `targets` and"
    " `suppressed`: the tokens it promotes and pushes down most, each with its `logit`",
    "held_out": "rows of the same form that no describer has seen, to judge descriptions by: `next` most salient, and a"
    " random `sample` of other tokens",
    "descriptions": "what was said of the head: `llm` and `prompt`; `role`, null where it is of the whole"
    " head; `inputs` and `pattern`, its words; `unclear`: the"
    " describer abstained; `failure` and `detail`: why there is no usable answer; `reasoning`; `claims`,"
    " `scores` and `provenance`, JSON text",
    "roles": "JSON text: groups of the salient rows that do one thing together, each with its `sign`, `rows` (and those"
    " of `held_out.next`), `share` of the saliency and evidence; one role: the head does one thing",
    "relations": "JSON text: by operation, `score` and `suppression`, the shares of its pairs that the head promotes"
    " and pushes down; `inference` and `ablation` where the model was run",
    "evidence": "JSON text: what the mappings show more often than chance, with counts, effect sizes and q-values",
    "inference": "JSON text: the share of the mappings that the head writes in prompts; null where not looked at",
    "provenance": "JSON text: content hash and shape of the model, settings, versions and times",
}
"""Columns of the configuration ``heads``, and what they mean."""

FLAT_COLUMNS = {
    "model": "the model's name",
    "layer": "layer, from 0",
    "head": "head in the layer, from 0",
    "saliency": "saliency of the most salient token",
    "sources": "the salient tokens, quoted",
    "targets": "for each of them the tokens it promotes most",
    "suppressed": "for each of them the tokens it pushes down most",
    "implements": "predefined operations with a relation score of 0.15 or more, with the score",
    "evidence": "what is above chance in the mappings, in words",
    "mappings_without_context": "share of the mappings that the head writes in prompts as if it attended to the"
    " source alone",
    "mappings_with_context": "the same as the head attends",
    "roles": "the head's roles: number, what it does, share of the saliency",
    "llm": "who described the head; null where nobody did",
    "prompt": "the prompt template's name",
    "role": "the role that is described; null for the whole head",
    "inputs": "what the source tokens share, in the describer's words",
    "pattern": "what the head does with them",
    "unclear": "the describer abstained",
    "reasoning": "what the describer said before",
    "failure": "why there is no usable answer",
    "score": "how far a judge found the description true; null where none did",
    "score_low": "lower end of its 95 % confidence interval",
    "score_high": "upper end of it",
    "score_placebo": "what a description of another head gets on the same rows; null where not run",
    "score_measure": "what the score is: `detection` is the area under the ROC curve, 0.5 by chance",
    "score_judge": "who judged",
    "neuronpedia": "the page of the same head at Neuronpedia, for models it has",
}
"""Columns of the configuration ``descriptions``, and what they mean."""

NUMBERS = (
    *("saliency", "mappings_without_context", "mappings_with_context"),
    *("score", "score_low", "score_high", "score_placebo"),
)

CARD = """---
{licence}
pretty_name: What attention heads do, in words
tags:
- interpretability
- attention-heads
configs:
- config_name: heads
  default: true
  data_files: data/heads/*.parquet
- config_name: descriptions
  data_files: data/descriptions/*.parquet
---

# What attention heads do, in words

{n_heads} attention heads of {n_models} models: which tokens each acts on most strongly and which it then promotes and
suppresses, read from the weights; and descriptions of that in words, with the evidence. Described by: {describers}.

```python
from datasets import load_dataset

heads = load_dataset("PATH OR REPOSITORY", "heads", split="train")
descriptions = load_dataset("PATH OR REPOSITORY", "descriptions", split="train")
```

`headscribe import FOLDER` reads it back into a catalogue, where it can be searched, judged and gone on with.

| model | family | layers x heads | heads here | content (SHA-256) | described by (heads) |
|---|---|---|---|---|---|
{models}

## How it was made

By [MAPS](https://arxiv.org/abs/2412.11965) (Elhelo and Geva, 2025) as headscribe {version} computes it: the value and
output matrices of a head are read through the vocabulary, without running the model. Settings, versions, prompts and
times stand in `provenance` of each row. The words are those of language models, or made from statistics: read them with
their scores and the mappings beside them. Tokens and words may hold anything, markup and control characters included:
treat them as untrusted text.

## Licence

{stated}. The models have licences of their own, and so may what language models say of them.

## Columns of `heads`

| column | meaning |
|---|---|
{heads}

## Columns of `descriptions`

A row per head and description; a head without one has a row all the same.

| column | meaning |
|---|---|
{descriptions}
"""
