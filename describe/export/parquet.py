"""Heads as Parquet, and read back: a row per head with nested mappings; what has no fixed form is JSON text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from describe.errors import InputError
from describe.export import Parts
from describe.head_record import DescriptionRecord, HeadRecord, Json, Record
from describe.head_record.form import finite_json
from describe.head_record.schema import as_text, optional, properties, resolved
from describe.text import encodable, json_text, shortened

__all__ = ["arrow_schema", "pyarrow", "read_heads", "write_file", "write_heads", "write_table"]

AT_ONCE = 64
"""Heads in memory at once: a row group."""

LARGEST_PART, MOST_VALUES = 1 << 30, 1 << 24
"""Bytes of a row group, unpacked, and values of a column in it, that are read: a hundred times those of common ones."""


def write_file(parts: Parts, path: Path) -> None:
    """Write the heads of models, a row each."""
    write_heads((head for _, heads in parts for head in heads), path)


def write_heads(records: Iterable[HeadRecord], path: Path) -> None:
    """Write records of heads, a row each. Raises `InputError` where pyarrow is not installed."""
    write_table((_as_row(record.to_json()) for record in records), arrow_schema(properties(HeadRecord)), path)


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
    """The heads that `write_heads` wrote, in the JSON form of one head, not checked.

    Raises `InputError` for a file that is no Parquet or lacks our columns, ValueError for a row that is not ours.
    """
    pa, pq = pyarrow()
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(file, path)
            ours = [name for name in properties(HeadRecord) if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=AT_ONCE, columns=ours):
                for row in batch.to_pylist():
                    yield _from_row(row)
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise InputError(f"'{path}' cannot be read as Parquet: {shortened(str(error), 300)}") from error


def _check_columns(file: Any, path: Path) -> None:
    """Refuse other columns than ours, and parts that would take too much room, before any is read."""
    found = file.schema_arrow
    for field in arrow_schema(properties(HeadRecord)):
        if field.name not in found.names:
            if field.name in optional(HeadRecord):
                continue
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


def arrow_schema(columns: dict[str, Json]) -> Any:
    """Arrow's schema of columns, by what each is in JSON."""
    pa, _ = pyarrow()
    return pa.schema(_fields(columns))


def _fields(columns: dict[str, Json]) -> list[tuple[str, Any]]:
    pa, _ = pyarrow()
    return [(name, pa.string() if as_text(name, schema) else _type(schema)) for name, schema in columns.items()]


def _type(schema: Json) -> Any:
    pa, _ = pyarrow()
    found = resolved(schema)
    if found["type"] == "array":
        return pa.list_(_type(found["items"]))
    if found["type"] == "object":
        return pa.struct(_fields(found["properties"]))
    return {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "string": pa.string()}[found["type"]]


def _texts(columns: dict[str, Json]) -> list[str]:
    return [name for name, schema in columns.items() if as_text(name, schema)]


def _as_row(head: Json, kind: type[Record] = HeadRecord) -> Json:
    texts = {name: json_text(head[name]) for name in _texts(properties(kind)) if name in head}
    nested = {"descriptions": [_as_row(one, DescriptionRecord) for one in head.get("descriptions", ())]}
    return head | texts | (nested if kind is HeadRecord else {})


def _from_row(row: Json, kind: type[Record] = HeadRecord) -> Json:
    row = {name: value for name, value in row.items() if value is not None or name not in optional(kind)}
    texts = {name: _parsed(row, name) for name in _texts(properties(kind)) if name in row or name not in optional(kind)}
    nested = {"descriptions": [one and _from_row(one, DescriptionRecord) for one in row.get("descriptions") or ()]}
    return row | texts | (nested if kind is HeadRecord else {})


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
