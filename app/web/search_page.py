"""Search: heads by words in their descriptions and tokens. ``/search?q=..``."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.web import head_drawing as draw
from app.web.drawing import notice
from app.web.gate import require_reader
from app.web.heads import HEAD_PAGE, choose_describer, choose_models, head_address, overview
from app.web.shared import catalogue
from describe.catalog.terms import Term, marked, query_terms
from describe.records import HeadId

PAGE = 20
"""Heads shown at once."""


def show() -> None:
    """Draw the page."""
    require_reader()
    st.title("Search")
    models = overview()
    if not models:
        return
    left, middle, right = st.columns([3, 2, 2])
    query = left.text_input(
        "Words", max_chars=200, key="q", bind="query-params", placeholder="Of descriptions, or tokens"
    )
    with middle:
        chosen = choose_models(models, all_of_them=True)
    with right:
        llm = choose_describer(catalogue().browse.describers(), "Any, and tokens too")
    if not query.strip():
        st.caption("All words must be found. A word stands for all that begin with it; case does not count.")
        return
    wanted = [one["model_id"] for one in chosen] if len(chosen) < len(models) else None
    _results(query, wanted, llm)


def _results(query: str, models: list[int] | None, llm: str | None) -> None:
    """A page of what is found; another query begins at the first page again."""
    place = f"page-{hash((query, tuple(models or ()), llm))}"
    number = st.session_state.get(place, 1)
    found = catalogue().search.find(query, models=models, llm=llm, limit=PAGE, offset=(number - 1) * PAGE)
    if not found["heads"]:
        return notice("No head has all of these words.")
    first = (number - 1) * PAGE + 1
    st.caption(f"{first:,} to {first + len(found['heads']) - 1:,} of {found['total']:,} heads")
    for head in found["heads"]:
        _hit(head, query_terms(query))
    if found["total"] > PAGE:
        st.number_input("Page", 1, -(-found["total"] // PAGE), key=place, width=160)


def _hit(head: dict[str, Any], terms: list[Term]) -> None:
    place = HeadId(head["layer"], head["head"])
    link, told = st.columns([1, 16], gap="xsmall")
    link.page_link(HEAD_PAGE, label=str(place), query_params=head_address(head["model"], place))
    texts = [marked(head[name], terms) for name in ("pattern", "inputs") if head[name]]
    told.html(draw.hit(head, texts))


show()
