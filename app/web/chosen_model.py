"""Which model a page of the catalogue is about: it stands in the page's address, to be handed on with it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.web.drawing import notice
from app.web.shared import catalogue
from describe.records import HeadId, ModelInfo
from describe.text import visible

__all__ = ["address", "chosen_model", "head_links", "open_head"]

HEAD_PAGE = "head_page.py"


def address(model: ModelInfo) -> str:
    """How a model is written in the address of a page: its name and the start of its content hash."""
    return f"{model.name}@{model.content_hash[:8]}"


def chosen_model() -> tuple[int, ModelInfo] | None:
    """The model and its id, chosen among all, at first the newest; None, and what to do, where there is none."""
    found = {address(model): model for model in reversed(catalogue().models())}
    if not found:
        notice("There is no model in the catalogue yet: headscribe extract MODEL reads one.")
        st.page_link("runs_page.py", label="Start it here")
        return None
    names = list(found)
    chosen = None
    if len(names) > 1:
        chosen = st.selectbox(
            "Model",
            names,
            index=None,
            format_func=visible,
            key="model",
            bind="query-params",
            placeholder=visible(names[0]),
            width=600,
        )
    model = found[chosen or names[0]]
    return catalogue().find_model(f"{model.name}@{model.content_hash}")


def open_head(model: ModelInfo, head: HeadId) -> None:
    """Go to the page of a head."""
    st.switch_page(HEAD_PAGE, query_params={"model": address(model), "head": str(head)})


def head_links(model: ModelInfo, heads: Sequence[tuple[HeadId, str]]) -> None:
    """Links to the pages of heads, with a word about each."""
    for head, about in heads:
        query = {"model": address(model), "head": str(head)}
        st.page_link(HEAD_PAGE, label=f"**{head}**   {about}", query_params=query)
