"""What the catalogue's pages share: which models there are, and the way to a head's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import streamlit as st

from app.web.drawing import notice
from app.web.shared import catalogue
from describe.text import visible

__all__ = ["HEAD_PAGE", "address", "choose_describer", "choose_models", "cut", "open_head", "overview"]

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


def address(model: str, layer: int, head: int) -> dict[str, str]:
    """The parameters of a head's permanent link; ``model`` is written ``NAME@HASH8``."""
    return {"model": model, "head": f"{layer}.{head}"}


def open_head(model: str, place: Mapping[str, Any]) -> NoReturn:
    """Go to the page of the head at ``layer`` and ``head``."""
    st.switch_page(HEAD_PAGE, query_params=address(model, int(place["layer"]), int(place["head"])))


def cut(text: str | None, length: int) -> str:
    """At most so many characters on one line, with what cannot be seen as escapes."""
    shown = visible((text or "")[:length].replace("\n", " ")).replace("\\\\", "\\")
    return shown + "…" if len(text or "") > length else shown


def _shown(name: str) -> str:
    return cut(name, 120)
