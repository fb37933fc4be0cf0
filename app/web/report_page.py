"""The report of a study as a page: words, tables and charts, and every written form to download."""

from __future__ import annotations

from functools import partial

import streamlit as st
from sqlalchemy import func, select

from annotations import schema
from annotations.frame import ratings
from annotations.records import Study
from annotations.report import FORMS, Report, build, written
from annotations.report.charts import DARK, PAPER, charts
from annotations.report.sections import sections
from app.web.chosen import chosen_study
from app.web.drawing import paragraphs, table
from app.web.gate import require_owner
from app.web.shared import catalogue
from describe.catalog import schema as catalogued

ENDINGS = {"markdown": "md", "html": "html", "csv": "csv", "json": "json", "datasheet": "datasheet.md"}


def show() -> None:
    """Draw the page."""
    require_owner()
    st.title("Report")
    study = chosen_study()
    if study is None:
        return
    with st.spinner("Computing intervals …"):
        report = _report(study.id, _newest(study), study)
    with st.container(horizontal=True):
        for form in FORMS:
            st.download_button(
                "data sheet" if form == "datasheet" else form,
                partial(written, report, form),
                f"study-{study.id}.{ENDINGS.get(form, form)}",
                on_click="ignore",
                key=f"download-{form}",
            )
    _draw(report)


def _draw(report: Report) -> None:
    drawn = charts(report, DARK if st.context.theme.type == "dark" else PAPER)
    for section in sections(report):
        st.subheader(section.title)
        if section.words:
            st.html(paragraphs(section.words))
        for name in section.charts:
            if name in drawn:
                words, chart = drawn[name]
                st.altair_chart(chart, width="content")
                st.caption(words)
        for one in section.tables:
            st.html(table(one.headings, one.rows, one.numbers))


def _newest(study: Study) -> tuple[int, int]:
    """The newest event, and the newest score: the report is computed anew only when there is one."""
    event = select(func.max(schema.study_event.c.id)).where(schema.study_event.c.study_id == study.id)
    score = select(func.max(catalogued.score.c.id))
    with catalogue().engine.connect() as connection:
        return int(connection.execute(event).scalar() or 0), int(connection.execute(score).scalar() or 0)


@st.cache_resource(show_spinner=False, max_entries=8)
def _report(study_id: int, newest: tuple[int, int], _study: Study) -> Report:
    return build(ratings(catalogue(), _study), _study)


show()
