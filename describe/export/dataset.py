"""A catalogue as a Hugging Face dataset: a folder of Parquet files with a card, as ``datasets.load_dataset`` reads it.

Two configurations: ``heads``, a row per head with all that is known of it, nested, which `headscribe import` reads
again; and ``descriptions``, a flat row per head and description, for tables. Each model is a file of both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from describe.errors import InputError
from describe.export import Parts
from describe.export.parquet import arrow_schema, write_heads, write_table
from describe.export.table import COLUMNS, table_rows
from describe.head_record import HeadRecord, Json, Record
from describe.head_record.schema import keys, properties
from describe.records import ModelInfo
from describe.text import file_name, markdown, visible
from describe.versions import headscribe_version

__all__ = ["heads_of", "model_file_name", "write_folder"]

Records = Iterator[HeadRecord]

HEADS, DESCRIPTIONS = Path("data/heads"), Path("data/descriptions")


@dataclass
class _Told:
    """The card's figures of a model, counted as its heads go by, and their flat rows."""

    model: ModelInfo
    heads: int = 0
    describers: Counter[str] = field(default_factory=Counter)
    flat: list[dict[str, Any]] = field(default_factory=list)

    def count(self, records: Records) -> Records:
        for head in records:
            self.heads += 1
            self.describers.update({one.llm for one in head.descriptions if one.state != "failed"})
            self.flat.extend(row | {"neuronpedia": head.neuronpedia} for row in table_rows(head))
            yield head


def write_folder(parts: Parts, folder: Path, licence: str | None) -> None:
    """Write the folder, a model at a time; ``licence``: as the Hub names licences; None: not stated."""
    if licence is not None and not re.fullmatch(r"[\w.-]+", licence):
        raise InputError(f"'{visible(licence)[:80]}' is no licence as the Hub names them, such as cc-by-4.0")
    for place in (HEADS, DESCRIPTIONS):
        (folder / place).mkdir(parents=True)
    told = []
    for model, records in parts:
        about = _Told(model)
        told.append(about)
        name = f"{model_file_name(model, folder / HEADS, '.parquet')}.parquet"
        write_heads(about.count(records), folder / HEADS / name)
        write_table(about.flat, arrow_schema(FLAT_COLUMNS), folder / DESCRIPTIONS / name)
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
        heads=_meanings(properties(HeadRecord)),
        descriptions=_meanings(FLAT_COLUMNS),
        stated=f"`{licence}`" if licence else "not stated by whoever exported this",
    )


def _meanings(columns: dict[str, Json]) -> str:
    return "\n".join(
        f"| `{name}` | {'JSON text: ' if text else ''}{meaning} |" for name, text, meaning in keys(columns)
    )


class _Link(Record):
    neuronpedia: str | None
    """the page of the same head at Neuronpedia, for models it has"""


FLAT_COLUMNS = COLUMNS | properties(_Link)
"""Columns of the configuration ``descriptions``."""

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
