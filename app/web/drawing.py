"""Untrusted text as HTML: tokens, descriptions, people's words. Everything is escaped here, and nothing interpreted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from html import escape
from importlib import resources

import streamlit as st
from markupsafe import Markup

from annotations.records import Row
from app.front_door.door import KEYS_SCRIPT
from describe.text import visible

__all__ = [
    "description",
    "keys_script",
    "mapping_table",
    "notice",
    "page_style",
    "paragraphs",
    "prose",
    "said",
    "table",
    "token",
    "words_and_name",
]

_MARKS = {" ": ("␣", "space"), "\n": ("↵", "newline"), "\r": ("␍", "return"), "\t": ("⇥", "tab")}
_ORDINALS = ("1st", "2nd", "3rd")

LONGEST_UNBROKEN = 32
"""Characters of a token that is shown on one line, whatever the width."""

_QUOTATION = re.compile("(" + "|".join(f"{a}[^{b}\\n]{{1,{LONGEST_UNBROKEN}}}{b}" for a, b in ('""', "“”", "``")) + ")")


def token(text: str) -> str:
    """A token with its spaces and newlines marked, other invisible characters as escapes, its direction kept inside."""
    long = " hs-long" if len(text) > LONGEST_UNBROKEN else ""
    return f'<bdi class="hs-token{long}">{"".join(_char(char) for char in text)}</bdi>'


def mapping_table(rows: Sequence[Row], caption: str) -> str:
    """The table of an item: a row per source token, its targets strongest first. Scrolls in itself, by keyboard too."""
    return _mapping_table(tuple(rows), caption)


@lru_cache(maxsize=256)
def _mapping_table(rows: tuple[Row, ...], caption: str) -> str:
    most = max((len(row.targets) for row in rows), default=0)
    heads = "".join(f'<th scope="col">{_ordinal(number)}</th>' for number in range(1, most + 1))
    body = "".join(
        f'<tr><th scope="row">{token(row.source)}</th>'
        + "".join(f"<td>{token(target)}</td>" for target in row.targets)
        + "<td></td>" * (most - len(row.targets))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="hs-scroll" role="region" aria-label="{escape(caption)}" tabindex="0"><table class="hs-mapping">'
        f"<caption>{escape(caption)}</caption><thead><tr>"
        f'<th scope="col">source</th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def description(inputs: str, pattern: str, unclear: bool) -> str:
    """A description as raters judge it."""
    if unclear:
        parts = [("The description", "Unclear: no pattern that could be described.")]
    else:
        shared = "Unclear: nothing is named that they have in common." if inputs.strip() == "Unclear" else inputs
        parts = [("The inputs are", shared), ("What happens to them", pattern)]
    told = "".join(
        f'<dt>{name}</dt><dd class="hs-told"><bdi>{_quoting(text)}</bdi></dd>' for name, text in parts if text
    )
    return f'<dl class="hs-description" tabindex="0">{told}</dl>'


def said(presence: str, own_words: str | None) -> str:
    """A rater's judgement of the table."""
    words = f" “<bdi>{_plain(own_words)}</bdi>”" if own_words else ""
    return f'<p class="hs-said">You said of the table: pattern <b>{escape(presence)}</b>.{words}</p>'


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), *, lines: bool = False
) -> str:
    """A table of words and numbers; the first cell of a row is its heading. ``lines``: each row is one line.

    A cell of ours that holds links is `Markup`; all else is escaped.
    """
    align = ['class="hs-number"' if column in numbers else "" for column in range(len(headings))]
    head = "".join(f'<th scope="col" {how}>{_plain(text)}</th>' for text, how in zip(headings, align, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row" {how}>{_plain(cell)}</th>' if column == 0 else f"<td {how}>{_plain(cell)}</td>"
            for column, (cell, how) in enumerate(zip(row, align, strict=True))
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="hs-wide{" hs-lines" if lines else ""}" tabindex="0"><table class="hs-plain">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def paragraphs(lines: Sequence[str]) -> str:
    """Words of ours or others', a paragraph each."""
    return '<div class="hs-words">' + "".join(f"<p>{_plain(line)}</p>" for line in lines) + "</div>"


def words_and_name(words: str, name: str) -> str:
    """A name that others gave, after a word of ours."""
    label = f'<span class="hs-label">{escape(words)}</span> ' if words else ""
    return f'<p class="hs-name">{label}<bdi>{_plain(name)}</bdi></p>'


def notice(text: str, kind: str = "note") -> None:
    """Say something: a ``note``, that it went ``well``, or ``bad``."""
    role = "alert" if kind == "bad" else "status"
    st.html(f'<p class="hs-notice hs-{kind}" role="{role}">{_plain(text)}</p>')


def page_style() -> None:
    """The app's style sheet."""
    st.html(f"<style>{_css()}</style>")


def keys_script() -> None:
    """Load the keys that Streamlit has none for, from a file of ours: no text of others is in this part of the page."""
    base = str(st.get_option("server.baseUrlPath")).strip("/")
    source = f"/{base}{KEYS_SCRIPT}" if base else KEYS_SCRIPT
    st.html(f'<script src="{escape(source)}"></script>', unsafe_allow_javascript=True)


@cache
def _css() -> str:
    return (resources.files("app.web") / "page.css").read_text(encoding="utf-8")


def _char(char: str) -> str:
    if char in _MARKS:
        mark, name = _MARKS[char]
        return f'<span class="hs-mark" role="img" aria-label="{name}">{mark}</span>'
    shown = char if char == "\\" else visible(char)
    return escape(char) if shown == char else f'<span class="hs-mark">{escape(shown)}</span>'


def prose(text: object, longest: int = 10_000) -> str:
    """Somebody's words as HTML, cut where they are endless, with a note."""
    whole = str(text)
    note = f' <span class="hs-mark">… {len(whole):,} characters</span>' if len(whole) > longest else ""
    return _plain(whole[:longest]) + note


def _plain(text: object) -> str:
    if isinstance(text, Markup):
        return str(text)
    return escape("".join(char if char in "\\\n" else visible(char) for char in str(text)))


def _quoting(text: str) -> str:
    """Words of others in which a short quotation stays on one line: it is a token, and its spaces are part of it."""
    parts = _QUOTATION.split(text)  # every other one is a quotation
    return "".join(
        f'<span class="hs-quoted">{_plain(part)}</span>' if place % 2 else _plain(part)
        for place, part in enumerate(parts)
    )


def _ordinal(number: int) -> str:
    return _ORDINALS[number - 1] if number <= len(_ORDINALS) else f"{number}th"
