"""How a report says numbers, intervals and how they were made."""

from __future__ import annotations

from collections.abc import Iterator

from annotations.report.records import Figure, Report, Unit
from annotations.report.sample import BOOTSTRAP
from annotations.statistics import Interval

__all__ = ["FEW_RATERS", "interval", "method_words", "number", "planned_words", "shown"]

FEW_RATERS = 5
"""Below, the bootstrap is too narrow where raters differ much (docs/study-report.md has the measurements)."""

_SCALES: dict[Unit, tuple[float, str, str]] = {
    "share": (100, "{:.1f}", " %"),
    "points": (100, "{:+.1f}", " points"),
    "d'": (1, "{:.2f}", ""),
    "coefficient": (1, "{:.2f}", ""),
    "seconds": (1, "{:.1f}", " s"),
}


def number(value: float, unit: Unit) -> str:
    """A value in its unit: ``73.4 %``, ``+12.0 points``, ``0.54``."""
    factor, form, unit_words = _SCALES[unit]
    return _bare(value * factor, form) + unit_words


def interval(found: Interval, unit: Unit) -> str:
    """Both ends in the unit of the value: ``65.4 to 80.5 %``."""
    factor, form, unit_words = _SCALES[unit]
    return f"{_bare(found.low * factor, form)} to {_bare(found.high * factor, form)}{unit_words}"


def shown(figure: Figure) -> str:
    """A figure's value with the interval to quote, the last it has, named if no bootstrap; the value must be there."""
    value = number(figure.value or 0.0, figure.unit)
    if not figure.intervals:
        return value
    quoted = figure.intervals[-1]
    method = "" if quoted.method.startswith(BOOTSTRAP) else f", {quoted.method}"
    return f"{value} ({interval(quoted, figure.unit)}{method})"


def _bare(value: float, form: str) -> str:
    """No minus before a zero."""
    text = form.format(value)
    return text.replace("-", "", 1) if not float(text) else text


def planned_words(report: Report) -> str:
    """One sentence on how many answered how much, and who is left out."""
    answered = sum(line.answered for line in report.raters)
    items = sum(row[1] for row in report.items.cells)
    out = len(report.excluded)
    left_out = f"{out:,} excluded by the rules fixed at creation" if out else "nobody excluded"
    return f"{len(report.raters):,} raters gave {answered:,} answers on {items:,} items; {left_out}."


def method_words(report: Report) -> Iterator[str]:
    """Everything needed to make the figures again."""
    kept = len(report.raters) - (0 if report.nobody_left else len(report.excluded))
    yield (
        f"Intervals are of 95 %. {BOOTSTRAP.capitalize()}: {report.draws:,} draws, seed {report.seed}; heads and"
        " raters are drawn with replacement, independently (pigeonhole bootstrap, Owen 2007), and the interval"
        " is the middle 95 % of the draws. All items about one head are drawn together. Where neither heads nor"
        " raters differ, it is wider than it need be."
    )
    if kept < 2:
        yield "With one rater, only heads are drawn: the intervals say nothing about other raters."
    elif kept < FEW_RATERS:
        yield (
            f"With {kept} raters the bootstrap knows little of how raters differ: where they differ much, its"
            " intervals are too narrow, and what the study says of other raters is uncertain beyond them."
        )
    yield (
        "Wilson: the score interval of a share of independent answers. Normal: d' plus and minus 1.96 standard"
        " errors by Gourevitch and Galanter (1967). No interval is corrected for the number of figures on this"
        " page."
    )
    yield (
        "Figures use first answers in their newest revision. Catch items count only towards exclusion and time;"
        ' controls and own descriptions that say "Unclear" only where they are named.'
    )
    yield f"Made {report.made} (UTC) by headscribe {report.version}. Every figure is explained in docs/study-report.md."
