"""The tables of human studies, which stand in the catalogue's database and are made with it."""

from describe.catalog.study_schema import (
    study,
    study_event,
    study_item,
    study_place,
    study_presentation,
    study_rater,
    study_recruitment,
)

__all__ = [
    "study",
    "study_event",
    "study_item",
    "study_place",
    "study_presentation",
    "study_rater",
    "study_recruitment",
]
