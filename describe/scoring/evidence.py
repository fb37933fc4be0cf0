"""The judge that asks nobody: it looks for the claimed evidence in each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from describe.evidence import Vocabulary
from describe.records import Claim, MappingRow
from describe.scoring.detection import Judgement
from describe.scoring.rows import Trial
from describe.text import quoted

__all__ = ["METHOD", "SETTINGS", "StatisticsJudge"]

SETTINGS = {"version": 1}
"""Settings that a judgement depends on besides description, evidence and rows."""

METHOD = """A row is weighed by the claims that the description makes, without an LLM.

Each claim was counted on the head's salient rows (k of n) and is expected by chance with a share e. With s =
(k + 1/2) / (n + 1), a row that shows it weighs log(s / e), one that does not log((1 - s) / (1 - e)); a property of
outputs is weighed on each output of the row, and their mean counts. The probability is the logistic function of the
sum: Bayes' rule, from even odds, for independent claims.
"""
"""Stored where an LLM that judges has its prompt."""

NO_CLAIMS = "no_claims"

_WHY_NONE = (
    "it is not known here what one of these descriptions claims: another version of headscribe made it;"
    " have statistics describe the model again"
)

_LEAST = 1e-4
"""No share is taken for smaller, or nearer to 1: a claim weighs no more than 9 or so."""


class StatisticsJudge:
    """Judges descriptions by statistics, of which it is known what they claim."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._property = {prop.name: i for i, prop in enumerate(vocabulary.properties)}
        self._relation = {relation.name: i for i, relation in enumerate(vocabulary.relations)}

    def judge(self, trial: Trial, claims: Sequence[Claim]) -> Judgement:
        """The probability of each row by what a description claims; a failure where there is nothing to go by."""
        if not claims or not all(map(self._knows, claims)):
            return Judgement(failure=NO_CLAIMS, detail=_WHY_NONE)
        weights = [sum(self._weight(row, claim) for claim in claims) for row in trial.rows]
        return Judgement(tuple(float(1 / (1 + np.exp(-weight))) for weight in weights))

    def _knows(self, claim: Claim) -> bool:
        """Whether it can be seen of a row that it shows a claim: of one from elsewhere it may not."""
        if claim.kind == "pairing":
            return claim.name in self._relation
        return claim.name in self._property or (claim.kind == "outputs" and claim.name == "common_target")

    def _weight(self, row: MappingRow, claim: Claim) -> float:
        said = min(max((claim.count + 0.5) / (claim.rows + 1), _LEAST), 1 - _LEAST)
        chance = min(max(claim.expected, _LEAST), 1 - _LEAST)
        shown = self._shows(row, claim)
        return float(shown * np.log(said / chance) + (1 - shown) * np.log((1 - said) / (1 - chance)))

    def _shows(self, row: MappingRow, claim: Claim) -> float:
        """Whether a row shows a claim; of a property of outputs, the share of them that does."""
        source, targets = np.array([row.token_id]), np.array([target.token_id for target in row.targets])
        if claim.kind == "pairing":
            return float(self._vocabulary.related(source, targets)[self._relation[claim.name]].any())
        if claim.name == "common_target":
            return float(any(quoted(self._vocabulary.tokens[target]) == claim.wording for target in targets))
        ids = source if claim.kind == "inputs" else targets
        return float(self._vocabulary.has[ids, self._property[claim.name]].mean())
