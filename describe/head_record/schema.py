"""The JSON form of a head as JSON Schema: its keys, what each means, and which parts have a fixed form.

Parquet's columns, the card of a dataset and the tables of docs/formats.md are made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from describe.head_record.form import Json, Record
from describe.head_record.head import HeadRecord

__all__ = ["as_text", "key_tables", "keys", "optional", "properties", "resolved"]


@cache
def _schema(record: type[Record]) -> Json:
    return record.model_json_schema()


def properties(record: type[Record]) -> dict[str, Json]:
    """The schema of each key of a record."""
    found: dict[str, Json] = _schema(record)["properties"]
    return found


def optional(record: type[Record]) -> set[str]:
    """The keys of a record that may be missing."""
    return {name for name, field in record.model_fields.items() if not field.is_required()}


def resolved(schema: Json) -> Json:
    """A schema itself, where it is only named, or may also be null; in lists that of the items stays as it is."""
    if "$ref" in schema:
        found: Json = _schema(HeadRecord)["$defs"][schema["$ref"].rpartition("/")[2]]
        return found
    if "anyOf" in schema:
        return resolved(next(one for one in schema["anyOf"] if one.get("type") != "null"))
    return schema


def as_text(name: str, schema: Json) -> bool:
    """A key's value has no fixed form, and is JSON text in a column. Descriptions are nested all the same, with text
    for what of them has no fixed form."""
    return not _is_fixed(schema) and name != "descriptions"


def keys(schemas: dict[str, Json], within: str = "") -> Iterator[tuple[str, bool, str]]:
    """Keys, whether they are `as_text`, and what they mean; after nested ones their parts: ``salient.token_id``."""
    for name, schema in schemas.items():
        text = as_text(name, schema)
        held = [f"`{key}`" for _, part in _parts(name, schema) for key in part["properties"]] if text else []
        yield within + name, text, schema["description"] + (f" ({', '.join(held)})" if held else "")
        inner = resolved(schema)
        inner = resolved(inner["items"]) if inner.get("type") == "array" else inner
        if "properties" in inner and not text and not within:
            yield from keys(inner["properties"], f"{name}.")


def _is_fixed(schema: Json) -> bool:
    """Every value of the schema has the same keys, down to the last."""
    found = resolved(schema)
    if found.get("type") == "array":
        return _is_fixed(found["items"])
    if found.get("type") == "object":
        parts = found.get("properties", {})
        complete = found.get("nested", False) or set(found.get("required", ())) == set(parts)
        return bool(parts) and complete and all(map(_is_fixed, parts.values()))
    return "type" in found


def key_tables() -> str:
    """The keys of a head and of each of its parts, as tables in Markdown."""
    tables, todo, seen = [], [("", _schema(HeadRecord))], set()
    while todo:
        path, schema = todo.pop(0)
        if schema["title"] in seen:
            continue
        seen.add(schema["title"])
        rows = "\n".join(f"| `{name}` | {_line(part['description'])} |" for name, part in schema["properties"].items())
        title = f"`{path}`: {_line(schema['description'])}" if path else _line(schema["description"])
        tables.append(f"{title}\n\n| key | what it holds |\n|---|---|\n{rows}\n")
        for name, part in schema["properties"].items():
            todo += _parts(f"{path}.{name}".lstrip("."), part)
    return "\n".join(tables)


def _parts(path: str, schema: Json) -> Iterator[tuple[str, Json]]:
    """The records in a key's value, each with its path; ``*`` stands for keys of its own."""
    found = resolved(schema)
    if found.get("type") == "array":
        yield from _parts(path, found["items"])
    elif "properties" in found:
        yield path, found
    elif isinstance(found.get("additionalProperties"), dict):
        yield from _parts(f"{path}.*", found["additionalProperties"])


def _line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    print(key_tables())
