"""A report in words and tables, in the order it is read; every written form draws the same sections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from annotations.report.figures import OWN_OR_UNCLEAR, REAL_ITEMS, SWAPPED
from annotations.report.frame import CONTROLS, OWN
from annotations.report.records import Counts, Figure, Report
from annotations.report.sample import DETECTION
from annotations.report.words import interval, method_words, number, planned_words, shown

__all__ = ["PARTS", "Section", "Table", "sections"]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings; the columns ``numbers`` are numbers, the others words."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: range = range(0)


@dataclass(frozen=True, slots=True)
class Section:
    """A title, what the reader must know, tables, and the names of its charts in `annotations.report.charts`."""

    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[str, ...] = ()


PARTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "plausibility": (
        "Plausibility",
        'Strict: the share of answers "fits". Lenient: "fits" or "partly". "Can\'t tell" is in the'
        ' denominator of both. Own descriptions leave out those that say "Unclear"; these stand in rows of'
        " their own. Wilson's interval takes all answers for independent, which answers of one rater or about"
        " one head are not, and is therefore too narrow; the bootstrap's is the one to quote.",
        ("plausibility",),
    ),
    "difference": (
        "Own descriptions minus controls",
        "Percentage points. A control shows the same kind of table with a description that should not fit;"
        ' raters who say "fits" to anything score 0 here.',
        (),
    ),
    "detection": (
        "Telling own descriptions from controls",
        'd\' = z(share of "fits" on own descriptions) - z(share of "fits" on controls), with the log-linear'
        " correction; 0 is chance, and how readily a rater says yes is taken out. Its value shrinks towards 0"
        " for raters with few items.",
        ("detection",),
    ),
    "presence": (
        "Patterns seen by people, and the describer's abstention",
        "Stage A, on real items, before any description was shown; against what the describer said of that head.",
        ("confusion",),
    ),
    "layer": (
        "By layer",
        "Own descriptions, by thirds of the model's layers up to the highest that was rated.",
        ("layer",),
    ),
    "source": (
        "By source of the description",
        "Own descriptions. statistics is the baseline without an LLM; differences are in percentage points.",
        (),
    ),
    "calibration": (
        "Automatic scores against people",
        "Own descriptions that have an automatic score: the one shown first when the study was made (the score), and"
        " those known by now, by each measure and judge. AUROC: the chance that one said to fit has a higher score than"
        " one that is not, 0.5 where the score says nothing of what people will say. Ratings shuffled: the same after"
        " the ratings were dealt out anew among the descriptions; within that interval, a score tells no more than"
        " luck. All measures together: ranked by a regression on other heads alone. Then the share said to fit by the"
        " height of the score, in bins of about as many descriptions each: a score is calibrated in so far as these"
        " rise with it.",
        ("calibration",),
    ),
    "agreement": (
        "Agreement between raters",
        "Raw: the share of pairs of raters who agree. Alpha (Krippendorff) and AC1 (Gwet) take out what chance"
        " would give, each by its own idea of chance: where nearly all answers are the same, alpha falls towards"
        " 0 while raters agree, and AC1 does not. Read the three together. Real items: own descriptions,"
        ' "Unclear" included; all items: controls too, catch items not. Counted are items with two raters or more.'
        " Intervals resample heads only, since a rater drawn twice would agree with themselves.",
        (),
    ),
    "repeats": (
        "Repeated items",
        "Items that the same rater met twice, far apart: the share answered the same both times.",
        (),
    ),
    "time": ("Time", "Active seconds per item, catch items and repeats included.", ("times",)),
}
"""Part of the figures -> title, what to know, charts."""

EXCLUDED_TOO = "Of raters whom the rules exclude: there are no others."
"""Said in every section where the rules exclude everybody."""

_KINDS = {"real": OWN_OR_UNCLEAR, "catch": "catch item"} | CONTROLS


def sections(report: Report) -> Iterator[Section]:
    """The report's sections, from what matters first to how it was made."""
    yield Section("In short", tuple(_in_short(report)))
    marked = (EXCLUDED_TOO,) if report.nobody_left else ()
    yield _design(report)
    for part, (title, words, charts) in PARTS.items():
        tables = [_figures([figure for figure in report.figures if figure.part == part])]
        if part == "presence":
            tables.insert(0, _counts(report.confusion, "people saw"))
        if part == "detection":
            tables.append(_detection(report))
        yield Section(title, (*marked, words), tuple(table for table in tables if table.rows), charts)
    yield Section(
        "All answers",
        marked or ("First answers of the raters who are kept, by kind of item.",),
        tuple(_counts(counts, counts.title) for counts in report.answers),
    )
    yield _raters(report)
    if report.figures_all:
        yield Section(
            "With the excluded raters",
            ("The same figures once without and once with the raters whom the rules exclude.",),
            (_both(report),),
        )
    yield Section("How the figures were made", tuple(method_words(report)))


def _in_short(report: Report) -> Iterator[str]:
    if report.nobody_left:
        yield (
            f"The rules exclude all {len(report.raters):,} raters (why: see Raters). The figures here are of all of"
            " them all the same, and rest on nobody whom the rules call careful."
        )
    strict, lenient = (report.figure("plausibility", grade, OWN) for grade in ("strict", "lenient"))
    yield planned_words(report)
    if strict and strict.value is not None and lenient:
        yield (
            f"Raters said that the head's own description fits in {shown(strict)} of {strict.n:,} answers; that it fits"
            f" at least in part in {shown(lenient)}."
        )
    else:
        yield "No answers on own descriptions yet: nothing can be said of their plausibility."
    for name in CONTROLS.values():
        found = report.figure("difference", "strict", f"own minus {name}")
        if found and found.value is not None:
            yield f'"Fits" on own descriptions minus "fits" on the control "{name}": {shown(found)}.'
        else:
            yield f'Not compared with the control "{name}": {found.note if found else "no answers"}.'
    found = report.figure("detection", DETECTION[1], f"own against {SWAPPED}")
    if found and found.value is not None and _never_apart(report):
        yield (
            'Raters said "fits" to own and to other heads\' descriptions equally often: nothing here shows that they'
            " told them apart. (The d' of few items is then off 0 by its correction alone.)"
        )
    elif found and found.value is not None:
        yield f"Raters told own descriptions from other heads' with a mean d' of {shown(found)}."
    seen = report.figure("presence", "clear or weak pattern seen", "Unclear")
    if seen and seen.value is not None:
        words = 'Where the describer said "Unclear", people saw a pattern all the same in'
        yield f"{words} {shown(seen)} of {seen.n:,} answers."
    agreed = [
        report.figure("agreement", name, f"fit, {REAL_ITEMS}") for name in ("raw agreement", "alpha, nominal", "AC1")
    ]
    if told := [f"{figure.name} {shown(figure)}" for figure in agreed if figure and figure.value is not None]:
        yield f"Agreement on fit: {'; '.join(told)}."
    yield "In brackets: 95 % intervals from the bootstrap, where no other method is named."


def _never_apart(report: Report) -> bool:
    """Whether the share of "fits" is exactly that of own descriptions on every kind of other heads' descriptions."""
    names = (f"own minus {CONTROLS[kind]}" for kind in ("swap_easy", "swap_hard"))
    found = [figure for name in names if (figure := report.figure("difference", "strict", name)) is not None]
    values = [figure.value for figure in found if figure.value is not None]
    return bool(values) and not any(values)


def _design(report: Report) -> Section:
    study = report.study
    facts = [
        ("study", study.name),
        ("models", ", ".join(study.models)),
        ("created (UTC)", study.created[:16].replace("T", " ")),
        ("seed of the sample", "" if study.seed is None else str(study.seed)),
        ("raters per item", "" if study.raters_per_item is None else str(study.raters_per_item)),
        ("raters", f"{len(report.raters):,}, {len(report.excluded):,} of them excluded by these rules"),
        ("headscribe at creation", study.version),
    ]
    rows = tuple((name, value or "not recorded") for name, value in facts)
    rules = [f"Rule of exclusion, fixed at creation: {rule}." for rule in report.rules]
    rules = rules or ["The study has no rules of exclusion."]
    gaps = [f"{gap}." for gap in report.gaps]
    return Section("The study", (*rules, *gaps), (Table(("", ""), rows), _counts(report.items, "kind of item")))


def _figures(figures: list[Figure]) -> Table:
    """A row a figure; columns for what any of them has."""
    methods = list(dict.fromkeys(found.method for figure in figures for found in figure.intervals))
    noted = any(figure.note for figure in figures)
    counted = "items" if any(figure.part == "agreement" for figure in figures) else "answers"
    scored = any(figure.descriptions is not None for figure in figures)
    headings = ["", "of", "value", counted, *(["descriptions"] * scored)]
    headings += [f"95 % interval, {method}" for method in methods] + ["note"] * noted
    rows = []
    for figure in figures:
        count = f"{figure.hits:,} of {figure.n:,}" if figure.hits is not None else f"{figure.n:,}"
        value = number(figure.value, figure.unit) if figure.value is not None else "not computed"
        by_method = {found.method: interval(found, figure.unit) for found in figure.intervals}
        of = [("" if figure.descriptions is None else f"{figure.descriptions:,}")] * scored
        row = [figure.name, figure.group, value, count, *of, *(by_method.get(method, "") for method in methods)]
        rows.append((*row, *([figure.note] * noted)))
    return Table(tuple(headings), tuple(rows), range(2, 4 + scored + len(methods)))


def _detection(report: Report) -> Table:
    headings = ("rater", "d'", "95 % interval, normal", "criterion c", "answers", "note")
    rows = []
    for line in report.raters:
        figure = line.detection
        value = "not computed" if figure.value is None else number(figure.value, "d'")
        reach = interval(figure.intervals[0], "d'") if figure.intervals else ""
        criterion = "" if line.criterion is None else number(line.criterion, "d'")
        note = "; ".join(filter(None, ("excluded" if line.reasons else "", figure.note)))
        rows.append((line.rater, value, reach, criterion, f"{figure.n:,}", note))
    return Table(headings, tuple(rows), range(1, 5))


def _raters(report: Report) -> Section:
    headings = (
        "rater",
        "answers",
        "catch items failed",
        "repeats changed",
        "median seconds",
        "excluded because",
        "not applied",
    )
    rows = tuple(
        (
            line.rater,
            f"{line.answered:,}",
            f"{line.failed} of {line.catches}",
            f"{line.changed} of {line.repeats}",
            "not recorded" if line.seconds is None else f"{line.seconds:.1f}",
            "; ".join(line.reasons) or "kept",
            "; ".join(line.notes),
        )
        for line in report.raters
    )
    words = 'A catch item is failed by any answer but the expected one, "partly" and "can\'t tell" included.'
    return Section("Raters", (words,), (Table(headings, rows, range(1, 5)),) if rows else ())


def _both(report: Report) -> Table:
    rows = []
    for kept, everyone in _pairs(report):
        values = [shown(f) if f and f.value is not None else "not computed" for f in (kept, everyone)]
        rows.append((PARTS[everyone.part][0], everyone.name, everyone.group, *values))
    return Table(("section", "", "of", "without the excluded", "with them"), tuple(rows), range(3, 5))


def _pairs(report: Report) -> Iterator[tuple[Figure | None, Figure]]:
    for figure in report.figures_all:
        yield report.figure(figure.part, figure.name, figure.group), figure


def _counts(counts: Counts, corner: str) -> Table:
    rows = tuple(
        (_KINDS.get(name, name), *(f"{count:,}" for count in row))
        for name, row in zip(counts.rows, counts.cells, strict=True)
    )
    return Table((corner, *counts.columns), rows, range(1, 1 + len(counts.columns)))
