"""Heads as Parquet, and read back: a row per head with nested mappings; what has no fixed form is JSON text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from describe.catalog.rows import finite_json
from describe.errors import InputError
from describe.text import encodable, shortened

__all__ = ["pyarrow", "read_heads", "write_heads", "write_table"]

AS_TEXT = ("roles", "relations", "evidence", "inference", "provenance")
"""What of a head is JSON text."""

DESCRIPTION_AS_TEXT = ("claims", "scores", "provenance")
"""What of a description is JSON text."""

AT_ONCE = 64
"""Heads in memory at once: a row group."""

LARGEST_PART, MOST_VALUES = 1 << 30, 1 << 24
"""Bytes of a row group, unpacked, and values of a column in it, that are read: a hundred times those of common ones."""


def write_heads(records: Iterable[dict[str, Any]], path: Path) -> None:
    """Write heads, in the JSON form of one head, a row each. Raises `InputError` where pyarrow is not installed."""
    write_table((_as_row(record) for record in records), _schema(), path)


def write_table(rows: Iterable[dict[str, Any]], schema: Any, path: Path) -> None:
    """Write rows under a schema of pyarrow, some at a time."""
    pa, pq = pyarrow()
    remaining = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while some := list(islice(remaining, AT_ONCE)):
            try:
                table = pa.Table.from_pylist(some, schema=schema)
            except UnicodeEncodeError:  # lone surrogates, which UTF-8 does not have
                table = pa.Table.from_pylist([_encodable(row) for row in some], schema=schema)
            writer.write_table(table)


def read_heads(path: Path) -> Iterator[dict[str, Any]]:
    """The heads that `write_heads` wrote, in the JSON form of one head.

    Raises `InputError` for a file that is no Parquet or lacks our columns, ValueError for a row that is not ours.
    """
    pa, pq = pyarrow()
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(file, path)
            for batch in file.iter_batches(batch_size=AT_ONCE, columns=_schema().names):
                for row in batch.to_pylist():
                    yield _from_row(row)
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise InputError(f"'{path}' cannot be read as Parquet: {shortened(str(error), 300)}") from error


def _check_columns(file: Any, path: Path) -> None:
    """Refuse other columns than ours, and parts that would take too much room, before any is read."""
    found = file.schema_arrow
    for field in _schema():
        if field.name not in found.names:
            raise InputError(f"'{path}' does not hold heads as headscribe exports them: no column '{field.name}'")
        if not _fits(found.field(field.name).type, field.type):
            raise InputError(
                f"'{path}' does not hold heads as headscribe exports them: '{field.name}' is of another type"
            )
    for part in range(file.metadata.num_row_groups):
        about = file.metadata.row_group(part)
        values = max(about.column(column).num_values for column in range(about.num_columns))
        if about.total_byte_size > LARGEST_PART or values > MOST_VALUES:
            raise InputError(
                f"'{path}' has {about.total_byte_size >> 20} MiB in one part: more than can be read at once"
            )


def _fits(found: Any, ours: Any) -> bool:
    """A column's type is ours; of an object, some keys may be missing, as in older exports."""
    pa, _ = pyarrow()
    if pa.types.is_list(ours) and pa.types.is_list(found):
        return _fits(found.value_type, ours.value_type)
    if pa.types.is_struct(ours) and pa.types.is_struct(found):
        return all(
            ours.get_field_index(field.name) >= 0 and _fits(field.type, ours.field(field.name).type) for field in found
        )
    return bool(found.equals(ours))


def _schema() -> Any:
    pa, _ = pyarrow()
    token = [("token_id", pa.int64()), ("token", pa.string())]
    target = pa.struct([*token, ("logit", pa.float64())])
    row = pa.struct(
        [*token, ("saliency", pa.float64()), ("targets", pa.list_(target)), ("suppressed", pa.list_(target))]
    )
    told = ["llm", "prompt", "inputs", "pattern", "reasoning", "claims", "failure", "detail", "scores", "provenance"]
    description = pa.struct([*((name, pa.string()) for name in told), ("role", pa.int64()), ("unclear", pa.bool_())])
    return pa.schema(
        [
            ("model", pa.string()),
            ("layer", pa.int64()),
            ("head", pa.int64()),
            ("salient", pa.list_(row)),
            ("held_out", pa.struct([(part, pa.list_(row)) for part in ("next", "sample")])),
            ("descriptions", pa.list_(description)),
            *((name, pa.string()) for name in AS_TEXT),
        ]
    )


def _as_row(record: dict[str, Any]) -> dict[str, Any]:
    descriptions = [
        found | {name: json.dumps(found[name], ensure_ascii=False) for name in DESCRIPTION_AS_TEXT}
        for found in record["descriptions"]
    ]
    return (
        record
        | {name: json.dumps(record[name], ensure_ascii=False) for name in AS_TEXT}
        | {"descriptions": descriptions}
    )


def _from_row(row: dict[str, Any]) -> dict[str, Any]:
    parsed = {name: _parsed(row, name) for name in AS_TEXT}
    descriptions = [
        found
        and found | {name: _parsed(found, name) for name in DESCRIPTION_AS_TEXT if name != "claims" or name in found}
        for found in row["descriptions"] or []
    ]
    return row | parsed | {"descriptions": descriptions}


def _parsed(row: dict[str, Any], name: str) -> Any:
    try:
        return finite_json(row[name])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{name} is not JSON ({error})") from error


def _encodable(value: Any) -> Any:
    """Nested data with `encodable` texts."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list | tuple) else value


def pyarrow() -> tuple[Any, Any]:
    """The library and its Parquet part. Raises `InputError` where it is not installed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError("parquet needs pyarrow: pip install 'headscribe[parquet]'") from error
    return pa, pq
