"""Findings of the statistics on a head: evidence in its mapping rows, and roles, groups of rows that do one thing."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator
from typing_extensions import Self

from describe.head_record.form import Object, Record
from describe.values import Count, Number, Several, Share, Size, Text

__all__ = ["ClaimRecord", "EvidenceRecord", "RoleRecord", "RolesProvenance"]


class ClaimRecord(Record):
    """One thing that is said of a head's mappings, in numbers."""

    name: Text
    """what was tested, a machine word"""

    kind: Literal["inputs", "outputs", "pairing"]
    """whether it is about the source tokens, the targets, or how the two belong together"""

    wording: Text
    """what is claimed, to stand in a sentence"""

    count: Count
    """how many show it"""

    rows: Size
    """of how many looked at: rows, or, for properties of outputs, distinct tokens"""

    expected: Number
    """the share that would show it by chance"""

    lines: Several[Size]
    """the rows that show it, by their numbers from 1; empty where they are not known, as in older exports"""

    @model_validator(mode="before")
    @classmethod
    def _without_lines(cls, found: object) -> object:
        return {"lines": []} | found if isinstance(found, dict) else found

    @classmethod
    def of(cls, **fields: object) -> Self:
        return super().of(**{"lines": ()} | fields)


class EvidenceRecord(ClaimRecord):
    """One thing that a head's mappings show more often than chance, and how surely."""

    effect: Number
    """Cohen's h, from the expected to the observed share"""

    p_value: Number
    """the chance of as many by chance alone"""

    q_value: Number
    """the larger p-value after Benjamini and Hochberg, over all tests on all heads of the run"""

    examples: Several[Text]
    """some tokens, or pairs of tokens, that show it, quoted"""

    random_expected: Share | None = None
    """the share of random heads' rows that show it; null for pairings. Not in older catalogues"""

    random_p_value: Share | None = None
    """the chance of as many by a random head; null for pairings. Not in older catalogues"""

    @property
    def text(self) -> str:
        """The claim with its counts."""
        return f"{self.kind}: {self.wording} ({self.count} of {self.rows})"


class RoleRecord(Record):
    """Salient rows of a head that do one thing together."""

    role: Size
    """its number, from 1"""

    sign: Literal["promotes", "suppresses"]
    """what its rows do with their extreme tokens"""

    rows: Several[Count]
    """which of the `salient` rows, from 0"""

    held_out: Several[Count]
    """which of the rows of `held_out.next`"""

    share: Share
    """of the summed squared saliency of the salient rows"""

    reach: Number
    """how far its rows' extreme logits lie from their mean, in standard deviations"""

    p_value: Share
    """how often random heads fall into roles as clearly; the same for all roles of a head"""

    evidence: Several[EvidenceRecord]
    """what its own rows show more often than chance"""

    @property
    def claims(self) -> str:
        """Its strongest evidence in words."""
        return "; ".join(found.wording for found in self.evidence[:3])


class RolesProvenance(Record):
    """How the roles were found."""

    settings: Object
    """of splitting the rows"""

    evidence: Object | None
    """settings that their evidence was found with; null: not tested"""

    versions: Object
    """versions of the programs that took part"""
