"""Steps of a rater before the first item: consent, guideline, practice with feedback."""

from __future__ import annotations

from typing import Any

import streamlit as st

from annotations.material import practice_items
from annotations.records import PracticeItem, Rater, Study
from app.web.drawing import description, mapping_table, notice, said
from app.web.questions import SAVE, Form, answered_a, answered_b, draw, forget, form_a, form_b, keys_line
from app.web.shared import desk
from app.web.submissions import done, submission
from app.web.waiting import at_desk

__all__ = ["consent", "practice"]

COMPARE = {SAVE: "compare"}


def consent(rater: Rater, study: Study) -> None:
    """The texts that a rater agrees to; nothing else is shown before."""
    st.title("Judging descriptions")
    with st.container(width=720):
        st.subheader("Before you begin")
        st.markdown(study.consent)
        st.subheader("What to do")
        st.markdown(study.guideline)
    agreed = st.button("I have read this, and agree to take part", key="consent", shortcut=SAVE, type="primary")
    if agreed and at_desk(desk().consent, rater.id, submission("consent")) is not None:
        done("consent")
        st.rerun()
    keys_line(others={SAVE: "agree and begin"})


def practice(rater: Rater, number: int) -> None:
    """One practice item: table, feedback and description, feedback. It is kept when the rater goes on."""
    item, name = practice_items()[number], f"practice-{number}"
    answers: list[Any] = st.session_state.setdefault(f"{name}-answers", [])
    forms = (form_a(f"{name}-a"), form_b(f"{name}-b", _unclear(item)))
    if st.session_state.pop(f"{name}-pressed", None) == len(answers):
        answer = answered_b(forms[1]) if answers else answered_a(forms[0])
        answers += [answer] if answer else []
    st.progress(
        (number + len(answers) / 3) / len(practice_items()), f"Practice {number + 1} of {len(practice_items())}"
    )
    left, right = st.columns([5, 3], gap="medium")
    left.html(mapping_table(item.rows, "Table of this practice item"))
    with right, st.container(gap="xsmall"):
        if not answers:
            _ask(forms[0], name, 0)
            return
        _feedback(answers[0].presence in item.presence, item.feedback_a)
        st.html(description(item.inputs, item.pattern, _unclear(item)))
        if len(answers) == 1:
            st.html(said(answers[0].presence, answers[0].own_words))
            _ask(forms[1], name, 1)
            return
        _feedback(answers[1].fit in item.fit, item.feedback_b)
        last = number + 1 == len(practice_items())
        words = "Begin with the items" if last else "Next practice item"
        go = st.button(words, key=f"{name}-go", shortcut=SAVE, type="primary")
        if go and at_desk(desk().practise, rater.id, submission(name), number, *answers) is not None:
            done(name)
            forget(name)
            st.rerun()
        keys_line(others={SAVE: words[0].lower() + words[1:]})


def _ask(form: Form, name: str, stage: int) -> None:
    draw(form, "Compare", _press, name, stage)
    keys_line(form, COMPARE)


def _press(name: str, stage: int) -> None:
    st.session_state[f"{name}-pressed"] = stage


def _feedback(right: bool, words: str) -> None:
    notice(words if right else f"We see it otherwise. {words}", "well" if right else "note")


def _unclear(item: PracticeItem) -> bool:
    return item.inputs == item.pattern == "Unclear"
