"""Functions for notebooks: a model's heads straight from its weights, and a catalogue's as pandas data frames.

    model = describe.load_model("demo")
    describe.salient_mappings(model, 25, 0)

    catalogue = describe.Catalogue("headscribe.db")
    describe.descriptions_frame(catalogue, "demo").query("not unclear")
    describe.head(catalogue, "demo", "25.0")

Importing this module imports neither torch nor pandas.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.head_record import DescriptionRecord, HeadlineScore, HeadRecord
from describe.mappings import MappingRow, Target
from describe.operations import load_operations
from describe.pipeline.stored import extracted
from describe.readings import PAPER
from describe.records import HeadId, ModelInfo, parse_heads
from describe.text import quoted, visible

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Head",
    "Model",
    "descriptions_frame",
    "head",
    "heads_frame",
    "load_model",
    "mappings_frame",
    "relation_scores",
    "relations_frame",
    "salient_mappings",
]

LONGEST = 2000
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class Head:
    """A head with all that is known of it; in a notebook it draws itself."""

    record: HeadRecord

    @property
    def id(self) -> HeadId:
        """Layer and head."""
        return self.record.id

    def frame(self) -> pd.DataFrame:
        """The salient mappings: a row for each target that a source promotes or suppresses."""
        return _frame(_mapping_rows(self.record), MAPPING_COLUMNS)

    def __repr__(self) -> str:
        strongest = ", ".join(quoted(row.token)[:40] for row in self.record.salient[:3])
        return f"<Head {self.id} of {visible(self.record.model)[:80]}: {strongest}, ...>"

    def _repr_html_(self) -> str:
        """The head as HTML; every text in it is escaped, and long ones are cut."""
        record = self.record
        said = "".join(map(_description_html, record.ranked_descriptions()))
        where = f' <a href="{record.neuronpedia}" rel="noreferrer">at Neuronpedia</a>' if record.neuronpedia else ""
        sides = f"<div>attends: {_html(record.attention_text)}</div>" if record.attention else ""
        sides += f"<div>by its weights {_html(record.query_key.words)}</div>" if record.query_key else ""
        sides += f"<div>implements {_html(record.implements_text)}</div>" if record.implements else ""
        sides += f"<div>suppresses {_html(record.suppresses_text)}</div>" if record.suppresses else ""
        rows = "".join(
            f"<tr><th style='text-align:left'>{_token(row)}</th><td>{row.saliency:.3f}</td>"
            + "".join(
                f"<td style='text-align:left'>{' '.join(map(_token, way))}</td>"
                for way in (row.targets, row.suppressed)
            )
            + "</tr>"
            for row in record.salient
        )
        return (  # the classes keep MathJax from reading tokens as formulas
            "<div class='tex2jax_ignore mathjax_ignore'>"
            f"<b>{_html(record.model)} {self.id}</b>{where}{_card_html(record)}{sides}"
            "<table class='headscribe'><thead>"
            "<tr><th>source</th><th>saliency</th><th>promotes</th><th>suppresses</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>{said}{_roles_html(record)}</div>"
        )


class Model:
    """A model whose weights were found and understood; what is read of it is kept in ``catalogue``.

    Attributes:
        source: MODEL as on the command line.
        catalogue: the one given, or one of its own that goes when this object does.
    """

    def __init__(self, source: str, info: ModelInfo, catalogue: Catalogue | None = None) -> None:
        self.source, self.info = source, info
        if catalogue is None:
            self._folder = tempfile.TemporaryDirectory(prefix="headscribe-")  # removed with this object
            catalogue = Catalogue(str(Path(self._folder.name) / "headscribe.db"), create=True)
        self.catalogue = catalogue

    def __repr__(self) -> str:
        return f"<Model {visible(self.info.name)[:80]}: {self.info.n_layers} layers of {self.info.n_heads} heads>"


def load_model(model: str, catalogue: Catalogue | None = None) -> Model:
    """Find a model: ``demo``, a directory, a ``.gguf`` file or a hub id. Raises `InputError` when it cannot be read.

    ``catalogue``: where what is read of it is kept, and found again; None: as long as the model is in use.
    """
    from describe.weights import open_model

    return Model(model, open_model(model).info, catalogue)


def salient_mappings(model: Model, layer: int, head: int, *, reading: str = PAPER.name, device: str = "auto") -> Head:
    """The most salient tokens of a head, and what it makes of each, from the weights; its whole layer is read at once.

    ``reading``: that of the paper takes seconds; ``direct`` runs tokens through the model up to that layer. Raises
    `InputError` for a head that the model does not have.
    """
    chosen = HeadId(layer, head)
    parse_heads(str(chosen), model.info.n_layers, model.info.n_heads)
    pipeline.extract(model.catalogue, model.source, heads=str(layer), reading=reading, device=device)
    return Head(pipeline.head_record(model.catalogue, model.info.name, chosen, reading))


def relation_scores(
    model: Model, operations: Path | Sequence[str] | None = None, *, device: str = "auto"
) -> pd.DataFrame:
    """Relation and suppression scores of every head: a row per operation and head.

    ``operations``: a directory of operations, names of ours, or None for all of ours. Raises `InputError` for unknown
    ones.
    """
    if operations is None or isinstance(operations, Path):
        result = pipeline.relations(model.catalogue, model.source, operations=operations, device=device)
    else:
        with tempfile.TemporaryDirectory() as folder:
            _copy_operations([operations] if isinstance(operations, str) else operations, Path(folder))
            result = pipeline.relations(model.catalogue, model.source, operations=Path(folder), device=device)
    from describe.operations import analysis

    return analysis.scores_table(result.operations)


def head(catalogue: Catalogue, model: str, name: str) -> Head:
    """A head of the catalogue, by model and ``LAYER.HEAD``. Raises `InputError` when it is not there."""
    return Head(pipeline.head_record(catalogue, model, HeadId.parse(name)))


def heads_frame(catalogue: Catalogue, model: str | None = None) -> pd.DataFrame:
    """A row per head: its headline, strongest tokens, the operations it implements, and the best of what was said.

    ``model``: as on the command line; None: all models of the catalogue.
    """
    return _frame(map(_head_row, _records(catalogue, model)), HEAD_COLUMNS)


def descriptions_frame(catalogue: Catalogue, model: str | None = None) -> pd.DataFrame:
    """A row per description, abstention and failure, with its first score, its interval and that of a wrong one."""
    return _frame(_each(_description_rows, _records(catalogue, model)), DESCRIPTION_COLUMNS)


def mappings_frame(catalogue: Catalogue, model: str, heads: str = "all") -> pd.DataFrame:
    """A row per source and target of each head, ``way`` being ``promotes`` or ``suppresses``.

    ``heads``: a selection as on the command line, such as ``25.0,16.8`` or ``20-25``.
    """
    (info, _), *_ = _chosen(catalogue, model)
    wanted = set(parse_heads(heads, info.n_layers, info.n_heads))
    records = (record for record in _records(catalogue, model) if record.id in wanted)
    return _frame(_each(_mapping_rows, records), MAPPING_COLUMNS)


def relations_frame(catalogue: Catalogue, model: str | None = None) -> pd.DataFrame:
    """A row per head and operation, with dynamic scores where the model was run."""
    return _frame(_each(_relation_rows, _records(catalogue, model)), RELATION_COLUMNS)


Rows = Iterator[dict[str, Any]]

_PLACE = ("model", "layer", "head")
HEAD_COLUMNS = [
    *_PLACE,
    "headline",
    "headline_kind",
    "saliency",
    "sources",
    "implements",
    "attention",
    "evidence",
    "state",
    "inputs",
    "pattern",
    "score",
]
DESCRIPTION_COLUMNS = [
    *(*_PLACE, "llm", "prompt", "role", "state", "inputs", "pattern", "unclear", "reasoning", "failure"),
    *("measure", "judge", "score", "low", "high", "wrong"),
]
_TOLD = ("llm", "prompt", "role", "inputs", "pattern", "unclear", "reasoning", "failure")
MAPPING_COLUMNS = [*_PLACE, "rank", "source", "saliency", "way", "target_rank", "target", "logit"]
RELATION_COLUMNS = [*_PLACE, "operation", "score", "suppression", "without_context", "with_context"]


def _frame(rows: Iterable[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(rows), columns=columns)


def _each(rows_of: Callable[[HeadRecord], Rows], records: Iterable[HeadRecord]) -> Rows:
    return (row for record in records for row in rows_of(record))


def _chosen(catalogue: Catalogue, model: str | None) -> list[tuple[ModelInfo, int]]:
    return extracted(catalogue) if model is None else [pipeline.find(catalogue, model)]


def _records(catalogue: Catalogue, model: str | None) -> Iterator[HeadRecord]:
    for info, extraction_id in _chosen(catalogue, model):
        yield from catalogue.head_records(info, extraction_id, held_out=False)


def _place(record: HeadRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _PLACE}


def _head_row(record: HeadRecord) -> dict[str, Any]:
    summary = record.summary()
    return _place(record) | {
        "headline": record.card and record.card.headline,
        "headline_kind": record.card and record.card.kind,
        "sources": " ".join(quoted(row.token) for row in record.salient[:5]),
        "implements": record.implements_text,
        "attention": record.attention.names if record.attention else None,
        "evidence": len(record.evidence),
        **{name: getattr(summary, name) for name in ("saliency", "state", "inputs", "pattern", "score")},
    }


def _description_rows(record: HeadRecord) -> Rows:
    for one in record.descriptions:
        told = {name: getattr(one, name) for name in ("state", *_TOLD)}
        scored = {name: getattr(one.headline, name, None) for name in ("measure", "judge", "low", "high", "wrong")}
        yield _place(record) | told | scored | {"score": one.headline and one.headline.value}


def _mapping_rows(record: HeadRecord) -> Rows:
    for rank, row in enumerate(record.salient, 1):
        of = _place(record) | {"rank": rank, "source": row.token, "saliency": row.saliency}
        for way, targets in (("promotes", row.targets), ("suppresses", row.suppressed)):
            for place, target in enumerate(targets, 1):
                yield of | {"way": way, "target_rank": place, "target": target.token, "logit": target.logit}


def _relation_rows(record: HeadRecord) -> Rows:
    for operation, found in record.relations.items():
        run = found.inference
        yield _place(record) | {
            "operation": operation,
            "score": found.score,
            "suppression": found.suppression,
            "without_context": run and run.of_source.score,
            "with_context": run and run.in_context.score,
        }


def _copy_operations(names: Iterable[str], folder: Path) -> None:
    ours = {operation.name: operation for operation in load_operations()[0]}
    for name in names:
        if name not in ours:
            raise InputError(f"there is no operation '{name}': there are {', '.join(ours)}")
        about = {part: getattr(ours[name], part) for part in ("name", "category", "direction", "pairs")}
        (folder / f"{name}.json").write_text(json.dumps(about), encoding="utf-8")


def _description_html(one: DescriptionRecord) -> str:
    who = f"<i>{_html(one.llm)}</i> ({_html(one.prompt)})"
    who += f" role {one.role}" if one.role else ""
    if one.failure is not None:
        return f"<p>{who}: failed, {_html(one.cause)}</p>"
    scored = "" if one.headline is None else f"<br>{_score_html(one.headline)}<br>verdict: {one.verdict}"
    scored += "".join(f"<br>{_html(line)}" for line in one.unscored)
    return f"<p>{who}<br>inputs: {_html(one.inputs or '')}<br>pattern: {_html(one.pattern or '')}{scored}</p>"


def _card_html(record: HeadRecord) -> str:
    """The headline with what it rests on, and what contradicts it."""
    if record.card is None:
        return ""
    papers = "".join(f"<li>named in a paper: {_html(words)}</li>" for words in record.named)
    but = "".join(f"<li>but {_html(found.words)}</li>" for found in record.card.contradictions)
    basis = f"<br><small>{_html(record.card.basis)}</small>" if record.card.basis else ""
    return f"<div><b>{_html(record.card.headline)}</b>{basis}</div>" + (
        f"<ul>{but}{papers}</ul>" if but or papers else ""
    )


def _roles_html(record: HeadRecord) -> str:
    """The roles of groups of rows, where there are several."""
    lines = []
    for found in record.several_roles:
        role = found.role
        sources, targets = (" ".join(map(_token, some)) for some in (found.sources, found.targets))
        much = f"{role.share:.0%} of the saliency, {len(role.rows)} rows; {found.verdict}"
        lines.append(f"<li>role {role.role} {role.sign} {targets} for {sources} ({much}) {_html(role.claims)}</li>")
    return f"<ul>{''.join(lines)}</ul>" if lines else ""


def _score_html(score: HeadlineScore) -> str:
    interval = f" ({score.interval})" if score.interval else ""
    return f"{_html(score.by)}: <b>{score.figure}</b>{interval}; a wrong description: {score.levels}"


def _html(text: str) -> str:
    shown = visible(text[:LONGEST])
    return escape(shown) + (f"… ({len(text):,} characters)" if len(text) > LONGEST else "")


def _token(row: MappingRow | Target) -> str:
    return f"<code>{escape(quoted(row.token[:80]))}{'…' if len(row.token) > 80 else ''}</code>"
