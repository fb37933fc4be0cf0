"""A model at a glance as one page: HTML with a picture, for an appendix, or Markdown."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from describe.head_record.glance import Glance, KindShare, Strongest
from describe.kinds import CardKind
from describe.text import markdown, printable, visible
from describe.versions import headscribe_version

__all__ = ["COLOURS", "as_html", "as_markdown", "as_svg"]

COLOURS: dict[CardKind, str] = {
    "relates": "#2f6fb7",
    "copies": "#1f9d8a",
    "suppresses": "#c8472f",
    "induction": "#7a3fb0",
    "duplicate-token": "#b05fd0",
    "previous-token": "#d07fb0",
    "first-token sink": "#b7a98c",
    "delimiter": "#8f8f3a",
    "local": "#d9a441",
    "broad": "#e6c98a",
    "content": "#8db5a0",
    "supported": "#5b8fd6",
    "said": "#b9c9e0",
    "unclear": "#d5d8dc",
    "not looked at": "#eceef0",
}
"""Of kinds of headline; `page.css` has the same."""

STYLE = """body { font: 14px/1.5 system-ui, sans-serif; max-width: 900px; margin: 24px auto; }
body { padding: 0 16px; color: #1c2127; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 3px 12px 3px 0; vertical-align: top; }
tr + tr > * { border-top: 1px solid #e3e5e8; } .n { text-align: right; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; } .swatch { display: inline-block; width: 10px; height: 10px; margin-right: 6px; }
.muted { color: #59636e; font-size: 13px; } h2 { font-size: 17px; margin: 22px 0 4px; }"""


WIDTH, ROW, LEGEND = 760, 14, 5
"""Of the picture, of a layer in it, and how many kinds stand side by side below."""


def as_html(found: Glance) -> str:
    """The page: everything within, no script, nothing from outside; every name escaped."""
    name = escape(visible(found.model.name))
    rows = "".join(
        f'<tr><td><span class="swatch" style="background:{COLOURS[one.kind]}"></span>{escape(one.kind)}</td>'
        f'<td>{escape(one.words)}</td><td class="n">{one.count}</td><td class="n">{_share(one.count, found)}</td>'
        f"<td>{_layers(one)}</td></tr>"
        for one in found.kinds
    )
    named = "".join(
        f"<h3>{escape(one.kind)}</h3><table>"
        + "".join(
            f"<tr><th>{escape(head.head)}</th><td>{escape(visible(head.headline))}"
            f'<br><span class="muted">{escape(visible(head.basis))}</span></td></tr>'
            for head in one.strongest
        )
        + "</table>"
        for one in found.kinds
        if one.strongest
    )
    facts = "".join(f"<li>{escape(line)}</li>" for line in (*found.levels, *_unknown(found)))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}: attention heads at a glance</title>'
        f"<style>{STYLE}</style></head><body><h1>{name}: attention heads at a glance</h1>"
        f'<p class="muted">{_facts(found, escape)}</p>{as_svg(found)}'
        "<h2>What share of heads does what</h2><table><tr><th>kind</th><th>what it is</th><th>heads</th><th>share</th>"
        f"<th>layers</th></tr>{rows}</table><h2>Levels, and what is unknown</h2><ul>{facts}</ul>"
        f"<h2>The strongest of each kind</h2>{named}"
        f'<p class="muted">Made by headscribe {escape(headscribe_version())}.</p></body></html>\n'
    )


def as_markdown(found: Glance, picture: str | None = None) -> str:
    """The page in Markdown; ``picture``: where `as_svg` is kept, to be shown."""
    name = markdown(visible(found.model.name))
    lines = [f"# {name}: attention heads at a glance", "", _facts(found, markdown), ""]
    if picture is not None:
        lines += [f"![Kinds of heads, a bar for each layer](<{picture}>)", ""]
    lines += ["| kind | what it is | heads | share | layers |", "| --- | --- | ---: | ---: | --- |"]
    lines += [
        f"| {one.kind} | {one.words} | {one.count} | {_share(one.count, found)} | {_layers(one)} |"
        for one in found.kinds
    ]
    lines += ["", "| layer | " + " | ".join(one.kind for one in found.kinds) + " |"]
    lines += ["| ---: " * (1 + len(found.kinds)) + "|"]
    for layer in range(found.model.n_layers):
        lines.append(f"| {layer} | " + " | ".join(str(one.layers[layer] or "") for one in found.kinds) + " |")
    lines += ["", *(f"- {markdown(printable(line))}" for line in (*found.levels, *_unknown(found)))]
    for one in found.kinds:
        if one.strongest:
            lines += ["", f"## {one.kind}", ""]
            lines += [f"- **{head.head}** {markdown(printable(_told(head)))}" for head in one.strongest]
    return "\n".join(lines) + "\n"


def as_svg(found: Glance) -> str:
    """The picture: a bar for each layer, in which each kind has the share of its heads; below, what colours mean."""
    bars = []
    for layer in range(found.model.n_layers):
        at = 40.0
        for one in found.kinds:
            width = (WIDTH - 40) * one.layers[layer] / found.model.n_heads
            if width:
                title = f"layer {layer}: {one.layers[layer]} {one.kind}"
                bars.append(
                    f'<rect x="{at:.1f}" y="{layer * ROW}" width="{width:.1f}" height="{ROW - 2}"'
                    f' fill="{COLOURS[one.kind]}"><title>{escape(title)}</title></rect>'
                )
            at += width
        bars.append(
            f'<text x="32" y="{layer * ROW + 10}" text-anchor="end" font-size="10" fill="#59636e">{layer}</text>'
        )
    legend, height = _legend(found, found.model.n_layers * ROW + 8)
    title = "<title>Kinds of heads, a bar for each layer; the table below has their numbers</title>"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" role="img">'
        f"{title}{''.join(bars)}{legend}</svg>"
    )


def _legend(found: Glance, top: int) -> tuple[str, int]:
    """The kinds by their colours, in rows below ``top``; and where they end."""
    entries = []
    for place, one in enumerate(found.kinds):
        x, y = 40 + place % LEGEND * (WIDTH - 40) // LEGEND, top + place // LEGEND * ROW
        entries.append(
            f'<rect x="{x}" y="{y}" width="10" height="10" fill="{COLOURS[one.kind]}"/>'
            f'<text x="{x + 14}" y="{y + 9}" font-size="10" fill="#59636e">{escape(one.kind)}: {one.count}</text>'
        )
    return "".join(entries), top + -(-len(found.kinds) // LEGEND) * ROW


def _facts(found: Glance, escaped: Callable[[str], str]) -> str:
    model, family = found.model, escaped(visible(found.model.family))
    return (
        f"{model.n_layers} layers of {model.n_heads} heads, family {family}; {found.heads} heads read by"
        f" {found.reading}; content SHA-256 {model.content_hash[:16]}…"
    )


def _told(head: Strongest) -> str:
    """The headline with its figure, which often begins with it."""
    return head.basis if head.basis.startswith(head.headline) else f"{head.headline}: {head.basis}"


def _unknown(found: Glance) -> list[str]:
    """Unknown heads, and contradictions, a sentence each."""
    told = [f"Of {found.unknown} heads nothing was found above chance, though it was looked for."]
    if found.not_looked_at:
        told.append(f"Of {found.not_looked_at} heads mappings alone are known.")
    return told + [f"{number} times {words}." for words, number in found.contradictions.items() if number]


def _share(count: int, found: Glance) -> str:
    return f"{count / found.heads:.1%}".replace("%", " %") if found.heads else ""


def _layers(one: KindShare) -> str:
    """The layers of a kind, from the first to the last, and the one that has most."""
    there = [layer for layer, count in enumerate(one.layers) if count]
    most = max(there, key=lambda layer: one.layers[layer])
    return f"{there[0]} to {there[-1]}, most in {most}" if len(there) > 1 else str(there[0])
