"""The questions of both stages, drawn with their keys. What is not saved is a draft, which outlives a reload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import streamlit as st

from annotations.records import LONGEST_TEXT, StageA, StageB
from app.web.drawing import notice
from app.web.guard import guarded
from app.web.guideline import GUIDE, behind
from app.web.shared import drafts

__all__ = ["ALL_KEYS", "Form", "answered_a", "answered_b", "draw", "forget", "form_a", "form_b"]
__all__ += ["form_screening", "keys_line", "mistaken_keys", "not_saved"]


@dataclass(frozen=True)
class Question:
    """A question with its answers and the key of each; C, R, ? and / cannot be keys in Streamlit."""

    name: str
    words: str
    keys: dict[str, str]
    optional: bool = False


PRESENCE = Question("presence", "Is there a pattern in the table?", {"clear": "1", "weak": "2", "none": "3"})
FIT = Question("fit", "Does the description fit?", {"fits": "1", "partly": "2", "does not fit": "3", "can't tell": "4"})
NO_PATTERN = Question("fit", "The description says that there is no pattern. Does that fit?", FIT.keys)
COVERAGE = Question("coverage", "How many rows does it cover?", {"none": "5", "few": "6", "most": "7", "all": "8"})
SCOPE = Question("scope", "Is it …", {"too broad": "B", "too narrow": "N", "right": "M"}, optional=True)

SAVE, UNDO, PAUSE = "S", "U", "P"
ALL_KEYS = {SAVE: "save and go on", UNDO: "back to the last", PAUSE: "pause", GUIDE: "guideline"}
"""The keys that are the same in both stages of an item."""


@dataclass(frozen=True)
class Form:
    """The questions of one stage of one item.

    Attributes:
        name: goes into the key of every widget: a key pressed for another item can then mean nothing here.
        asked: the questions.
        text: the words before the field for free text.
        before: what was answered and is revised.
    """

    name: str
    asked: tuple[Question, ...]
    text: str
    before: StageB | None = None


def form_a(name: str) -> Form:
    """The questions about the table alone."""
    return Form(name, (PRESENCE,), "The pattern in your own words")


def form_b(name: str, unclear: bool, before: StageB | None = None) -> Form:
    """The questions about the description; of one that is an abstention, only whether that fits."""
    return Form(name, (NO_PATTERN,) if unclear else (FIT, COVERAGE, SCOPE), "Comment", before)


def form_screening(name: str) -> Form:
    """The question about an item of the check before the items."""
    return Form(name, (FIT,), "Comment")


def draw(form: Form, save: str, on_save: Callable[..., None], *args: Any) -> None:
    """Draw the questions, and the button that has ``on_save(*args)`` called before the page is drawn again."""
    _questions(form)
    off = behind()
    st.button(
        save, key=f"{form.name}-save", shortcut=SAVE, type="primary", on_click=_ask, args=(on_save, *args), disabled=off
    )


def answered_a(form: Form) -> StageA | None:
    """The answers on the page; None, which the page will say, when an answer is missing."""
    return StageA(_chosen(form, PRESENCE) or "", _text(form)) if _complete(form, (PRESENCE,)) else None


def answered_b(form: Form) -> StageB | None:
    """The answers on the page, as `answered_a`."""
    fit_alone = COVERAGE not in form.asked or _chosen(form, FIT) == "can't tell"
    if not _complete(form, form.asked[:1] if fit_alone else (FIT, COVERAGE)):
        return None
    return StageB(_chosen(form, FIT) or "", _chosen(form, COVERAGE), _chosen(form, SCOPE), _text(form))


def not_saved(form: Form, why: str) -> None:
    """Have the page say, until something else is chosen, that an answer was not saved. What was entered stays."""
    st.session_state[f"{form.name}-trouble"] = f"Not saved yet. {why}"


def forget(name: str) -> None:
    """Drop the drafts of an item that was saved."""
    for key in [key for key in st.session_state if str(key).startswith(f"{name}-")]:
        del st.session_state[key]
    drafts().drop(f"{name}-")


def _ask(on_save: Callable[..., None], *args: object) -> None:
    if not behind():
        on_save(*args)


def keys_line(form: Form | None = None, others: dict[str, str] | None = None) -> None:
    """Show all keys: those of a form and ``others``, by default `ALL_KEYS`."""
    pairs = [(key, answer) for question in (form.asked if form else ()) for answer, key in question.keys.items()]
    pairs += (ALL_KEYS if others is None else others).items()
    told = " · ".join(f"<kbd>{key}</kbd> {escape(words)}" for key, words in pairs)
    fields = " · <kbd>Enter</kbd> or <kbd>Esc</kbd> out of the text · <kbd>↑</kbd> <kbd>↓</kbd> the table's rows"
    st.html(f'<p class="hs-keys">Keys: {told}{fields if form else ""}</p>')


def mistaken_keys() -> list[str]:
    """Keys that stand for two things at once in a stage; there must be none."""
    stages = ([*PRESENCE.keys.values()], [key for q in (FIT, COVERAGE, SCOPE) for key in q.keys.values()])
    both = [[*keys, *ALL_KEYS] for keys in stages]
    return [key for keys in both for key in keys if keys.count(key) > 1 or key in "CR?/"]


@st.fragment
def _questions(form: Form) -> None:
    """The part of the page that is drawn again when an answer is chosen: no database is asked, nothing else changes."""
    with guarded():
        for question in form.asked:
            _choose(form, question)
        _write(form)
        trouble = st.session_state.pop(f"{form.name}-trouble", None)
        if trouble is not None:
            notice(trouble, "bad")


def _write(form: Form) -> None:
    key = f"{form.name}-text"
    if key not in st.session_state:
        st.session_state[key] = drafts().get(key, (form.before and form.before.comment) or "")
    st.text_input(
        f"{form.text} (optional)",
        key=key,
        max_chars=LONGEST_TEXT,
        autocomplete="off",
        live="700ms",
        on_change=_wrote,
        args=(key,),
        disabled=behind(),
    )


def _wrote(key: str) -> None:
    if key in st.session_state:  # not of an item that was saved meanwhile
        drafts().keep(key, st.session_state[key])


def _choose(form: Form, question: Question) -> None:
    key = f"{form.name}-{question.name}"
    if key not in st.session_state:
        st.session_state[key] = drafts().get(key, getattr(form.before, question.name, None))
    chosen: str | None = st.session_state[key]
    optional = " <small>(optional)</small>" if question.optional else ""
    st.html(f'<p class="hs-question">{escape(question.words)}{optional}</p>')
    with st.container(horizontal=True, gap="small"):
        for answer, shortcut in question.keys.items():
            st.button(
                f"✓ {answer}" if answer == chosen else answer,
                key=f"{key}-{answer}",
                shortcut=shortcut,
                type="primary" if answer == chosen else "secondary",
                on_click=_pick,
                args=(key, answer, question.optional),
                disabled=behind(),
            )


def _pick(key: str, answer: str, optional: bool) -> None:
    if behind():
        return
    again = optional and st.session_state.get(key) == answer
    st.session_state[key] = None if again else answer
    drafts().keep(key, st.session_state[key])


def _chosen(form: Form, question: Question) -> str | None:
    found: str | None = st.session_state.get(f"{form.name}-{question.name}")
    return found


def _text(form: Form) -> str | None:
    return str(st.session_state.get(f"{form.name}-text") or "").strip() or None


def _complete(form: Form, needed: tuple[Question, ...]) -> bool:
    open_ = next((question for question in needed if _chosen(form, question) is None), None)
    if open_ is not None:
        not_saved(form, open_.words)
    return open_ is None
