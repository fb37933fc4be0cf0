"""What a rater meets before the first item: consent, guideline, practice with feedback."""

from __future__ import annotations

import streamlit as st

from annotations.material import practice_items
from annotations.records import PracticeItem, Rater, StageA, Study
from app.web.drawing import description, mapping_table, notice, said
from app.web.questions import SAVE, ask_a, ask_b, forget, keys_line
from app.web.shared import desk
from app.web.submissions import done, submission

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
    if st.button("I have read this, and agree to take part", key="consent", shortcut=SAVE, type="primary"):
        desk().consent(rater.id, submission("consent"))
        done("consent")
        st.rerun()
    keys_line("", others={SAVE: "agree and begin"})


def practice(rater: Rater, number: int) -> None:
    """One practice item: table, feedback and description, feedback. It is kept when the rater goes on."""
    item, name = practice_items()[number], f"practice-{number}"
    answers = st.session_state.setdefault(f"{name}-answers", [])
    st.progress(
        (number + len(answers) / 3) / len(practice_items()), f"Practice {number + 1} of {len(practice_items())}"
    )
    left, right = st.columns([5, 3], gap="medium")
    left.html(mapping_table(item.rows, "Table of this practice item"))
    with right, st.container(gap="xsmall"):
        if not answers:
            answer = ask_a(f"{name}-a", "Compare")
            keys_line("a", others=COMPARE)
            if answer is not None:
                answers.append(answer)
                st.rerun()
            return
        _feedback(answers[0].presence in item.presence, item.feedback_a)
        st.html(description(item.inputs, item.pattern, _unclear(item)))
        if len(answers) == 1:
            _describe_next(name, item, answers)
            return
        _feedback(answers[1].fit in item.fit, item.feedback_b)
        last = number + 1 == len(practice_items())
        words = "Begin with the items" if last else "Next practice item"
        if st.button(words, key=f"{name}-go", shortcut=SAVE, type="primary"):
            desk().practise(rater.id, submission(name), number, *answers)
            done(name)
            forget(name)
            st.rerun()
        keys_line("", others={SAVE: words[0].lower() + words[1:]})


def _describe_next(name: str, item: PracticeItem, answers: list[object]) -> None:
    first = answers[0]
    if isinstance(first, StageA):
        st.html(said(first.presence, first.own_words))
    unclear = _unclear(item)
    answer = ask_b(f"{name}-b", unclear, save="Compare")
    keys_line("b", unclear, COMPARE)
    if answer is not None:
        answers.append(answer)
        st.rerun()


def _feedback(right: bool, words: str) -> None:
    notice(words if right else f"We see it otherwise. {words}", "well" if right else "note")


def _unclear(item: PracticeItem) -> bool:
    return item.inputs == item.pattern == "Unclear"
