"""The seven experiments of the paper, one function each, and the table of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from describe.errors import CheckpointError, InputError
from describe.operations import PAPER_PROFILE, load_operations
from describe.operations.published import Published, published, published_pairs
from describe.pipeline.descriptions import describe
from describe.pipeline.extraction.placebos import KINDS
from describe.pipeline.inference.ablation import ablate, ablation_rows
from describe.pipeline.inference.correlation import check_precision, correlate
from describe.pipeline.operations.comparison import comparison
from describe.pipeline.operations.relations import RelationsResult, known_scores, relations
from describe.pipeline.paper.records import Cell, Findings, Subject, Table
from describe.records import MIN_PAIRS, THRESHOLD, HeadId, ModelInfo

if TYPE_CHECKING:
    from describe.catalog import Told
    from describe.inference import Correlation

__all__ = ["EXPERIMENTS", "chosen_experiments", "compared", "paper"]

CAPITALS = "country_to_capital"


@dataclass(frozen=True)
class _Experiment:
    """Its title, and what runs it, given the static scores; whether the model is run in it."""

    title: str
    run: Callable[[Subject, RelationsResult], Findings]


def paper(subject: Subject, experiments: Sequence[str]) -> Iterator[Findings]:
    """Run experiments by name, each when its findings are asked for; all that is found is committed as it comes.

    An experiment that this model is not fit for has its reason in place of tables. Raises `InputError` for what cannot
    be read or used at all.
    """
    _check(subject)
    subject.progress("paper", 0, len(experiments))
    static = _static(subject)
    for done, name in enumerate(experiments, 1):
        try:
            found = EXPERIMENTS[name].run(subject, static)
        except CheckpointError as error:
            found = Findings(name, EXPERIMENTS[name].title, missing={"all of it": str(error)})
        subject.progress("paper", done, len(experiments))
        yield found


def chosen_experiments(names: str | None) -> list[str]:
    """The experiments named, separated by commas, in their order; all for None.

    Raises `InputError` for one that there is not.
    """
    named = [] if names is None else [name.strip() for name in names.split(",")]
    wanted = [name for name in named if name] or list(EXPERIMENTS)
    for name in wanted:
        if name not in EXPERIMENTS:
            raise InputError(f"there is no experiment '{name}': use {', '.join(EXPERIMENTS)}")
    return [name for name in EXPERIMENTS if name in wanted]


def _check(subject: Subject) -> None:
    """Raises `InputError` for a user's mistakes that the experiments would tell of only when hours have passed."""
    from describe.inference.tasks import read_tasks

    load_operations(subject.operations)
    read_tasks(subject.tasks)
    check_precision(subject.dtype)


def _static(subject: Subject) -> RelationsResult:
    return relations(
        subject.catalogue,
        subject.model,
        operations=subject.operations,
        profile=PAPER_PROFILE,
        reading=subject.reading,
        device=subject.device,
        progress=subject.progress,
    )


def _too_few(pairs: int) -> str:
    return f"{pairs} of its pairs are single tokens of this vocabulary on both sides; {MIN_PAIRS} are needed"


# -- one experiment each ----------------------------------------------------------------------------------------------


def _scores(subject: Subject, static: RelationsResult) -> Findings:
    printed, sizes = published_pairs(), {o.name: len(o.pairs) for o in load_operations(subject.operations)[0]}
    rows: list[tuple[Cell, ...]] = []
    for found in static.operations:
        row: tuple[Cell, ...] = (found.category, found.name, printed.get(found.name), sizes[found.name])
        row += (found.pairs_used, found.k)
        if found.valid:
            counts = [_implementing(scores) for scores in (found.scores, found.suppression)]
            (score, head), (suppression, suppressor) = map(_strongest, (found.scores, found.suppression))
            row += (*counts, score, head, suppression, suppressor)
        rows.append(row + (None,) * (12 - len(row)))
    columns: tuple[str, ...] = ("category", "operation", "pairs in the paper", "pairs here", "pairs used", "k")
    columns += (f"heads from {THRESHOLD}", f"suppressors from {THRESHOLD}", "largest score", "head")
    columns += ("largest suppression", "suppressor")
    title = "Predefined operations in the weights"
    return Findings(
        "static",
        EXPERIMENTS["static"].title,
        (Table("static", title, columns, tuple(rows)),),
        missing={found.name: _too_few(found.pairs_used) for found in static.operations if not found.valid},
        scores=tuple(static.operations),
    )


def _implementing(scores: Sequence[Sequence[float]]) -> int:
    return sum(value >= THRESHOLD for row in scores for value in row)


def _strongest(scores: Sequence[Sequence[float]]) -> tuple[float, str | None]:
    value, head = max((value, HeadId(layer, i)) for layer, row in enumerate(scores) for i, value in enumerate(row))
    return value, str(head) if value > 0 else None


def _correlated(subject: Subject, multi_token: bool) -> list[Correlation]:
    return correlate(
        subject.catalogue,
        subject.model,
        operations=subject.operations,
        profile=PAPER_PROFILE,
        multi_token=multi_token,
        reading=subject.reading,
        device=subject.device,
        dtype=subject.dtype,
        progress=subject.progress,
    ).correlations


def _correlation(subject: Subject, static: RelationsResult) -> Findings:
    found = _correlated(subject, multi_token=False)
    columns = ("category", "operation", "r without context", "r with context", "p without context", "p with context")
    tables: list[Table] = []
    figures: dict[str, float | None] = {}
    for side in ("relation", "suppression"):
        of_side = [row for row in found if row.side == side]
        rows = tuple(
            (
                row.category,
                row.operation,
                row.of_source.r,
                row.in_context.r,
                row.of_source.p,
                row.in_context.p,
                row.largest,
                row.pairs,
                row.k,
            )
            for row in of_side
        )
        headings = (*columns, f"largest {side} score", "pairs", "k")
        title = f"Static against dynamic {side} scores"
        tables.append(Table(f"correlation-{side}", title, headings, (*rows, _medians(rows))))
        figures |= {
            f"{side} without context": _median(row.of_source.r for row in of_side),
            f"{side} with context": _median(row.in_context.r for row in of_side),
        }
    missing = {row.name: _too_few(row.pairs_used) for row in static.operations if not row.valid}
    return Findings("correlation", EXPERIMENTS["correlation"].title, tuple(tables), figures, missing)


def _median(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _medians(rows: Sequence[tuple[Cell, ...]]) -> tuple[Cell, ...]:
    """The last row of a table of correlations."""
    columns = [[cell for cell in column if isinstance(cell, float)] for column in list(zip(*rows, strict=True))[2:4]]
    found = [statistics.median(column) if column else None for column in columns] or [None, None]
    return ("", "median", *found, None, None, None, None, None)


def _causal(subject: Subject, static: RelationsResult) -> Findings:
    result = ablate(
        subject.catalogue,
        subject.model,
        operations=subject.operations,
        tasks=subject.tasks,
        profile=PAPER_PROFILE,
        reading=subject.reading,
        device=subject.device,
        dtype=subject.dtype,
        progress=subject.progress,
    )
    from describe.inference import ROW_RULES

    columns: tuple[str, ...] = ("operation", "heads removed", "base", "-TR", "-RND", "sd of -RND", "control tasks")
    columns += ("CTR base", "CTR -TR", "controls", "prompts")
    tables: list[Table] = []
    capitals = None
    for rule, words in ((name, rule.words) for name, rule in ROW_RULES.items()):
        rows = ablation_rows(result.ablations, rule)
        by_name = {row["operation"]: row for row in rows}
        if rule == PAPER_PROFILE.row and CAPITALS in by_name:
            capitals = by_name[CAPITALS]
        cells: tuple[tuple[Cell, ...], ...] = tuple(
            (
                *(row[name] for name in ("operation", "heads", "base", "targeted", "random", "random_sd")),
                len(result.ablations[row["operation"]].controls),
                *(row[name] for name in ("control_base", "control", "controls", "prompts")),
            )
            for row in rows
        )
        name = "causal" if rule == PAPER_PROFILE.row else f"causal-{rule}"
        tables.append(Table(name, f"Accuracy without heads; row: {words}", columns, cells))
    names = {"capitals, base": "base", "capitals, heads removed": "heads", "capitals, after": "targeted"}
    figures = {name: None if capitals is None else float(capitals[key]) for name, key in names.items()}
    title = EXPERIMENTS["causal"].title
    return Findings("causal", title, tuple(tables), figures, result.not_testable, ablations=result.ablations)


def _multi_token(subject: Subject, static: RelationsResult) -> Findings:
    found = [row for row in _correlated(subject, multi_token=True) if row.side == "relation"]
    by_part = {part: {row.operation: row for row in found if row.sources == part} for part in ("single", "multi")}
    rows: list[tuple[Cell, ...]] = []
    missing = {row.name: _too_few(row.pairs_used) for row in static.operations if not row.valid}
    for name, single in by_part["single"].items():
        several = by_part["multi"].get(name)
        if several is None:
            missing[name] = f"under {MIN_PAIRS} of its pairs have a source of several tokens and a target of one"
            continue
        numbers = (single.of_source.r, several.of_source.r, single.in_context.r, several.in_context.r)
        rows.append((single.category, name, *numbers, single.pairs, several.pairs))
    columns: tuple[str, ...] = ("category", "operation", "r without context, single", "r without context, multi")
    columns += ("r with context, single", "r with context, multi", "pairs, single", "pairs, multi")
    title = f"Sources of several tokens, in '{PAPER_PROFILE.multi_template}'"
    table = Table("multi-token", title, columns, tuple(rows))
    figures = {
        f"multi-token {kind} context": _median(getattr(row, of).r for row in by_part["multi"].values())
        for kind, of in (("without", "of_source"), ("with", "in_context"))
    }
    return Findings("multi-token", EXPERIMENTS["multi-token"].title, (table,), figures, missing)


def _known(subject: Subject, static: RelationsResult) -> Findings:
    from describe.operations import analysis

    found = analysis.known_heads_found(static.model, analysis.scores_table(static.operations), THRESHOLD)
    columns: tuple[str, ...] = ("head", "role", "operation", "by", "value", "found", "source")
    rows = tuple(
        (r.head, r.role or "not listed", r.operation, r.by, float(r.value), "yes" if r.found else "no", r.citation)
        for r in found.itertuples()
    )
    missing = {} if rows else {"all of it": "no paper that we know of has named heads of this model"}
    tables = (Table("known", "Heads that papers named", columns, rows),) if rows else ()
    return Findings("known", EXPERIMENTS["known"].title, tables, missing=missing)


def _universality(subject: Subject, static: RelationsResult) -> Findings:
    title = EXPERIMENTS["universality"].title
    if not any(found.valid for found in static.operations):
        return Findings("universality", title, missing={"all of it": "no operation is valid for this model"})
    others = [
        (info, scores)
        for info in subject.catalogue.models()
        if info.content_hash != static.model.content_hash
        and (scores := known_scores(subject.catalogue, info, PAPER_PROFILE, subject.reading, subject.operations))
    ]
    compared_to = comparison([(static.model, static.operations), *sorted(others, key=lambda one: one[0].name)])
    names = [str(name) for name in compared_to.universality.columns if name not in ("operation", "in_every_model")]
    rows = tuple(
        (row["operation"], *(_whole(row[name]) for name in names), "yes" if row["in_every_model"] else "no")
        for row in compared_to.universality.to_dict("records")
    )
    columns: tuple[str, ...] = ("operation", *(f"heads of {name}" for name in names), "in every model")
    tables = [Table("universality", "Heads that implement each operation", columns, rows)]
    shared = [
        (name, b.within, b.between, b.difference, b.p_value, *b.pairs)
        for name, b in compared_to.gqa.items()
        if b is not None
    ]
    missing = {} if others else {"other models": "the catalogue has scores of this model alone"}
    if shared:
        columns = ("model", "same group", "other groups", "difference", "p", "pairs within", "pairs between")
        tables.append(Table("gqa", "Heads that share a value matrix (cosine of scores)", columns, tuple(shared)))
    else:
        missing["grouped queries"] = "heads share no value matrix, or too few of them have scores"
    return Findings("universality", title, tuple(tables), missing=missing, comparison=compared_to)


def _whole(value: object) -> Cell:
    return int(value) if isinstance(value, int) or str(value).isdigit() else None  # type: ignore[call-overload]


def _descriptions(subject: Subject, static: RelationsResult) -> Findings:
    result = describe(
        subject.catalogue,
        subject.model,
        subject.llm,
        request=subject.request,
        reading="paper",
        placebos=subject.placebos,
        device=subject.device,
        progress=subject.progress,
    )
    told = subject.catalogue.scores.descriptions(result.extraction_id)
    own = [one for one in told if one.labeller_id == result.labeller_id]
    layers = static.model.n_layers
    thirds = [range(i * layers // 3, (i + 1) * layers // 3) for i in range(3)]
    rows = [_described("all heads", own)]
    rows += [
        _described(f"layers {third[0]}-{third[-1]}", [one for one in own if one.head.layer in third])
        for third in thirds
        if third
    ]
    for kind, extraction_id in subject.catalogue.placebos.of(result.extraction_id).items():
        theirs = subject.catalogue.scores.descriptions(extraction_id)
        of_kind = [one for one in theirs if one.labeller_id == result.labeller_id]
        rows.append(_described(f"placebos: {KINDS.get(kind, kind)}", of_kind))
    columns: tuple[str, ...] = ("heads", "number", "described", "unclear", "failed", "share described")
    table = Table("descriptions", f"Heads described by {subject.llm}", columns, tuple(rows))
    missing = {} if result.stopped is None else {"some heads": result.stopped}
    return Findings("descriptions", EXPERIMENTS["descriptions"].title, (table,), missing=missing)


def _described(what: str, told: Sequence[Told]) -> tuple[Cell, ...]:
    described, failed = sum(one.answers for one in told), sum(one.failure is not None for one in told)
    return what, len(told), described, len(told) - described - failed, failed, described / len(told) if told else None


EXPERIMENTS = {
    "static": _Experiment("Operations in the weights", _scores),
    "correlation": _Experiment("Static scores against what heads write", _correlation),
    "causal": _Experiment("What is lost with the heads", _causal),
    "multi-token": _Experiment("Sources of several tokens", _multi_token),
    "known": _Experiment("Heads that papers named", _known),
    "universality": _Experiment("Between models, and between heads of a group", _universality),
    "descriptions": _Experiment("Heads in words", _descriptions),
}
"""By the names that ``--experiments`` takes, in the paper's order."""


# -- against the published figures ------------------------------------------------------------------------------------


def compared(model: ModelInfo, found: Sequence[Findings]) -> Table | None:
    """Published figures of this model, ours and the difference; None for a model that the paper does not have."""
    printed = published(model)
    if printed is None:
        return None
    ours = {name: value for findings in found for name, value in findings.figures.items()}
    rows = tuple(
        (name, value, ours.get(name), _difference(ours.get(name), value)) for name, value in _printed(printed).items()
    )
    return Table("published", f"{printed.name}: as published", ("figure", "published", "ours", "difference"), rows)


def _difference(ours: float | None, theirs: float) -> float | None:
    return None if ours is None else ours - theirs


def _printed(of: Published) -> dict[str, float]:
    """The published figures by our names."""
    named = {"relation": of.relation, "suppression": of.suppression, "multi-token": of.multi_token}
    found = {f"{name} {kind} context": value for name, both in named.items() for kind, value in both.items()}
    if of.capitals is not None:
        found |= {} if of.capitals.before is None else {"capitals, base": of.capitals.before}
        found |= {"capitals, heads removed": float(of.capitals.heads), "capitals, after": of.capitals.after}
    return found
