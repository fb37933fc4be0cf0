"""Texts in JSON Lines and Parquet: in the column ``text``, or the first that holds texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from describe.errors import InputError
from describe.text import shortened

__all__ = ["text_column", "text_field", "text_of"]

LONGEST_LINE = 1 << 26


def text_of(line: str, where: str) -> str:
    """The text of a line: a JSON string, or an object's. Raises `InputError`, with the place, for anything else."""
    try:
        if len(line) > LONGEST_LINE:
            raise ValueError
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON") from error
    if isinstance(found, str):
        return found
    if not isinstance(found, dict):
        raise InputError(f"{where} holds no text: a string, or an object with a key 'text'")
    return text_field(found, where)


def text_field(row: Mapping[str, object], where: str) -> str:
    """The text of a row: ``text``, or the first value that is one. Raises `InputError` when there is none."""
    candidates = [row["text"]] if "text" in row else list(row.values())
    found = next((value for value in candidates if isinstance(value, str)), None)
    if found is None:
        raise InputError(f"{where} holds no text: a key 'text', or another whose value is a string")
    return found


def text_column(path: Path) -> Iterator[str]:
    """The texts of a Parquet file. Raises `InputError` when it cannot be read or holds none."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError("parquet needs pyarrow: pip install 'headscribe[parquet]'") from error
    try:
        with pq.ParquetFile(path) as file:
            texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
            texts += [field.name for field in file.schema_arrow if pa.types.is_large_string(field.type)]
            if not texts:
                raise InputError(f"'{path}' holds no column of texts")
            name = "text" if "text" in texts else texts[0]
            for batch in file.iter_batches(batch_size=64, columns=[name]):
                yield from (text for text in batch.column(0).to_pylist() if text)
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise InputError(f"'{path}' cannot be read as Parquet: {shortened(str(error), 200)}") from error
