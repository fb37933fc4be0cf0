"""A head's record as HTML. Everything in it is somebody else's text: escaped, and cut where it is endless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from app.web.drawing import prose, token
from describe.attention import MEANINGS, TEXTS
from describe.figures import PARTS, HeadFigure
from describe.head_record import (
    AttentionRecord,
    ContextRecord,
    DescriptionRecord,
    EvidenceRecord,
    HeadRecord,
    InferenceRecord,
    RelationRecord,
    State,
)
from describe.head_record.attention import PairRecord
from describe.mappings import ConstantPart, MappingRow, Target

__all__ = [
    "cards",
    "checked",
    "claims",
    "constant",
    "contexts",
    "hit",
    "looks",
    "mapping",
    "near",
    "nested",
    "operations",
    "roles",
    "token_pairs",
]

Record = Mapping[str, Any]

LONGEST_TOKEN, LONGEST_TEXT, MOST_ROWS = 60, 1500, 100
"""Characters of a token and of a text, and rows of a table, that are shown; the download has all."""


def mapping(rows: Sequence[MappingRow], caption: str, *, suppressed: bool = False, figure: str = "saliency") -> str:
    """Mapping rows: source token, the figure that orders them with a bar, and the tokens that it promotes, or
    suppresses."""
    figures = [getattr(row, figure) or 0.0 for row in rows]
    most = max(figures, default=0.0)
    targets = [row.suppressed if suppressed else row.targets for row in rows]
    strongest = max((abs(target.logit) for of_row in targets for target in of_row), default=0.0)
    body = "".join(
        f'<tr><th scope="row" title="token {row.token_id}">{_source(row)}</th>'
        f'<td class="hs-number">{_bar(value, most)}</td><td>'
        + "".join(_chip(target, strongest) for target in of_row)
        + "</td></tr>"
        for row, value, of_row in zip(rows[:MOST_ROWS], figures, targets, strict=False)
    )
    named = "suppresses" if suppressed else "promotes"
    return _region(
        caption,
        f'<table class="hs-mapping hs-rows"><caption>{escape(caption)}</caption><thead><tr><th scope="col">source</th>'
        f'<th scope="col">{figure}</th><th scope="col">{named}, strongest first</th></tr></thead>'
        f"<tbody>{body}</tbody></table>{_more(len(rows), 'rows')}",
    )


def constant(part: ConstantPart) -> str:
    """The tokens that a head promotes and suppresses whatever it reads."""
    strongest = max((abs(target.logit) for target in (*part.promoted, *part.suppressed)), default=0.0)
    up, down = ("".join(_chip(one, strongest) for one in some) for some in (part.promoted, part.suppressed))
    return (
        f'<p class="hs-words">Whatever it reads ({part.share:.0%} of what it writes) it promotes {up} and suppresses'
        f" {down}</p>"
    )


def cards(descriptions: Sequence[DescriptionRecord], ratings: Sequence[Record]) -> str:
    """Descriptions side by side, each with its scores and what raters said."""
    return '<div class="hs-cards">' + "".join(_card(one, _fit(one, ratings)) for one in descriptions[:40]) + "</div>"


def claims(evidence: Sequence[EvidenceRecord]) -> str:
    """Evidence above chance, how far and how surely."""
    rows = [
        (
            prose(found.kind, 40),
            prose(found.wording, 300),
            f"{found.count} of {found.rows}",
            f"{found.expected:.1%}",
            f"{found.effect:.2f}",
            f"{found.q_value:.0e}",
            prose(", ".join(example[:100] for example in found.examples[:3]), 300),
        )
        for found in evidence
    ]
    return _table(("about", "claim", "count", "by chance", "effect h", "q", "examples"), rows, range(2, 6))


def roles(head: HeadRecord) -> str:
    """The roles of a head's groups of rows, with its share of the saliency and what is above chance in it."""
    rows = [
        (
            f"<b>{role.role}</b>",
            prose(role.sign, 40),
            _bar(role.share, 1.0),
            str(len(role.rows)),
            "".join(f'<span class="hs-chip">{_token(head.salient[place].token)}</span>' for place in role.rows[:8]),
            prose(role.claims, 300),
        )
        for role in head.roles
    ]
    return _table(("role", "it", "share of saliency", "rows", "such as", "evidence"), rows, (2, 3))


def operations(relations: Mapping[str, RelationRecord]) -> str:
    """Operations with their scores, the strongest first, and what running the model showed where it was run."""
    rows = []
    for name, found in sorted(relations.items(), key=lambda one: -one[1].strength):
        run, removed = found.inference, found.ablation
        in_prompts = f"{run.of_source.score:.2f} / {run.in_context.score:.2f}" if run else ""
        said = f"no. {removed.removed_as}: {removed.base:.2f} → {removed.targeted:.2f}" if removed else ""
        rows.append((prose(name, 120), _bar(found.score, 1.0), _bar(found.suppression, 1.0), in_prompts, said))
    headings = ("operation", "relation score", "suppression", "in prompts", "accuracy when removed")
    used = [n for n in range(5) if n < 3 or any(row[n] for row in rows)]
    return _table([headings[n] for n in used], [[row[n] for n in used] for row in rows], (1, 2))


def contexts(found: Sequence[ContextRecord]) -> str:
    """Places from which a head looks: tokens shaded by how much of its attention they get, the token that it looks from
    framed; below each the same in words, for who sees no shades."""
    places = "".join(f"<li>{_context(one)}</li>" for one in found)
    return f'<ol class="hs-contexts" tabindex="0" aria-label="Places from which the head looks">{places}</ol>'


def _context(one: ContextRecord) -> str:
    pieces = []
    for place, (text, share) in enumerate(zip(one.tokens, one.shades, strict=True)):
        framed = " hs-query" if place == one.query else ""
        shaded = f'<span class="hs-shade{framed}" style="--share:{share:.0%}">{_token(text)}</span>'
        pieces.append((" … " if place == one.cut else "") + shaded)
    where = "one of its strongest" if one.tenth == 0 else f"tenth {one.tenth} of 10 by strength"
    about = prose(f"{one.told} ({where}{', ' + one.text if one.text else ''})", 300)
    return f'<p class="hs-shaded" aria-hidden="true">{"".join(pieces)}</p><p class="hs-said">{about}</p>'


def looks(attention: AttentionRecord) -> str:
    """The figures of where a head looks, text by text, with the spread over documents and the uniform head's."""
    text, others = attention.figures.get("text", {}), TEXTS[1:]
    rows = [
        (
            prose(MEANINGS.get(name, name), 120),
            _figure(figure.mean),
            _figure(figure.sd),
            _figure(figure.uniform),
            *(_figure(attention.mean(name, other)) for other in others),
        )
        for name, figure in text.items()
    ]
    headings = ("attention to", "on text", "spread", "uniform head", *(f"on {other}" for other in others))
    return _table(headings, rows, range(1, len(headings)))


def token_pairs(pairs: Sequence[PairRecord]) -> str:
    """The pairs of tokens that a head connects most strongly."""
    rows = [(_token(p.source), _token(p.target), _bar(p.attention, 1.0), str(p.count)) for p in pairs[:20]]
    return _table(("from", "at", "attention", "times"), rows, (2, 3))


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def checked(inference: InferenceRecord) -> str:
    """How many of a head's own mappings it writes when the model runs."""
    return f'<p class="hs-words">In prompts it writes so many of its salient mappings: {inference.text}.</p>'


def figure(found: HeadFigure) -> str:
    """How much of a head's mappings relates or copies words, and what stands out."""
    rows = [
        (escape(words.does), f"{part.share:.2f} of {words.units}", f"{part.most:.2f}", f"{part.q_value:.0e}")
        for name, words in PARTS.items()
        for part in [getattr(found, name)]
    ]
    headings = ("it", "share", f"of {found.random} random heads at most", "q")
    return f'<p class="hs-words">{escape(found.words)}.</p>{_table(headings, rows, (1, 2, 3))}'


def near(head: Record, model: str | None) -> str:
    """Beside a link to a head that is alike: how much, what both have, and what is said of it."""
    other = f" <bdi>{prose(model, 80)}</bdi>" if model else ""
    said = f'<p class="hs-told">{_role(head["role"])}{prose(head["pattern"], 160)}</p>' if head["pattern"] else ""
    return f'<div class="hs-near"><b>{head["similarity"]:.0%}</b>{other} {_terms(head["shared"])}{said}</div>'


def hit(head: Record, texts: Iterable[Iterable[tuple[str, bool]]]) -> str:
    """Beside a link to a head that was found: its description with what was searched for marked, and the tokens."""
    by = f" · <bdi>{prose(head['llm'], 60)}</bdi> {_role(head['role'])}" if head["llm"] else ""
    told = "".join(f'<p class="hs-told">{_marked(pieces)}</p>' for pieces in texts)
    tokens = f"<p>tokens {_terms(head['tokens'])}</p>" if head["tokens"] else ""
    tokens += f"<p>attends {_terms(head['kinds'])}</p>" if head["kinds"] else ""
    return f'<div class="hs-near"><bdi>{prose(head["model"], 80)}</bdi>{by}{told}{tokens}</div>'


def _role(number: int | None) -> str:
    return f'<b class="hs-role">role {number}</b>' if number else ""


def _marked(pieces: Iterable[tuple[str, bool]]) -> str:
    inside = (f"<mark>{prose(text)}</mark>" if marked else prose(text) for text, marked in pieces)
    return f"<bdi>{''.join(inside)}</bdi>"


def _terms(terms: Sequence[str]) -> str:
    return "".join(f'<span class="hs-chip">{prose(term, 60)}</span>' for term in terms[:8])


def nested(value: Any, depth: int = 0) -> str:
    """Provenance, whatever its form."""
    if isinstance(value, Mapping) and depth < 6:
        pairs = "".join(
            f"<dt>{prose(name, 120)}</dt><dd>{nested(inner, depth + 1)}</dd>"
            for name, inner in list(value.items())[:100]
        )
        return f'<dl class="hs-nested">{pairs}</dl>'
    return f"<bdi>{prose(value, 400)}</bdi>"


def _card(told: DescriptionRecord, fit: Record | None) -> str:
    texts: dict[State, list[tuple[str, str | None]]] = {
        "failed": [("cause", told.failure), ("detail", told.detail)],
        "described": [("pattern", told.pattern), ("inputs", told.inputs)],
        "unclear": [("", "No pattern that could be described.")],
    }
    lines = "".join(
        f'<p class="hs-told">{f"<span>{name}</span> " if name else ""}<bdi>{prose(text, LONGEST_TEXT)}</bdi></p>'
        for name, text in texts[told.state]
        if text
    )
    lines += "".join(f'<p class="hs-said"><bdi>{prose(line, LONGEST_TEXT)}</bdi></p>' for line in told.grouped)
    if told.reasoning:
        reasoning = prose(told.reasoning, LONGEST_TEXT)
        lines += f"<details><summary>reasoning</summary><p><bdi>{reasoning}</bdi></p></details>"
    return (
        f'<section class="hs-card hs-{told.state}"><h4>{_role(told.role)}<bdi>{prose(told.llm, 80)}</bdi>'
        f" <small><bdi>{prose(told.prompt, 60)}</bdi></small><i>{told.state}</i></h4>{lines}"
        f"{_scores(told)}{_judgements(fit)}</section>"
    )


def _scores(told: DescriptionRecord) -> str:
    """Each measure by each judge, with its interval and the level that a wrong description reaches."""
    rows = [
        (prose(measure, 40), f"<bdi>{prose(judge, 60)}</bdi>", score.figure, score.interval, score.levels)
        for measure, judges in told.scores.items()
        for judge, score in judges.items()
    ]
    if not rows:
        return '<p class="hs-said">Not scored yet.</p>'
    return _table(("score", "judge", "value", "95 % interval", "wrong description"), rows, (2,))


def _fit(told: DescriptionRecord, ratings: Sequence[Record]) -> Record | None:
    """Raters' judgements of this very text."""
    source = {told.llm, f"{told.llm} {told.prompt}"}
    shown = {"inputs": told.inputs or "", "pattern": told.pattern or ""}
    for one in ratings:
        if one["source"] in source and shown == {name: one[name] or "" for name in shown}:
            fit: Record = one["fit"]
            return fit
    return None


def _judgements(fit: Record | None) -> str:
    if fit is None:
        return ""
    said = ", ".join(f"{number} {words}" for words, number in fit.items() if number)
    return f'<p class="hs-said">Raters: {escape(said)}.</p>'


def _source(row: MappingRow) -> str:
    """A source token, and the variants of its word that the row stands for too."""
    return _token(row.token) + "".join(f" <small>{_token(other)}</small>" for other in row.variants[:4])


def _chip(target: Target, strongest: float) -> str:
    share = 100 * abs(target.logit) / strongest if strongest else 0
    outstanding = "" if target.z is None else f", z {target.z:.3g}"
    told = f"logit {target.logit:.3g}{outstanding}, token {target.token_id}"
    return f'<span class="hs-chip" style="--share:{share:.0f}%" title="{told}">{_token(target.token)}</span>'


def _bar(value: float, most: float) -> str:
    share = min(100.0, 100 * abs(value) / most) if most else 0
    return f'<span class="hs-bar" style="--share:{share:.0f}%">{value:.2f}</span>'


def _token(text: str) -> str:
    if len(text) <= LONGEST_TOKEN:
        return token(text)
    return f'{token(text[:LONGEST_TOKEN])}<span class="hs-mark">… {len(text):,} characters</span>'


def _region(name: str, inside: str) -> str:
    return f'<div class="hs-wide" role="region" aria-label="{escape(name)}" tabindex="0">{inside}</div>'


def _more(number: int, what: str) -> str:
    return f'<p class="hs-said">{number:,} {what} in all: the download has them.</p>' if number > MOST_ROWS else ""


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Iterable[int]) -> str:
    """Cells are HTML already."""
    align = ['class="hs-number"' if column in set(numbers) else "" for column in range(len(headings))]
    head = "".join(f'<th scope="col" {how}>{escape(text)}</th>' for text, how in zip(headings, align, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td {how}>{cell}</td>" for cell, how in zip(row, align, strict=True)) + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    table = f'<table class="hs-plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return _region(headings[0], table + _more(len(rows), "rows"))
