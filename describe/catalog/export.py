"""Exporting the heads of a model: one function a format, all fed with the JSON form of one head.

Files are complete or not there: each is written beside its place and renamed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from describe.errors import InputError
from describe.files import replacing
from describe.records import THRESHOLD, ModelInfo
from describe.text import no_formula, quoted, visible
from describe.versions import headscribe_version

__all__ = ["FORMATS", "export"]

Records = Iterator[dict[str, Any]]


def export(model: ModelInfo, records: Iterable[dict[str, Any]], form: str, path: Path) -> int:
    """Write the heads to ``path`` in one of `FORMATS`. Returns how many; raises `InputError` when it cannot."""
    count = 0

    def counted() -> Records:
        nonlocal count
        for record in records:
            count += 1
            yield record

    with replacing(path) as partial:
        FORMATS[form](model, counted(), partial)
    return count


def _jsonl(_model: ModelInfo, records: Records, path: Path) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _csv(_model: ModelInfo, records: Records, path: Path) -> None:
    """A row per head and description; cells that a spreadsheet would run as a formula start with an apostrophe."""
    import pandas as pd

    rows = [{name: no_formula(cell) for name, cell in row.items()} for record in records for row in _flat(record)]
    pd.DataFrame(rows, columns=_COLUMNS).to_csv(path, index=False, lineterminator="\n")


def _parquet(_model: ModelInfo, records: Records, path: Path) -> None:
    """A row per head with nested mappings and descriptions; what has no fixed form is JSON text."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError("parquet needs pyarrow: pip install 'headscribe[parquet]'") from error

    token = [("token_id", pa.int64()), ("token", pa.string())]
    target = pa.struct([*token, ("logit", pa.float64())])
    row = pa.struct(
        [*token, ("saliency", pa.float64()), ("targets", pa.list_(target)), ("suppressed", pa.list_(target))]
    )
    told = ["llm", "prompt", "inputs", "pattern", "reasoning", "failure", "detail", "scores", "provenance"]
    description = pa.struct([*((name, pa.string()) for name in told), ("role", pa.int64()), ("unclear", pa.bool_())])
    schema = pa.schema(
        [
            ("model", pa.string()),
            ("layer", pa.int64()),
            ("head", pa.int64()),
            ("salient", pa.list_(row)),
            ("descriptions", pa.list_(description)),
            ("roles", pa.string()),
            ("relations", pa.string()),
            ("evidence", pa.string()),
            ("inference", pa.string()),
            ("provenance", pa.string()),
        ]
    )
    rows = [_json_parts(record) for record in records]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def _markdown(model: ModelInfo, records: Records, path: Path) -> None:
    """A section per head, every token and word escaped."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        file.write(f"# {_md(model.name)}\n\n{_facts(model)}\n")
        for record in records:
            file.write(f"\n## {record['layer']}.{record['head']}\n\n")
            for found in record["descriptions"]:
                role = f", role {found['role']}" if found["role"] else ""
                who = f"{_md(found['llm'])} ({_md(found['prompt'])}){role}"
                if found["failure"]:
                    file.write(f"- {who}: failed, {_md(found['failure'])}: {_md(visible(found['detail'] or ''))}\n")
                else:
                    inputs, pattern = _md(visible(found["inputs"])), _md(visible(found["pattern"]))
                    file.write(f"- {who}\n  - inputs: {inputs}\n  - pattern: {pattern}\n")
            for title, told in (("implements", _implemented(record)), ("evidence", _claims(record))):
                if told:
                    file.write(f"- {title}: {_md(told)}\n")
            for role in record["roles"] if len(record["roles"]) > 1 else []:
                sources = " ".join(_code(record["salient"][i]["token"]) for i in role["rows"])
                file.write(f"- role {role['role']} {role['sign']} ({role['share']:.0%} of the saliency): {sources}\n")
            if record["inference"]:
                found = record["inference"]
                shares = f"{found['of_source']:.2f} without context, {found['in_context']:.2f} with context"
                file.write(f"- mappings written in prompts: {shares}\n")
            file.write("\n| source | saliency | promotes | suppresses |\n| --- | ---: | --- | --- |\n")
            for row in record["salient"]:
                up, down = (" ".join(_code(t["token"]) for t in row[way]) for way in ("targets", "suppressed"))
                file.write(f"| {_code(row['token'])} | {row['saliency']:.3f} | {up} | {down} |\n")


def _html(model: ModelInfo, records: Records, path: Path) -> None:
    """One self-contained page: no server, nothing from outside."""
    from describe.catalog.html import render_page

    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    page = render_page(asdict(model), records, generated=now, version=headscribe_version())
    path.write_text(page, encoding="utf-8", errors="backslashreplace")


FORMATS: dict[str, Callable[[ModelInfo, Records, Path], None]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
    "markdown": _markdown,
    "html": _html,
}
"""A new format is one function here."""

_AS_TEXT = ("roles", "relations", "evidence", "inference", "provenance")
_COLUMNS = [
    *("model", "layer", "head", "saliency", "sources", "targets", "suppressed", "implements", "evidence"),
    *("mappings_without_context", "mappings_with_context"),
    *("roles", "llm", "prompt", "role", "inputs", "pattern", "unclear", "reasoning", "failure"),
]
_TOLD = _COLUMNS[_COLUMNS.index("llm") :]


def _flat(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A head as table rows, one per description; one without a description as a row all the same."""
    salient = record["salient"]
    mapping = {
        "saliency": salient[0]["saliency"] if salient else None,
        "sources": " ".join(quoted(row["token"]) for row in salient),
        **{
            way: " | ".join(" ".join(quoted(target["token"]) for target in row[way]) for row in salient)
            for way in ("targets", "suppressed")
        },
        "implements": _implemented(record),
        "evidence": _claims(record),
        "roles": "; ".join(f"{r['role']} {r['sign']} {r['share']:.2f}" for r in record["roles"]),
    }
    checked = record["inference"] or {}
    mapping |= {
        "mappings_without_context": checked.get("of_source"),
        "mappings_with_context": checked.get("in_context"),
    }
    for found in record["descriptions"] or [{}]:
        told = {name: found.get(name) for name in _TOLD}
        yield {name: record[name] for name in ("model", "layer", "head")} | mapping | told


def _implemented(record: dict[str, Any]) -> str:
    """The operations a head implements, from the strongest down, with their scores."""
    strong = [(v["score"], name) for name, v in record["relations"].items() if v["score"] >= THRESHOLD]
    return "; ".join(f"{visible(name)} {score:.2f}" for score, name in sorted(strong, reverse=True))


def _claims(record: dict[str, Any]) -> str:
    """What is above chance in a head's mappings, in words."""
    return "; ".join(f"{e['kind']}: {e['wording']} ({e['count']} of {e['rows']})" for e in record["evidence"])


def _json_parts(record: dict[str, Any]) -> dict[str, Any]:
    descriptions = [
        found | {name: json.dumps(found[name], ensure_ascii=False) for name in ("scores", "provenance")}
        for found in record["descriptions"]
    ]
    parts = {name: json.dumps(record[name], ensure_ascii=False) for name in _AS_TEXT}
    return record | parts | {"descriptions": descriptions}


def _facts(model: ModelInfo) -> str:
    return (
        f"{model.n_layers} layers of {model.n_heads} heads, family {_md(model.family)}, {model.vocab_size:,} tokens;"
        f" content SHA-256 `{model.content_hash}`; headscribe {headscribe_version()}\n"
    )


def _md(text: str) -> str:
    """Text that Markdown and HTML take for text."""
    return re.sub(r"[!-/:-@\[-`{-~]", lambda match: f"&#{ord(match.group())};", " ".join(text.split("\n")))


def _code(token: str) -> str:
    return f"<code>{_md(quoted(token))}</code>"
