"""The judge that asks nobody: it looks for the claimed evidence in each row."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from describe.evidence import Vocabulary
from describe.records import Claim, HeadId, MappingRow
from describe.scoring.detection import Judgement
from describe.scoring.rows import Trial
from describe.scoring.write import WORDS, WrittenWords
from describe.text import quoted

__all__ = ["METHOD", "SETTINGS", "StatisticsJudge", "StatisticsWriter"]

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


class StatisticsWriter:
    """Writes words for descriptions by statistics: common members of the classes that they claim.

    Args:
        order: all ids, the commonest first.
    """

    COMMON = 16_384
    """Of so many of the commonest tokens members are drawn."""

    LOOKED_AT, AT_ONCE = 2000, 20
    """Of so many of them it is seen whether anything answers them, so many at once: that takes memory."""

    def __init__(self, vocabulary: Vocabulary, order: Sequence[int]) -> None:
        self._vocabulary = vocabulary
        self._common = np.array(order[: self.COMMON], dtype=np.int64)
        words = [token for token in order[: self.COMMON] if _is_word(vocabulary.tokens[token])]
        self._words = np.array(words, dtype=np.int64)
        self._property = {prop.name: i for i, prop in enumerate(vocabulary.properties)}
        self._relation = {relation.name: i for i, relation in enumerate(vocabulary.relations)}

    def write(self, head: HeadId, claims: Sequence[Claim]) -> WrittenWords:
        """Members of the class that inputs are claimed to be of, each with outputs as claimed; a failure where no claim
        is known. Which members is drawn at random, the same every time."""
        known = [claim for claim in claims if claim.name in self._property or claim.name in self._relation]
        known += [claim for claim in claims if claim.name == "common_target"]
        if not known:
            return WrittenWords(failure=NO_CLAIMS, detail=_WHY_NONE)
        luck = random.Random(f"{head} words")  # noqa: S311  (no secret)
        inputs = self._inputs(known, luck)
        written = ((self._vocabulary.tokens[token], self._outputs(int(token), known, luck)) for token in inputs)
        return WrittenWords(tuple(dict(written).items()))

    def _inputs(self, claims: Sequence[Claim], luck: random.Random) -> list[int]:
        """Of tokens that have the claimed property, or those that a pairing can be seen on, or any."""
        of_inputs = [claim for claim in claims if claim.kind == "inputs"]
        pairing = [self._relation[claim.name] for claim in claims if claim.kind == "pairing"]
        members = self._words
        for claim in of_inputs[:1]:
            members = self._common[self._vocabulary.has[self._common, self._property[claim.name]]]
        drawn = np.array(luck.sample(members.tolist(), len(members)), dtype=np.int64)
        if not pairing:
            return [int(token) for token in drawn[:WORDS]]
        able: list[int] = []
        for start in range(0, min(len(drawn), self.LOOKED_AT), self.AT_ONCE):
            some = drawn[start : start + self.AT_ONCE]
            able += some[self._vocabulary.related_by(pairing[0], some, self._common).any(1)].tolist()
            if len(able) >= WORDS:
                break
        return able[:WORDS]

    def _outputs(self, token: int, claims: Sequence[Claim], luck: random.Random) -> tuple[str, ...]:
        """Tokens that answer the input by a claimed pairing, or members of the claimed class of outputs."""
        tokens = self._vocabulary.tokens
        for claim in claims:
            if claim.kind == "pairing":
                answers = self._vocabulary.related_by(self._relation[claim.name], np.array([token]), self._common)[0]
                found = self._common[answers][:3].tolist()
                if found:
                    return tuple(tokens[one] for one in found)
        for claim in claims:
            if claim.kind == "outputs" and claim.name in self._property:
                members = self._common[self._vocabulary.has[self._common, self._property[claim.name]]].tolist()
                return tuple(tokens[one] for one in luck.sample(members, min(3, len(members))))
        named = {claim.wording for claim in claims if claim.name == "common_target"}
        return tuple(tokens[one] for one in sorted(one for name in named for one in self._quoted.get(name, ()))[:3])

    @cached_property
    def _quoted(self) -> dict[str, list[int]]:
        """All tokens by the way they are quoted."""
        found: dict[str, list[int]] = {}
        for token, text in enumerate(self._vocabulary.tokens):
            found.setdefault(quoted(text), []).append(token)
        return found


def _is_word(token: str) -> bool:
    return token.startswith(" ") and token.strip().isalpha()
