"""``headscribe models``: the families of models that are read, those that are not and why, and a test on planted heads.

``python -m app.models`` prints the tables of docs/families.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.options import Device, Json
from describe.readings import READING_NAMES

if TYPE_CHECKING:
    from describe.pipeline import Finding

__all__ = ["family_tables", "models"]


def models(
    self_test: Annotated[
        bool,
        typer.Option("--self-test", help="Plant known operations in a small model, and see whether they are found."),
    ] = False,
    device: Device = "auto",
    json_path: Json = None,
) -> None:
    """List the model families that headscribe reads, and those that it cannot read, with the reason."""
    from app.terminal import draw_table, write_json

    if self_test:
        _self_test(device, json_path)
        return
    if json_path:
        write_json(_as_json(), json_path)
        return
    for title, headings, rows in _tables():
        draw_table(headings, rows, title=title)


def family_tables() -> str:
    """The tables of `headscribe models` as Markdown."""
    parts = []
    for title, headings, rows in _tables():
        lines = [headings, ["---"] * len(headings), *rows]
        parts.append(f"## {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
    return "\n".join(parts)


def _tables() -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, headings and rows of the two tables."""
    from describe.weights import FAMILIES
    from describe.weights.families import RUN_FROM_GGUF
    from describe.weights.refused import REFUSED

    read = [
        [
            row.name,
            ", ".join(row.model_types),
            ", ".join(name if name in RUN_FROM_GGUF else f"{name}*" for name in row.gguf),
            row.examples,
            "; ".join([*row.reading, *filter(None, [row.note])]),
            ", then ".join(row.folded),
        ]
        for row in FAMILIES
    ]
    refused = [[f"it {refusal.reason}", ", ".join(refusal.model_types)] for refusal in REFUSED]
    return [
        (
            "Families that are read (* from GGUF by extract, describe, score and relations, but not run)",
            ["family", "model_type", "GGUF", "models", "what is done, what to know", "folded into U"],
            read,
        ),
        ("Models that are not read", ["why", "model_type"], refused),
    ]


def _as_json() -> list[dict[str, Any]]:
    from describe.weights import FAMILIES
    from describe.weights.families import RUN_FROM_GGUF
    from describe.weights.refused import REFUSED

    return [
        {
            "family": row.name,
            "model_types": row.model_types,
            "gguf": row.gguf,
            "gguf_run": [name for name in row.gguf if name in RUN_FROM_GGUF],
            "models": row.examples,
            "reading": row.reading,
            "folded": row.folded,
            "note": row.note,
        }
        for row in FAMILIES
    ] + [{"refused": refusal.reason, "model_types": refusal.model_types} for refusal in REFUSED]


def _self_test(device: str, json_path: Any) -> None:
    from app.terminal import draw_table, write_json
    from describe.pipeline import self_test

    found = {reading: self_test(device, reading=reading) for reading in READING_NAMES}
    every = [(reading, finding) for reading, findings in found.items() for finding in findings]
    if json_path:
        write_json([{"reading": reading, **_finding_json(finding)} for reading, finding in every], json_path)
    else:
        headings = [
            "reading",
            "operation",
            "kind",
            "planted",
            "found",
            "score",
            "mappings",
            "strongest other",
            "score",
            "mappings",
        ]
        rows = [[reading, *_finding_row(finding)] for reading, finding in every]
        draw_table(headings, rows, title="Planted heads of a small model", right=(5, 6, 8, 9))
    wrong = [f"{finding.operation} ({reading})" for reading, finding in every if not finding.as_planted]
    if wrong:
        typer.echo(f"headscribe: not found as planted: {', '.join(wrong)}; do not trust this installation", err=True)
        raise typer.Exit(1)
    if not json_path:
        typer.echo("All that was planted is found, and nothing else.")


def _finding_row(finding: Finding) -> list[str]:
    other = finding.strongest_other
    row = [finding.operation, finding.kind, str(finding.planted), ", ".join(map(str, finding.found))]
    for head in (finding.planted, other):
        row += [str(head)] if head is other else []
        row += [f"{finding.scores[head]:.2f}", f"{finding.rows[head]}/{finding.n_rows}"] if head else ["", ""]
    return row


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "operation": finding.operation,
        "kind": finding.kind,
        "planted": str(finding.planted),
        "found": [str(head) for head in finding.found],
        "as_planted": finding.as_planted,
        "scores": {str(head): score for head, score in finding.scores.items()},
        "mappings": {str(head): rows for head, rows in finding.rows.items()},
        "of_mappings": finding.n_rows,
    }


if __name__ == "__main__":
    print(family_tables(), end="")
