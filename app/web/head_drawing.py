"""A head's record as HTML. Everything in it is somebody else's text: escaped, and cut where it is endless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from app.web.drawing import prose, token
from describe.records import THRESHOLD

__all__ = ["cards", "checked", "claims", "hit", "implemented", "mapping", "near", "nested", "operations", "roles"]

Record = Mapping[str, Any]

LONGEST_TOKEN, LONGEST_TEXT, MOST_ROWS = 60, 1500, 100
"""Characters of a token and of a text, and rows of a table, that are shown; the download has all."""


def mapping(rows: Sequence[Record], way: str, caption: str) -> str:
    """Mapping rows: source token, saliency with a bar, and the tokens of this way, ``targets`` or ``suppressed``."""
    most = max((row["saliency"] for row in rows), default=0.0)
    logits = [abs(target["logit"]) for row in rows for target in row[way]]
    strongest = max(logits, default=0.0)
    body = "".join(
        f'<tr><th scope="row" title="token {row["token_id"]}">{_token(row["token"])}</th>'
        f'<td class="hs-number">{_bar(row["saliency"], most)}</td><td>'
        + "".join(_chip(target, strongest) for target in row[way])
        + "</td></tr>"
        for row in rows[:MOST_ROWS]
    )
    named = "promotes" if way == "targets" else "suppresses"
    return _region(
        caption,
        f'<table class="hs-mapping hs-rows"><caption>{escape(caption)}</caption><thead><tr><th scope="col">source</th>'
        f'<th scope="col">saliency</th><th scope="col">{named}, strongest first</th></tr></thead>'
        f"<tbody>{body}</tbody></table>{_more(len(rows), 'rows')}",
    )


def cards(descriptions: Sequence[Record], ratings: Sequence[Record]) -> str:
    """Descriptions side by side, each with its scores and what raters said."""
    return '<div class="hs-cards">' + "".join(_card(one, _fit(one, ratings)) for one in descriptions[:40]) + "</div>"


def claims(evidence: Sequence[Record]) -> str:
    """What is above chance, how far and how surely."""
    rows = [
        (
            prose(found["kind"], 40),
            prose(found["wording"], 300),
            f"{found['count']} of {found['rows']}",
            f"{found['expected']:.1%}",
            f"{found['effect']:.2f}",
            f"{found['q_value']:.0e}",
            prose(", ".join(example[:100] for example in found["examples"][:3]), 300),
        )
        for found in evidence
    ]
    return _table(("about", "claim", "count", "by chance", "effect h", "q", "examples"), rows, range(2, 6))


def roles(record: Record) -> str:
    """What each group of a head's rows does, with its share of the saliency and what is above chance in it."""
    rows = [
        (
            f"<b>{role['role']}</b>",
            prose(role["sign"], 40),
            _bar(role["share"], 1.0),
            str(len(role["rows"])),
            "".join(
                f'<span class="hs-chip">{_token(record["salient"][place]["token"])}</span>'
                for place in role["rows"][:8]
            ),
            prose("; ".join(found["wording"] for found in role["evidence"][:3]), 300),
        )
        for role in record["roles"]
    ]
    return _table(("role", "it", "share of saliency", "rows", "such as", "evidence"), rows, (2, 3))


def implemented(relations: Mapping[str, Record]) -> dict[str, Record]:
    """The operations that a head implements or suppresses, the strongest first."""
    strong = {name: found for name, found in relations.items() if _strength(found) >= THRESHOLD}
    return dict(sorted(strong.items(), key=lambda one: -_strength(one[1])))


def operations(relations: Mapping[str, Record]) -> str:
    """Operations with their scores, and what running the model showed where it was run."""
    rows = []
    for name, found in sorted(relations.items(), key=lambda one: -_strength(one[1])):
        inference = [_pair(found["inference"], "score")] if "inference" in found else [""]
        removed = found.get("ablation")
        said = f"no. {removed['removed_as']}: {removed['base']:.2f} → {removed['targeted']:.2f}" if removed else ""
        rows.append((prose(name, 120), _bar(found["score"], 1.0), _bar(found["suppression"], 1.0), *inference, said))
    headings = ("operation", "relation score", "suppression", "in prompts", "accuracy when removed")
    used = [n for n in range(5) if n < 3 or any(row[n] for row in rows)]
    return _table([headings[n] for n in used], [[row[n] for n in used] for row in rows], (1, 2))


def checked(inference: Record) -> str:
    """How many of a head's own mappings it writes when the model runs."""
    shares = f"{inference['of_source']:.0%} without context, {inference['in_context']:.0%} with context"
    return f'<p class="hs-words">In prompts it writes so many of its salient mappings: {shares}.</p>'


def near(head: Record, model: str | None) -> str:
    """Beside a link to a head that is alike: how much, what both have, and what is said of it."""
    other = f" <bdi>{prose(model, 80)}</bdi>" if model else ""
    said = f'<p class="hs-told">{_role(head)}{prose(head["pattern"], 160)}</p>' if head["pattern"] else ""
    return f'<div class="hs-near"><b>{head["similarity"]:.0%}</b>{other} {_terms(head["shared"])}{said}</div>'


def hit(head: Record, texts: Iterable[Iterable[tuple[str, bool]]]) -> str:
    """Beside a link to a head that was found: its description with what was searched for marked, and the tokens."""
    by = f" · <bdi>{prose(head['llm'], 60)}</bdi> {_role(head)}" if head["llm"] else ""
    told = "".join(f'<p class="hs-told">{_marked(pieces)}</p>' for pieces in texts)
    tokens = f"<p>tokens {_terms(head['tokens'])}</p>" if head["tokens"] else ""
    return f'<div class="hs-near"><bdi>{prose(head["model"], 80)}</bdi>{by}{told}{tokens}</div>'


def _role(told: Record) -> str:
    return f'<b class="hs-role">role {told["role"]}</b>' if told["role"] else ""


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


def _card(told: Record, fit: Record | None) -> str:
    state = "failed" if told["failure"] else "unclear" if told["unclear"] else "described"
    texts: list[tuple[str, Any]] = [("cause", told["failure"]), ("detail", told["detail"])]
    if state == "described":
        texts = [("pattern", told["pattern"]), ("inputs", told["inputs"])]
    elif state == "unclear":
        texts = [("", "No pattern that could be described.")]
    lines = "".join(
        f'<p class="hs-told">{f"<span>{name}</span> " if name else ""}<bdi>{prose(text, LONGEST_TEXT)}</bdi></p>'
        for name, text in texts
        if text
    )
    reasoning = told["reasoning"]
    if reasoning:
        lines += f"<details><summary>reasoning</summary><p><bdi>{prose(reasoning, LONGEST_TEXT)}</bdi></p></details>"
    return (
        f'<section class="hs-card hs-{state}"><h4>{_role(told)}<bdi>{prose(told["llm"], 80)}</bdi>'
        f" <small><bdi>{prose(told['prompt'], 60)}</bdi></small><i>{state}</i></h4>{lines}"
        f"{_scores(told['scores'])}{_judgements(fit)}</section>"
    )


def _scores(scores: Mapping[str, Mapping[str, Record]]) -> str:
    """Each measure by each judge, with its interval and the level that a wrong description reaches."""
    rows = []
    for measure, judges in scores.items():
        for judge, found in judges.items():
            value = "failed" if found["value"] is None else f"{found['value']:.2f}"
            low, high = found.get("low"), found.get("high")
            interval = f"{low:.2f} to {high:.2f}" if low is not None and high is not None else ""
            placebo = "not run" if found.get("placebo") is None else f"{found['placebo']:.2f}"
            rows.append((prose(measure, 40), f"<bdi>{prose(judge, 60)}</bdi>", value, interval, placebo))
    if not rows:
        return '<p class="hs-said">Not scored yet.</p>'
    return _table(("score", "judge", "value", "95 % interval", "placebo"), rows, (2,))


def _fit(told: Record, ratings: Sequence[Record]) -> Record | None:
    """What raters said of this very text."""
    source = {told["llm"], f"{told['llm']} {told['prompt']}"}
    shown = {name: told[name] or "" for name in ("inputs", "pattern")}
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


def _pair(found: Record, name: str) -> str:
    return " / ".join(f"{found[kind][name]:.2f}" for kind in ("of_source", "in_context"))


def _strength(found: Record) -> float:
    return float(max(found["score"], found["suppression"]))


def _chip(target: Record, strongest: float) -> str:
    share = 100 * abs(target["logit"]) / strongest if strongest else 0
    told = f"logit {target['logit']:.3g}, token {target['token_id']}"
    return f'<span class="hs-chip" style="--share:{share:.0f}%" title="{told}">{_token(target["token"])}</span>'


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
