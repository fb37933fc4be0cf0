"""Shared by the catalogue's pages: which models they are about, as their address says, and the way to a head's page.

In addresses a model is written ``NAME@HASH8``: its name and the start of its content hash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import streamlit as st
from streamlit.errors import StreamlitAPIException

from app.web.drawing import notice
from app.web.shared import catalogue
from app.web.starting import start_link
from describe.errors import CatalogueError
from describe.readings import READING_NAMES
from describe.records import HeadId, ModelInfo
from describe.text import visible

__all__ = [
    "HEAD_PAGE",
    "address",
    "choose_describer",
    "choose_models",
    "chosen_in_address",
    "chosen_model",
    "cut",
    "head_address",
    "head_links",
    "open_head",
    "overview",
    "split_address",
]

HEAD_PAGE = "head_page.py"


def overview() -> list[dict[str, Any]]:
    """The models of the catalogue, the newest first; where there is none, the page says what to run."""
    models = catalogue().browse.models()[::-1]
    if not models:
        notice(
            "There is nothing in the catalogue yet. The demo model's heads, in a few seconds: headscribe extract demo"
        )
        notice(
            "Their operations: headscribe relations demo\nTheir descriptions: headscribe describe demo --llm statistics"
        )
    return models


def choose_models(models: list[dict[str, Any]], *, all_of_them: bool) -> list[dict[str, Any]]:
    """The models chosen, kept in the page's address as ``model``; none chosen: all, or the newest."""
    named = {one["model"]: one for one in models}
    if len(models) == 1:
        return models
    _write_out(list(named))
    words = "All models" if all_of_them else visible(models[0]["model"])
    chosen = st.multiselect(
        "Models", list(named), format_func=_shown, key="model", bind="query-params", placeholder=words
    )
    return [named[name] for name in chosen if name in named] or (models if all_of_them else models[:1])


def choose_describer(describers: list[dict[str, Any]], otherwise: str) -> str | None:
    """One describer, kept in the page's address as ``by``; or none, and what that means."""
    chosen: str | None = st.selectbox(
        "Describer",
        sorted({one["llm"] for one in describers}),
        index=None,
        format_func=_shown,
        key="by",
        bind="query-params",
        placeholder=otherwise,
    )
    return chosen


def chosen_model() -> tuple[int, ModelInfo] | None:
    """The model and its id, chosen among all, at first the newest; None, and what to do, where there is none."""
    found = {address(model): model for model in reversed(catalogue().models())}
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
        found = [name if name in names else address(catalogue().find_model(name)[1]) for name in asked]
        st.query_params["model"] = found


def split_address(written: str) -> tuple[str, str | None]:
    """The model of an address, and the reading that it names, if it does: ``demo@0123abcd:paper``."""
    model, _, reading = written.rpartition(":")
    return (model, reading) if reading in READING_NAMES else (written, None)


def address(model: ModelInfo) -> str:
    """How a model is written in the address of a page."""
    return f"{model.name}@{model.content_hash[:8]}"


def head_address(model: str, head: HeadId) -> dict[str, str]:
    """The parameters of a head's permanent link."""
    return {"model": model, "head": f"{head.layer}.{head.head}"}


def open_head(model: str, head: HeadId) -> NoReturn:
    """Go to the page of a head."""
    st.switch_page(HEAD_PAGE, query_params=head_address(model, head))


def head_links(model: str, heads: Sequence[tuple[HeadId, str]]) -> None:
    """Links to the pages of heads, with a word about each."""
    for head, about in heads:
        st.page_link(HEAD_PAGE, label=f"**{head}**   {about}", query_params=head_address(model, head))


def cut(text: str | None, length: int) -> str:
    """At most so many characters on one line, with what cannot be seen as escapes."""
    shown = visible((text or "")[:length].replace("\n", " ")).replace("\\\\", "\\")
    return shown + "…" if len(text or "") > length else shown


def _shown(name: str) -> str:
    return cut(name, 120)
