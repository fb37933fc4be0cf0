"""The questions of both stages, drawn with their keys. What is chosen but not saved is a draft of this browser tab."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import streamlit as st

from annotations.records import LONGEST_TEXT, StageA, StageB
from app.web.drawing import notice

__all__ = ["ALL_KEYS", "ask_a", "ask_b", "forget", "keys_line", "mistaken_keys"]


@dataclass(frozen=True)
class Question:
    """A question with its answers and the key of each; C, R, ? and / cannot be keys in Streamlit."""

    name: str
    words: str
    keys: dict[str, str]
    optional: bool = False


class Draft(NamedTuple):
    """What stands on the page: answers chosen by question, and the text that was typed."""

    chosen: dict[str, str | None]
    text: str | None


PRESENCE = Question("presence", "Is there a pattern in the table?", {"clear": "1", "weak": "2", "none": "3"})
FIT = Question("fit", "Does the description fit?", {"fits": "1", "partly": "2", "does not fit": "3", "can't tell": "4"})
COVERAGE = Question("coverage", "How many rows does it cover?", {"none": "5", "few": "6", "most": "7", "all": "8"})
SCOPE = Question("scope", "Is it …", {"too broad": "B", "too narrow": "N", "right": "M"}, optional=True)

SAVE, UNDO, PAUSE, GUIDE = "S", "U", "P", "G"
ALL_KEYS = {SAVE: "save and go on", UNDO: "back to the last", PAUSE: "pause", GUIDE: "guideline"}
"""The keys that are the same in both stages of an item."""


def ask_a(name: str, save: str = "Save and go on") -> StageA | None:
    """Ask about the table alone; the answer when it was complete and saving was asked for.

    ``name`` goes into the key of every widget: a key pressed for another item can then mean nothing here.
    """
    draft = _ask(name, (PRESENCE,), "The pattern in your own words", {})
    if not _complete(name, draft, (PRESENCE,), save):
        return None
    return StageA(draft.chosen["presence"] or "", draft.text)


def ask_b(name: str, unclear: bool, before: StageB | None = None, save: str = "Save and go on") -> StageB | None:
    """Ask about the description, as `ask_a`; ``before`` is what was answered and is revised."""
    old = {question.name: getattr(before, question.name, None) for question in (FIT, COVERAGE, SCOPE)}
    asked = (FIT,) if unclear else (FIT, COVERAGE, SCOPE)
    draft = _ask(name, asked, "Comment", old, before.comment if before else None)
    needed = (FIT,) if unclear or draft.chosen["fit"] == "can't tell" else (FIT, COVERAGE)
    if not _complete(name, draft, needed, save):
        return None
    return StageB(draft.chosen["fit"] or "", draft.chosen.get("coverage"), draft.chosen.get("scope"), draft.text)


def forget(name: str) -> None:
    """Drop the drafts of an item that was saved."""
    for key in [key for key in st.session_state if str(key).startswith(f"{name}-")]:
        del st.session_state[key]


def keys_line(stage: str, unclear: bool = False, others: dict[str, str] | None = None) -> None:
    """Show all keys: those of a stage (``""``: of none) and ``others``, by default `ALL_KEYS`."""
    asked = {"a": (PRESENCE,), "b": (FIT,) if unclear else (FIT, COVERAGE, SCOPE)}.get(stage, ())
    pairs = [(key, answer) for question in asked for answer, key in question.keys.items()]
    pairs += (ALL_KEYS if others is None else others).items()
    told = " · ".join(f"<kbd>{key}</kbd> {escape(words)}" for key, words in pairs)
    st.html(f'<p class="hs-keys">Keys: {told}{" · <kbd>Tab</kbd> next field" if asked else ""}</p>')


def mistaken_keys() -> list[str]:
    """Keys that stand for two things at once in a stage; there must be none."""
    stages = ([*PRESENCE.keys.values()], [key for q in (FIT, COVERAGE, SCOPE) for key in q.keys.values()])
    both = [[*keys, *ALL_KEYS] for keys in stages]
    return [key for keys in both for key in keys if keys.count(key) > 1 or key in "CR?/"]


def _ask(
    name: str, asked: tuple[Question, ...], text: str, before: dict[str, str | None], written: str | None = None
) -> Draft:
    chosen = {question.name: _choose(name, question, before.get(question.name)) for question in asked}
    typed = st.text_input(
        f"{text} (optional)", value=written or "", key=f"{name}-text", max_chars=LONGEST_TEXT, autocomplete="off"
    )
    return Draft(chosen, typed.strip() or None)


def _choose(name: str, question: Question, before: str | None) -> str | None:
    key = f"{name}-{question.name}"
    chosen: str | None = st.session_state.setdefault(key, before)
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
            )
    return chosen


def _pick(key: str, answer: str, optional: bool) -> None:
    again = optional and st.session_state.get(key) == answer
    st.session_state[key] = None if again else answer


def _complete(name: str, draft: Draft, needed: tuple[Question, ...], save: str) -> bool:
    """Draw the button that saves; whether it was pressed and everything needed was answered."""
    if not st.button(save, key=f"{name}-save", shortcut=SAVE, type="primary"):
        return False
    open_ = next((question for question in needed if draft.chosen[question.name] is None), None)
    if open_ is not None:
        notice(f"Not saved yet. {open_.words}", "bad")
    return open_ is None
