"""The evidence of all heads of a model: every test on every head, corrected together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from describe.evidence.chance import Chance
from describe.evidence.table import Table, commonest
from describe.evidence.vocabulary import Vocabulary
from describe.records import Evidence, HeadId, HeadMapping
from describe.statistics import benjamini_hochberg, binomial_tail, cohens_h, shuffled_tail
from describe.text import quoted

__all__ = ["hubs", "model_evidence", "placebo_evidence"]

HUB_SHARE, HUB_HEADS = 0.05, 3
"""A token is a hub from this share of a model's heads on, and from this number of them."""

N_COMMON = 8
"""How many of a head's commonest targets are tested."""

N_EXAMPLES = 4

Ids = NDArray[np.int_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Rows:
    """The rows of all heads: ``targets`` N x t, and V counts of the rows ``having`` a token among their targets."""

    targets: Ids
    having: Ids

    @classmethod
    def of(cls, tables: Sequence[Table], vocab_size: int) -> _Rows:
        having = np.zeros(vocab_size, dtype=np.int64)
        for table in tables:
            np.add.at(having, table.distinct, table.row_counts())
        width = max((table.targets.shape[1] for table in tables), default=0)
        padded = [np.pad(t.targets, ((0, 0), (0, width - t.targets.shape[1])), constant_values=-1) for t in tables]
        return cls(np.concatenate([np.empty((0, width), dtype=np.int64), *padded]), having)


def model_evidence(
    vocabulary: Vocabulary, mappings: Sequence[HeadMapping], random: Sequence[HeadMapping] = ()
) -> dict[HeadId, list[Evidence]]:
    """Everything tested on each head of a model, by head; the q-values are over all of it.

    ``mappings`` are all heads there are: what other heads do is what a head's commonest outputs are held against.
    ``random``: random heads, against which claims about one side are held too, if there are any.
    """
    tests = _Tests(vocabulary, mappings, _Chances(vocabulary, random))
    tested = [(mapping.id, evidence) for mapping in mappings for evidence in tests.on(mapping)]
    evidence_of: dict[HeadId, list[Evidence]] = {mapping.id: [] for mapping in mappings}
    corrected = _with_q_values([evidence for _, evidence in tested], np.empty(0))
    for (head, _), evidence in zip(tested, corrected, strict=True):
        evidence_of[head].append(evidence)
    return evidence_of


def placebo_evidence(
    vocabulary: Vocabulary,
    mappings: Sequence[HeadMapping],
    placebos: Sequence[HeadMapping],
    random: Sequence[HeadMapping] = (),
) -> dict[HeadId, list[Evidence]]:
    """Everything tested on placebos, each as if it stood among a model's heads in the place of the one of its name.

    So hub tokens, what is common in other heads, and the correction for many tests are those of the model, and a
    placebo is held to the standard of the model's own heads. (What the one row more or less would change in the tests
    on the other heads is left out.)
    """
    chances = _Chances(vocabulary, random)
    tests = _Tests(vocabulary, mappings, chances)
    p_values = {m.id: _p_values(tests.on(m)) for m in mappings}
    found = {}
    for placebo in placebos:
        tested = _Tests(vocabulary, [placebo if m.id == placebo.id else m for m in mappings], chances).on(placebo)
        others = [of_head for head, of_head in p_values.items() if head != placebo.id]
        found[placebo.id] = _with_q_values(tested, np.concatenate([np.empty(0), *others]))
    return found


class _Chances:
    """Shares of random heads, for each set of hub tokens: made once, since placebos seldom change the set."""

    def __init__(self, vocabulary: Vocabulary, random: Sequence[HeadMapping]) -> None:
        self._vocabulary = vocabulary
        self._drawn = [table for table in map(Table.of, random) if table.targets.size]
        self._made: dict[bytes, Chance] = {}

    def beside(self, shared: Ids) -> Chance | None:
        """The random heads without these hub tokens; None where there are no random heads."""
        if not self._drawn:
            return None
        key = shared.tobytes()
        if key not in self._made:
            self._made[key] = Chance(self._vocabulary, self._drawn, shared)
        return self._made[key]


class _Tests:
    """All tests on a head, held against the heads of a model."""

    def __init__(self, vocabulary: Vocabulary, mappings: Sequence[HeadMapping], chances: _Chances) -> None:
        tables = [Table.of(mapping) for mapping in mappings]
        self._vocabulary = vocabulary
        self._shared = hubs([table.distinct for table in tables], len(vocabulary))
        self._rows = _Rows.of(tables, len(vocabulary))
        self._chance = chances.beside(self._shared)

    def on(self, mapping: HeadMapping) -> list[Evidence]:
        """The evidence on a head, not yet corrected for the number of tests; nothing where it has no rows."""
        table, vocabulary, chance = Table.of(mapping), self._vocabulary, self._chance
        if table.targets.size == 0:
            return []
        own = table.distinct[~np.isin(table.distinct, self._shared)]
        return [
            *_sides(vocabulary, table, "inputs", table.sources, chance),
            *_sides(vocabulary, table, "outputs", own, chance),
            *_common_targets(vocabulary, table, self._rows, chance),
            *_pairings(vocabulary, table),
        ]


def _with_q_values(tested: Sequence[Evidence], others: Floats) -> list[Evidence]:
    """These tests with q-values over these tests and those that gave the ``others``' p-values."""
    p_values = np.concatenate([_p_values(tested), others])
    q_values = benjamini_hochberg(p_values)[: len(tested)]
    return [replace(evidence, q_value=float(q)) for evidence, q in zip(tested, q_values, strict=True)]


def _p_values(tested: Sequence[Evidence]) -> Floats:
    """The larger p-value of each: what is claimed of one side must be more than chance against either standard."""
    return np.array([max(evidence.p_value, evidence.random_p_value or 0.0) for evidence in tested])


def hubs(targets: Sequence[Ids], vocab_size: int) -> Ids:
    """The tokens that unusually many heads promote: as outputs they say nothing of a head of its own.

    ``targets``: the distinct targets of each head. A hub is among those of `HUB_SHARE` of the heads, and of more heads
    than chance brings about (p < 0.01 after Bonferroni, over the vocabulary).
    """
    heads = len(targets)
    if heads < HUB_HEADS:
        return np.array([], dtype=np.int64)
    tokens, count = np.unique(np.concatenate(targets), return_counts=True)
    chance = np.array(sum(map(len, targets)) / heads / vocab_size)
    p = binomial_tail(count, np.array(heads), chance)
    found: Ids = tokens[(count >= max(HUB_HEADS, HUB_SHARE * heads)) & (p * vocab_size < 0.01)]
    return found


def _sides(
    vocabulary: Vocabulary, table: Table, kind: Literal["inputs", "outputs"], ids: Ids, chance: Chance | None
) -> Iterator[Evidence]:
    """Every property, on these tokens against the vocabulary, and against random heads. Source tokens, or distinct
    targets, are drawn once each, so the binomial tail errs on the safe side of the hypergeometric.
    """
    if len(ids) == 0:
        return
    has = vocabulary.has[ids]
    count, rows = has.sum(0), np.array(len(ids))
    p_values = binomial_tail(count, rows, vocabulary.shares)
    effects = cohens_h(count / rows, vocabulary.shares)
    in_random, chance_in_random = _beside(chance.of_side(kind, count, len(ids)) if chance else None, len(count))
    of_row = table.sources[:, None] if kind == "inputs" else table.targets
    shows = np.asarray((vocabulary.has[of_row] & np.isin(of_row, ids)[..., None]).any(1))
    for i, prop in enumerate(vocabulary.properties):
        yield Evidence(
            name=prop.name,
            kind=kind,
            wording=prop.wording,
            count=int(count[i]),
            rows=len(ids),
            expected=float(vocabulary.shares[i]),
            effect=float(effects[i]),
            p_value=float(p_values[i]),
            q_value=1.0,
            examples=tuple(quoted(vocabulary.tokens[token]) for token in ids[has[:, i]][:N_EXAMPLES]),
            lines=table.lines(shows[:, i]),
            random_expected=in_random[i],
            random_p_value=chance_in_random[i],
        )


def _common_targets(vocabulary: Vocabulary, table: Table, rows: _Rows, chance: Chance | None) -> Iterator[Evidence]:
    """The head's commonest targets, each against the share of the other heads' rows that have it; and the rows that
    have most of the commonest, against the other heads' rows.

    The commonest are chosen among the whole vocabulary, so p is multiplied by its size (Bonferroni). Random heads are
    asked for their own commonest targets, whichever these are.
    """
    tokens, count, in_set = commonest(table, N_COMMON)
    n, width = table.targets.shape
    shows = [
        *(table.targets == tokens[:, None, None]).any(-1),
        np.isin(table.targets, tokens[:width]).sum(1) >= table.most,
    ]
    everywhere = (np.isin(rows.targets, tokens[:width]).sum(1) >= table.most).sum()
    count = np.append(count, in_set)
    elsewhere = (np.append(rows.having[tokens], everywhere) - count) / max(len(rows.targets) - n, 1)
    expected = np.maximum(elsewhere, width / len(vocabulary))
    p_values = np.minimum(binomial_tail(count, np.array(n), expected) * len(vocabulary), 1.0)
    effects = cohens_h(count / n, expected)
    in_random, chance_in_random = _beside(chance.of_common(count, n) if chance else None, len(count))
    texts = [quoted(vocabulary.tokens[token]) for token in tokens]
    names = [
        *(("common_target", text, (text,)) for text in texts),
        ("one_set", "the same outputs", tuple(texts[:width])),
    ]
    for i, (name, wording, examples) in enumerate(names):
        yield Evidence(
            name=name,
            kind="outputs",
            wording=wording,
            count=int(count[i]),
            rows=n,
            expected=float(expected[i]),
            effect=float(effects[i]),
            p_value=float(p_values[i]),
            q_value=1.0,
            examples=examples,
            lines=table.lines(shows[i]),
            random_expected=in_random[i],
            random_p_value=chance_in_random[i],
        )


def _beside(random: tuple[Floats, Floats] | None, tests: int) -> tuple[list[float] | list[None], ...]:
    """Of each test what random heads show, and the chance of as many; None where there are no random heads."""
    return tuple(of.tolist() for of in random) if random else ([None] * tests, [None] * tests)


def _pairings(vocabulary: Vocabulary, table: Table) -> Iterator[Evidence]:
    """Every relation, on the rows as they are against shuffled rows."""
    by_token = vocabulary.related(table.sources, table.distinct)
    in_row = (table.targets[:, :, None] == table.distinct).any(1)
    n = len(table.sources)
    related = (by_token.astype(np.float32) @ in_row.T.astype(np.float32)) > 0
    count, expected = np.trace(related, axis1=1, axis2=2), related.mean((1, 2))
    effects = cohens_h(count / n, expected)
    worth = np.flatnonzero((count > 1) & (effects > 0))  # the others cannot be significant
    p_values = np.ones(len(count))
    if len(worth):
        p_values[worth] = shuffled_tail(related[worth])
    for i, relation in enumerate(vocabulary.relations):
        in_rows = related[i].diagonal()
        shows = np.flatnonzero(in_rows)[:N_EXAMPLES]
        answers = (table.distinct[np.flatnonzero(by_token[i, row] & in_row[row])[0]] for row in shows)
        yield Evidence(
            name=relation.name,
            kind="pairing",
            wording=relation.wording,
            count=int(count[i]),
            rows=n,
            expected=float(expected[i]),
            effect=float(effects[i]),
            p_value=float(p_values[i]),
            q_value=1.0,
            examples=tuple(
                f"{quoted(vocabulary.tokens[table.sources[row]])} → {quoted(vocabulary.tokens[answer])}"
                for row, answer in zip(shows, answers, strict=True)
            ),
            lines=table.lines(in_rows),
        )
