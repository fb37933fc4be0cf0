"""Shared by the catalogue's pages: which model they are about, as their address says, and ways to its heads.

In addresses a model is written ``NAME@HASH8``: its name and the start of its content hash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from html import escape
from typing import NoReturn
from urllib.parse import urlencode

import streamlit as st
from markupsafe import Markup
from streamlit.errors import StreamlitAPIException

from app.model_names import head_link, model_address, model_link
from app.web.drawing import notice
from app.web.gate import send_on
from app.web.shared import catalogue
from app.web.starting import start_link
from describe.errors import CatalogueError
from describe.records import HeadId, ModelInfo
from describe.text import spaced, visible

__all__ = [
    "about_model",
    "browse_link",
    "chosen_in_address",
    "chosen_model",
    "head_anchor",
    "head_links",
    "open_head",
    "operation_anchor",
]


def browse_link() -> str:
    """The way to the map, at the top of every page of the owner's: that of the model which the page is about."""
    asked = st.query_params.get("model") or st.session_state.get("chosen-model")
    address = model_link(asked) if asked else "./"
    return f'<a class="hs-browse" href="{escape(address)}" target="_self">Browse</a>'


def chosen_model() -> tuple[int, ModelInfo] | None:
    """The model and its id, chosen among all, at first the newest; None, and what to do, where there is none."""
    found = {model_address(model): model for model in reversed(catalogue().models())}
    if not found:
        notice("There is no model in the catalogue yet: headscribe extract MODEL reads one.")
        start_link("Start it here")
        return None
    names = list(found)
    _write_out(names)
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


def _write_out(names: list[str]) -> None:
    """Write models that the page's address gives by their names alone as addresses do, so that they are ``names``."""
    asked = st.query_params.get_all("model")
    if all(name in names for name in asked):
        return
    with suppress(CatalogueError, StreamlitAPIException):  # unknown; bound by the page that was left a moment ago
        found = [name if name in names else model_address(catalogue().find_model(name)[1]) for name in asked]
        st.query_params["model"] = found


def open_head(model: str, head: HeadId) -> NoReturn:
    """Go to a head on the map of its model."""
    send_on(head_link(model, head))
    st.stop()


def head_links(model: str, heads: Sequence[tuple[HeadId, str]]) -> str:
    """Links to heads, with a word about each, as HTML."""
    items = (f"<li>{head_anchor(model, head)} {escape(about)}</li>" for head, about in heads)
    return f'<ol class="hs-heads">{"".join(items)}</ol>'


def head_anchor(model: str, head: HeadId | str, about: str = "") -> Markup:
    """A link to a head, with a word about it."""
    place = head if isinstance(head, HeadId) else HeadId.parse(head)
    return _anchor(head_link(model, place), f"{place} {about}".strip())


def operation_anchor(model: str, operation: str) -> Markup:
    """A link to an operation's map of a model, by its name as people read it."""
    address = "operations?" + urlencode({"model": model, "operation": operation})
    return _anchor(address, visible(spaced(operation)))


def about_model(model: ModelInfo, findings: Sequence[str]) -> None:
    """The model that a page is about, with the way to its map; and what the page has to say of it, in a sentence."""
    shape = f"{model.n_layers} layers of {model.n_heads} heads"
    named = _anchor(model_link(model_address(model)), visible(model.name))
    said = "".join(f"<p>{escape(one)}</p>" for one in findings if one)
    st.html(f'<div class="hs-about"><p>{named} <span>{shape}</span></p>{said}</div>')


def _anchor(address: str, words: str) -> Markup:
    return Markup('<a href="{}" target="_self">{}</a>').format(address, words)
