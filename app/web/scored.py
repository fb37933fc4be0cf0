"""Operations and checks for pages, read again only when the catalogue has something new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st
from sqlalchemy import func, select

from app.web.shared import catalogue, where
from describe.catalog import schema
from describe.operations import analysis
from describe.pipeline import KnownChecks, known_checks, known_relations
from describe.records import ModelInfo, OperationScores

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["checks_of", "operations_of"]

Newest = tuple[int, ...]


def operations_of(model_id: int) -> tuple[list[OperationScores], pd.DataFrame]:
    """A model's relation scores, and those of valid operations as a table."""
    return _operations(where(), model_id, _newest())


def checks_of(model_id: int, model: ModelInfo) -> KnownChecks:
    """Checks by running a model."""
    return _checks(where(), model_id, model.n_layers, _newest())


def _newest() -> Newest:
    """The newest rows of what is drawn: where they are the same, so is all that was read."""
    tables = (schema.relation, schema.relation_layer, schema.check_run, schema.operation_check)
    with catalogue().engine.connect() as connection:
        row = connection.execute(select(*(select(func.max(t.c.id)).scalar_subquery() for t in tables))).one()
    return tuple(number or 0 for number in row)


@st.cache_resource(show_spinner=False, max_entries=32)
def _operations(place: str, model_id: int, newest: Newest) -> tuple[list[OperationScores], pd.DataFrame]:
    found = known_relations(catalogue(), model_id)
    return found, analysis.scores_table(found)


@st.cache_resource(show_spinner=False, max_entries=8)
def _checks(place: str, model_id: int, n_layers: int, newest: Newest) -> KnownChecks:
    return known_checks(catalogue(), model_id, n_layers)
