"""Which model a page of the catalogue is about: it stands in the page's address, to be handed on with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import streamlit as st
from streamlit.errors import StreamlitAPIException

from app.web.drawing import notice
from app.web.shared import catalogue
from describe.records import HeadId, ModelInfo
from describe.text import visible

__all__ = ["address", "chosen_in_address", "chosen_model", "head_links", "open_head"]

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
    model = found[chosen_in_address("Model", "model", names, names[0], visible)]
    return catalogue().find_model(f"{model.name}@{model.content_hash}")


def chosen_in_address(
    label: str, name: str, options: list[str], otherwise: str, shown: Callable[[str], str], width: int = 600
) -> str:
    """One of the options, which stands in the page's address as ``name`` and in the session; no choice of one.

    Streamlit's own binding is of no use here: what is bound, `open_head` and links to other pages cannot set.
    """
    asked = st.query_params.get(name)
    if asked is not None and asked not in options:
        notice(f"There is no {label.lower()} '{asked}' here.", "bad")
    known = (asked, st.session_state.get(f"chosen-{name}"), otherwise)
    chosen = next(str(value) for value in known if value in options)
    if len(options) > 1:
        chosen = str(st.selectbox(label, options, index=options.index(chosen), format_func=shown, width=width))
    st.session_state[f"chosen-{name}"] = chosen
    with suppress(StreamlitAPIException):  # still bound by the page that was left a moment ago
        st.query_params[name] = chosen
    return chosen


def open_head(model: ModelInfo, head: HeadId) -> None:
    """Go to the page of a head."""
    st.switch_page(HEAD_PAGE, query_params={"model": address(model), "head": str(head)})


def head_links(model: ModelInfo, heads: Sequence[tuple[HeadId, str]]) -> None:
    """Links to the pages of heads, with a word about each."""
    for head, about in heads:
        query = {"model": address(model), "head": str(head)}
        st.page_link(HEAD_PAGE, label=f"**{head}**   {about}", query_params=query)
