"""Steps of a rater before the first item: what it is about, consent, practice with feedback."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from annotations.about import ABOUT
from annotations.material import practice_items, screening_items
from annotations.pace import pace
from annotations.rating import PASSED
from annotations.records import PracticeItem, Rater, StageA, StageB, Study
from app.web.drawing import description, mapping_table, notice, paragraphs, said
from app.web.guideline import GUIDE, behind, guideline
from app.web.questions import (
    SAVE,
    Form,
    answered_a,
    answered_b,
    draw,
    forget,
    form_a,
    form_b,
    form_screening,
    keys_line,
)
from app.web.shared import catalogue, desk, drafts
from app.web.submissions import done, submission
from app.web.waiting import at_desk

__all__ = ["AGREE", "about_rater", "consent", "practice", "screening", "what_it_is_about"]

AGREE = "I have read this, and agree to take part"

ASK_THE_SENDER = "whoever sent you the link"

_ANSWERS = "answers"
_PRESSED = "pressed"


@dataclass(frozen=True, slots=True)
class Practised:
    """The answers of a rater to a practice item so far."""

    a: StageA | None = None
    b: StageB | None = None

    @property
    def stages(self) -> int:
        """How many of the two stages are answered."""
        return (self.a is not None) + (self.b is not None)


def what_it_is_about(study: Study, items: int) -> None:
    """The task of a rater, in words that are explained, how long it takes, whom to ask, what is kept."""
    st.title("Judging descriptions")
    minutes = pace(catalogue()).minutes(items)
    facts = [
        f"You are asked to judge {items:,} tables, one after the other, after a few to practise on.",
        f"That takes about {minutes:,} minutes in all. You can stop after each table and go on later.",
        f"Questions? Ask {study.settings.get('contact') or ASK_THE_SENDER}.",
    ]
    with st.container(width=720):
        st.subheader("Before you begin")
        st.html(paragraphs(facts))
        st.subheader("What to do")
        st.markdown(study.guideline)
        st.subheader("What you agree to")
        st.markdown(study.consent)


def consent(rater: Rater, study: Study) -> None:
    """The texts that a rater agrees to; nothing else is shown before."""
    what_it_is_about(study, desk().progress(rater.id).total)
    agreed = st.button(AGREE, key="consent", shortcut=SAVE, type="primary")
    if agreed and at_desk(desk().consent, rater.id, submission("consent")) is not None:
        done("consent")
        st.rerun()
    keys_line(others={SAVE: "agree and begin"})


def about_rater(rater: Rater) -> None:
    """The questions about the rater; each may be left open."""
    st.title("About you")
    told: dict[str, str] = {}
    with st.container(width=720):
        notice("These help to read the answers. They are kept under your pseudonym. Leave open what you like.")
        for name, asked in ABOUT.items():
            answer = st.radio(asked.words, asked.answers, index=None, key=f"about-{rater.id}-{name}", horizontal=True)
            told |= {name: answer} if answer else {}
    pressed = st.button("Go on", key="about", shortcut=SAVE, type="primary")
    if pressed and at_desk(desk().tell_about, rater.id, submission("about"), told) is not None:
        done("about")
        st.rerun()
    keys_line(others={SAVE: "go on"})


def screening(rater: Rater, attempt: int, number: int) -> None:
    """One item of the check before the items: no feedback, and a second try for who needs it."""
    items, name = screening_items()[attempt - 1], f"screening-{rater.id}-{attempt}-{number}"
    form = form_screening(name)
    pressed = st.session_state.pop(f"{name}-{_PRESSED}", None)
    answer = None if pressed is None else answered_b(form)
    if answer is not None:
        saved = at_desk(desk().screen, rater.id, submission(name), (attempt, number), answer)
        if saved is not None:
            done(name)
            forget(name)
            st.rerun()
    words = f"Check {number + 1} of {len(items)}, try {attempt} of {len(screening_items())}"
    st.progress(number / len(items), f"{words}: {PASSED} right ones let you in")
    if attempt > 1 and not number:
        notice("Some of these were not right. Read the guideline again, then try once more with others.", "bad")
    left, right = st.columns([5, 3], gap="medium")
    left.html(mapping_table(items[number].rows, "Table of this item of the check"))
    with right, st.container(gap="xsmall"):
        st.html(description(items[number].inputs, items[number].pattern, False))
        draw(form, "Answer", _press, name, 0)
        guideline(rater)
        keys_line(form, {SAVE: "answer", GUIDE: "guideline"})


def practice(rater: Rater, number: int) -> None:
    """One practice item: table, feedback and description, feedback. It is kept when the rater goes on."""
    item, name = practice_items()[number], f"practice-{rater.id}-{number}"
    forms = (form_a(f"{name}-a"), form_b(f"{name}-b", _unclear(item)))
    so_far = _practised(name, forms)
    of_all = len(practice_items())
    st.progress((number + so_far.stages / 3) / of_all, f"Practice {number + 1} of {of_all}")
    left, right = st.columns([5, 3], gap="medium")
    left.html(mapping_table(item.rows, "Table of this practice item"))
    with right, st.container(gap="xsmall"):
        if so_far.a is not None:
            _feedback(so_far.a.presence in item.presence, item.feedback_a)
            st.html(description(item.inputs, item.pattern, _unclear(item)))
        if so_far.a is None or so_far.b is None:
            if so_far.a is not None:
                st.html(said(so_far.a.presence, so_far.a.own_words))
            form = forms[so_far.stages]
            draw(form, "Compare", _press, name, so_far.stages)
            guideline(rater)
            keys_line(form, {SAVE: "compare", GUIDE: "guideline"})
        else:
            _feedback(so_far.b.fit in item.fit, item.feedback_b)
            _go_on(rater, number, name, so_far.a, so_far.b)


def _practised(name: str, forms: tuple[Form, Form]) -> Practised:
    """The answers to an item, with the one by the key that was pressed just now."""
    so_far = drafts().get(f"{name}-{_ANSWERS}", Practised())
    if st.session_state.pop(f"{name}-{_PRESSED}", None) != so_far.stages:
        return so_far
    a = so_far.a
    so_far = Practised(answered_a(forms[0])) if a is None else Practised(a, answered_b(forms[1]))
    drafts().keep(f"{name}-{_ANSWERS}", so_far)
    return so_far


def _go_on(rater: Rater, number: int, name: str, a: StageA, b: StageB) -> None:
    words = "Go on" if number + 1 == len(practice_items()) else "Next practice item"
    go = st.button(words, key=f"{name}-go", shortcut=SAVE, type="primary", disabled=behind())
    guideline(rater)
    saved = go and not behind() and at_desk(desk().practise, rater.id, submission(name), number, a, b) is not None
    if saved:
        done(name)
        forget(name)
        st.rerun()
    keys_line(others={SAVE: words[0].lower() + words[1:], GUIDE: "guideline"})


def _press(name: str, stage: int) -> None:
    st.session_state[f"{name}-{_PRESSED}"] = stage


def _feedback(right: bool, words: str) -> None:
    notice(words if right else f"We see it otherwise. {words}", "well" if right else "note")


def _unclear(item: PracticeItem) -> bool:
    return item.inputs == item.pattern == "Unclear"
