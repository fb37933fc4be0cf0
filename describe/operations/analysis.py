"""Analysis of the relation scores of a model and between models: tables in, tables out.

The table of a model's scores has a row per operation and head: ``operation``, ``category``, ``layer``, ``head``,
``score``, ``suppression``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from describe.known_heads import known_heads
from describe.records import HeadId, ModelInfo, OperationScores
from describe.text import spaced

__all__ = [
    "GqaBias",
    "category_share",
    "counts_by_model",
    "depth_profile",
    "findings",
    "gqa_bias",
    "known_heads_found",
    "multi_operation_heads",
    "plain_rows",
    "profile_correlations",
    "scores_table",
    "summary",
    "top_heads",
    "universality",
]

PERMUTATIONS = 2000


def scores_table(operations: Iterable[OperationScores]) -> pd.DataFrame:
    """The scores of valid operations as a table."""
    valid = [found for found in operations if found.valid and found.scores]
    sizes = [len(found.scores) * len(found.scores[0]) for found in valid]
    return pd.DataFrame(
        {
            "operation": np.repeat(np.array([found.name for found in valid], dtype=object), sizes),
            "category": np.repeat(np.array([found.category for found in valid], dtype=object), sizes),
            "layer": _joined([np.repeat(found.layers, len(found.scores[0])) for found in valid], int),
            "head": _joined([np.tile(np.arange(len(found.scores[0])), len(found.scores)) for found in valid], int),
            "score": _joined([np.ravel(found.scores) for found in valid], float),
            "suppression": _joined([np.ravel(found.suppression) for found in valid], float),
        }
    )


def _joined(parts: list[Any], kind: type) -> Any:
    return np.concatenate(parts).astype(kind) if parts else np.array([], dtype=kind)


def top_heads(table: pd.DataFrame, n: int, by: str = "score") -> pd.DataFrame:
    """The n strongest heads of each operation, those with score 0 left out."""
    positive = table[table[by] > 0].sort_values(["operation", by, "layer", "head"], ascending=[True, False, True, True])
    return positive.groupby("operation", sort=True).head(n).reset_index(drop=True)


def summary(operations: Sequence[OperationScores], threshold: float) -> pd.DataFrame:
    """A row per operation: pairs, k, how many heads implement and suppress it, and the strongest head of each."""
    rows = []
    for found in operations:
        row = {"operation": found.name, "category": found.category, "pairs": found.pairs_used, "k": found.k}
        for by, scores in (("score", found.scores), ("suppression", found.suppression)):
            values = np.array(scores if found.valid else [[]])
            row[f"heads_{by}"] = int((values >= threshold).sum())
            row[f"top_{by}"] = _strongest(values, found.layers, 3)
        rows.append(row | {"valid": found.valid})
    return pd.DataFrame(rows)


def _strongest(values: Any, layers: Sequence[int], n: int) -> list[tuple[str, float]]:
    """Heads with the n largest of ``values`` (layers, H), those above 0; of equal ones the lower layer and head."""
    order = np.argsort(-values, axis=None, kind="stable")[:n]
    places = [divmod(int(place), values.shape[1]) for place in order]
    return [(f"{layers[at]}.{head}", float(values[at, head])) for at, head in places if values[at, head] > 0]


def category_share(table: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """For each layer and category, the share of heads that implement at least one of its operations."""
    best = table.groupby(["category", "layer", "head"], as_index=False)["score"].max()
    best["share"] = (best["score"] >= threshold).astype(float)
    return best.groupby(["category", "layer"], as_index=False)["share"].mean()


def multi_operation_heads(table: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Heads that implement several operations, most first: ``layer``, ``head``, ``operations``, ``names``."""
    strong = table[table["score"] >= threshold].sort_values("score", ascending=False)
    strong = strong[strong.duplicated(["layer", "head"], keep=False)]
    several = strong.groupby(["layer", "head"])["operation"].agg(operations="size", names=", ".join).reset_index()
    return several.sort_values(["operations", "layer", "head"], ascending=[False, True, True]).reset_index(drop=True)


def known_heads_found(model: ModelInfo, table: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """The heads that papers named in this model, whether the scores find them; and what else they find.

    A row per head and role: ``head``, ``role``, ``operation``, ``by`` (score or suppression), ``value``, ``named`` in
    a paper, ``found`` by the scores, ``citation``. Empty for a model of which no named head is known.
    """
    rows = []
    all_known = known_heads(model.family, model.n_layers, model.n_heads, model.d_model)
    known = [entry for entry in all_known if entry.operation in set(table["operation"])]
    for operation, suppression in dict.fromkeys((entry.operation, entry.suppression) for entry in known):
        by = "suppression" if suppression else "score"
        named = {e.head: e for e in reversed(known) if (e.operation, e.suppression) == (operation, suppression)}
        for row in table[table["operation"] == operation].itertuples():
            entry = named.get(HeadId(int(row.layer), int(row.head)))
            value = getattr(row, by)
            if entry is not None or value >= threshold:
                role, citation = (entry.role, entry.citation) if entry else ("", "")
                head = f"{row.layer}.{row.head}"
                rows.append((head, role, operation, by, value, entry is not None, value >= threshold, citation))
    columns = ["head", "role", "operation", "by", "value", "named", "found", "citation"]
    return pd.DataFrame(rows, columns=columns).sort_values(
        ["operation", "by", "named", "value"], ascending=[True, True, False, False], ignore_index=True
    )


def depth_profile(tables: dict[str, pd.DataFrame], threshold: float, bins: int = 10) -> pd.DataFrame:
    """Heads that implement each operation, by model and relative depth: layer / (layers - 1), in equal bins.

    Columns ``model``, ``operation``, ``depth`` (the bin's middle), ``heads`` (number), ``share`` (of the bin's heads).
    """
    parts = []
    for model, table in tables.items():
        last = max(int(table["layer"].max()), 1)
        place = np.minimum((table["layer"] / last * bins).astype(int), bins - 1)
        part = table.assign(model=model, depth=(place + 0.5) / bins, strong=table["score"] >= threshold)
        parts.append(
            part.groupby(["model", "operation", "depth"], as_index=False)["strong"].agg(heads="sum", share="mean")
        )
    return pd.concat(parts, ignore_index=True)


def universality(tables: dict[str, pd.DataFrame], threshold: float) -> pd.DataFrame:
    """A row per operation: for each model the number of heads that implement it (missing where it is not valid), and
    ``in_every_model``: at least one head in each."""
    counts = {
        model: table.assign(strong=table["score"] >= threshold).groupby("operation")["strong"].sum()
        for model, table in tables.items()
    }
    frame = pd.DataFrame(counts).astype("Int64").sort_index()
    frame["in_every_model"] = (frame.fillna(0) > 0).all(axis=1)
    return frame.rename_axis("operation").reset_index()


def counts_by_model(universality: pd.DataFrame, heads: Mapping[str, int]) -> pd.DataFrame:
    """`universality` with a row per operation and model: how many ``heads`` implement it, and the ``share`` that they
    are of all ``heads`` of the model; missing where it is not valid."""
    counts = universality.drop(columns="in_every_model").melt("operation", var_name="model", value_name="heads")
    counts = counts.astype({"heads": "Float64"})
    return counts.assign(share=counts["heads"] / counts["model"].map(heads).astype("Float64"))


def findings(operations: Sequence[OperationScores], vocab_size: int, threshold: float) -> str:
    """The scores of a model in a sentence or two: how many operations its heads implement and suppress, where, by which
    head most, and how many heads would were targets ranked at random."""
    table = scores_table(operations)
    heads = len(table.drop_duplicates(["layer", "head"]))
    valid = table["operation"].nunique()
    strong, down = (table[table[by] >= threshold] for by in ("score", "suppression"))
    if strong.empty and down.empty:
        return f"None of {heads:,} heads implements or suppresses any of {valid} operations."
    told = [
        f"{rows['operation'].nunique()} of {valid} operations are {what} by a head:"
        f" {len(rows.drop_duplicates(['layer', 'head'])):,} of {heads:,} heads do"
        for what, rows in (("implemented", strong), ("suppressed", down))
        if len(rows)
    ]
    expected = _by_chance(operations, vocab_size, threshold)
    layers = pd.concat([strong, down]).drop_duplicates(["layer", "head"])["layer"]
    by = "score" if strong["score"].max() >= down["suppression"].max() or down.empty else "suppression"
    best = table.loc[table[by].idxmax()]
    does = f"{'implements' if by == 'score' else 'suppresses'} {spaced(str(best['operation']))}"
    return (
        f"{'; '.join(told)}; half of them in layers {int(layers.median())} and above;"
        f" most strongly {best['layer']}.{best['head']}, which {does} ({best[by]:.2f})."
        f" Were targets ranked at random, {expected:.0f} heads would be expected to implement one."
    )


def _by_chance(operations: Sequence[OperationScores], vocab_size: int, threshold: float) -> float:
    """The number of heads expected to reach the threshold for an operation, were each one's targets ranked at random.
    Of a head and several operations each counts: it is at most too large."""
    from scipy.stats import binom

    expected = 0.0
    for found in operations:
        if found.valid and found.scores:
            least = math.ceil(threshold * found.pairs_used - 1e-9)
            heads = len(found.scores) * len(found.scores[0])
            expected += heads * float(binom.sf(least - 1, found.pairs_used, min(1.0, found.k / vocab_size)))
    return expected


def profile_correlations(tables: dict[str, pd.DataFrame], threshold: float) -> pd.DataFrame:
    """How alike the operation profiles of each two models are, over the operations valid in both.

    Pearson's r of the strongest head's score (``r_strongest``) and of the share of heads that implement the operation
    (``r_share``); missing where fewer than three operations are shared or a profile does not vary.
    """
    strongest = {model: table.groupby("operation")["score"].max() for model, table in tables.items()}
    share = {
        model: table.assign(strong=table["score"] >= threshold).groupby("operation")["strong"].mean()
        for model, table in tables.items()
    }
    rows = []
    names = list(tables)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            shared = strongest[first].index.intersection(strongest[second].index)
            figures = [_pearson(of[first][shared], of[second][shared]) for of in (strongest, share)]
            rows.append((first, second, len(shared), *figures))
    return pd.DataFrame(rows, columns=["first", "second", "operations", "r_strongest", "r_share"])


@dataclass(frozen=True)
class GqaBias:
    """Are heads that share a value matrix more alike in their operations than heads of the same layer that do not?

    Attributes:
        within, between: mean cosine similarity of two heads' scores over all operations, relation and suppression.
        difference: within minus between; ``p_value`` the share of permutations within layers that reach it.
        pairs: pairs of heads compared, within and between; heads without any score above 0 are left out.
    """

    within: float
    between: float
    difference: float
    p_value: float
    pairs: tuple[int, int]


def gqa_bias(model: ModelInfo, table: pd.DataFrame, permutations: int = PERMUTATIONS, seed: int = 0) -> GqaBias | None:
    """The bias of grouped-query attention; None where heads share no value matrix, or too few have scores."""
    size = model.n_heads // model.n_kv_heads
    if size == 1 or model.n_kv_heads == 1:
        return None
    wide = table.pivot_table(index=["layer", "head"], columns="operation", values=["score", "suppression"]).fillna(0.0)
    similar, groups = [], []
    for _, rows in wide.groupby(level="layer"):
        profile = rows.to_numpy()
        norms = np.linalg.norm(profile, axis=1)
        kept = norms > 0
        unit = profile[kept] / norms[kept, None]
        similar.append(unit @ unit.T)
        groups.append(rows.index.get_level_values("head").to_numpy()[kept] // size)
    observed = _within_between(similar, groups)
    if 0 in observed[1]:
        return None
    (within, between), pairs = observed
    random = np.random.default_rng(seed)
    reached = 0
    for _ in range(permutations):
        (w, b), counts = _within_between(similar, [random.permutation(group) for group in groups])
        reached += 0 not in counts and w - b >= within - between - 1e-12
    return GqaBias(within, between, within - between, (1 + reached) / (1 + permutations), pairs)


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as plain values; what is missing is None."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [
        {str(name): None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in rows
    ]


def _within_between(
    similar: Sequence[np.ndarray], groups: Sequence[np.ndarray]
) -> tuple[tuple[float, float], tuple[int, int]]:
    """Mean similarity, and number, of pairs of heads of one layer in the same group and in different ones."""
    sums, counts = [0.0, 0.0], [0, 0]
    for matrix, group in zip(similar, groups, strict=True):
        same = group[:, None] == group[None, :]
        upper = np.triu(np.ones_like(same), 1)
        for i, chosen in enumerate((same & upper, ~same & upper)):
            sums[i] += float(matrix[chosen].sum())
            counts[i] += int(chosen.sum())
    means = (sums[0] / max(counts[0], 1), sums[1] / max(counts[1], 1))
    return means, (counts[0], counts[1])


def _pearson(first: pd.Series, second: pd.Series) -> float:
    if len(first) < 3 or first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first.to_numpy(), second.to_numpy())[0, 1])
