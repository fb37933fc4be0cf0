"""Tables of results as files: CSV for programs and spreadsheets, LaTeX for papers; and numbers as people read them."""

from __future__ import annotations

from typing import Any

from describe.text import no_formula, spaced, visible

__all__ = ["cell", "change", "csv_table", "latex_table", "number", "p_value"]


def csv_table(rows: list[dict[str, Any]]) -> str:
    """Rows of plain values as CSV, in full precision; no cell is a spreadsheet's formula."""
    import pandas as pd

    guarded = [{name: no_formula(value) for name, value in row.items()} for row in rows]
    return str(pd.DataFrame(guarded, dtype=object).to_csv(index=False, lineterminator="\n"))


def latex_table(rows: list[dict[str, Any]]) -> str:
    """Rows of plain values as a LaTeX table with the rules of booktabs; text is escaped, numbers have two decimals."""
    import pandas as pd

    plain = [{spaced(name): cell(value, name) for name, value in row.items()} for row in rows]
    table = str(pd.DataFrame(plain).to_latex(index=False, escape=True, na_rep=""))
    return table.replace("<", "$<$").replace(">", "$>$")


def number(value: float | None) -> str:
    """A score or share; nothing where there is none."""
    return "" if value is None or value != value else f"{value:.2f}"


def p_value(value: float | None) -> str:
    """A p-value's order; the smallest come to 0 in double precision."""
    return "" if value is None else "<1e-300" if value < 1e-300 else f"{value:.0e}"


def _is_p_value(column: str) -> bool:
    """By its name: ``p``, ``p_of_something`` or ``p of something``."""
    return column == "p" or column.startswith(("p_", "p "))


def change(value: float | None, by: float | None) -> str:
    """A number, and by which share it changed."""
    return number(value) + ("" if by is None else f" ({by:+.0%})")


def cell(value: Any, column: str) -> str:
    """A cell as people read it: a fraction with two decimals, or the order of what is smaller; nothing of None."""
    if value is None:
        return ""
    if value == 0 and _is_p_value(column):
        return p_value(value)
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= 0.005 or value == 0 else f"{value:.0e}"
    return visible(spaced(value)) if isinstance(value, str) else str(value)
