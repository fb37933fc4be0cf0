"""One head, everything known of it, as typed records: every face and export reads these, and every fact of a head has
its home here. Knows neither torch nor the catalogue.

`HeadRecord` is the JSON form of one head: its `model_validate` checks what comes from a file, `to_json` writes it.
"""

from describe.head_record.attention import AttentionProvenance, AttentionRecord, ContextRecord
from describe.head_record.contradictions import ContradictionRecord
from describe.head_record.descriptions import (
    STATE_WORDS,
    STATES,
    DescriptionProvenance,
    DescriptionRecord,
    State,
    best_first,
    outcome,
)
from describe.head_record.facts import Facts, Told
from describe.head_record.findings import ClaimRecord, EvidenceRecord, RoleRecord, RolesProvenance
from describe.head_record.form import Json, Object, Record
from describe.head_record.head import CountedTokens, HeadProvenance, HeadRecord, HeldOut, Shape
from describe.head_record.headline import Card, card
from describe.head_record.relations import InferenceRecord, RelationRecord, RelationsProvenance
from describe.head_record.scores import HeadlineScore, ScoreProvenance, ScoreRecord, best_of_each, first_score, headline
from describe.head_record.summary import HeadSummary
from describe.head_record.verdicts import verdict

__all__ = [
    "STATES",
    "STATE_WORDS",
    "AttentionProvenance",
    "AttentionRecord",
    "Card",
    "ClaimRecord",
    "ContextRecord",
    "ContradictionRecord",
    "CountedTokens",
    "DescriptionProvenance",
    "DescriptionRecord",
    "EvidenceRecord",
    "Facts",
    "HeadProvenance",
    "HeadRecord",
    "HeadSummary",
    "HeadlineScore",
    "HeldOut",
    "InferenceRecord",
    "Json",
    "Object",
    "Record",
    "RelationRecord",
    "RelationsProvenance",
    "RoleRecord",
    "RolesProvenance",
    "ScoreProvenance",
    "ScoreRecord",
    "Shape",
    "State",
    "Told",
    "best_first",
    "best_of_each",
    "card",
    "first_score",
    "headline",
    "outcome",
    "verdict",
]
