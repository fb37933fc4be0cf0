"""Which tokens of a model count, as sources and as targets: those that the model has learnt, the commonest first.

Left out are pieces that no text contains, parts of characters, texts that another token has, tokens that the model has
hardly seen, and beyond a number the rarer ones.

Undertrained tokens are found in the weights (Land & Bartolo 2024, "Fishing for Magikarp"). Whatever text a model
reads, it learns that the tokens which do not come next are improbable, and moves their rows of U all the same way;
those of tokens that do come next move back. So what is rare lies along one direction, which is the mean row of the
rarest quarter of the tokens less that of the commonest, and what was hardly seen lies farthest out:

    unlearnt(t) = U[t] . direction

The norm of E[t] tells likewise: rows that nothing else holds grow where E and U are one matrix, and decay where they
are two. It is believed where those that it finds lie far along the direction too: in some models norms tell languages.

A token is undertrained where it lies farther out than `FALSE` of those beyond it would by chance, by Efron's empirical
null: the median and the spread (MAD) of the tokens that are about as common. Where nothing stands out nothing is lost.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from describe.errors import InputError
from describe.text import shortened
from describe.weights.model import HeadWeights

__all__ = ["LearntTokens", "LeftOut", "chosen_tokens", "learnt_tokens"]

LARGEST = 16_384
"""Tokens that count, at most, where nobody says how many."""

FALSE = 0.05
"""Share of the tokens called undertrained that chance may have put there."""

FEWEST = 10
"""Undertrained tokens that must stand out for any to be believed."""

NEIGHBOURS = 4096
"""Tokens that are about as common as a token."""

ROWS = 4096
"""Rows of E and U in memory at a time."""

N_EXAMPLES = 3

UNNAMED = "rows without a token"
PARTS = "parts of characters"
DOUBLES = "texts that another token has"
UNDERTRAINED = "undertrained tokens"
ABSENT = "tokens that the text does not contain"
RARER = "rarer tokens"

BYTES = re.compile(r"<0x[0-9A-F]{2}>")


@dataclass(frozen=True)
class LeftOut:
    """Tokens that do not count for one reason: how many, and some of them, the commonest first."""

    reason: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class LearntTokens:
    """The tokens that count: their ``ids`` (n,), ascending, and those left out, reason by reason."""

    ids: Tensor
    left_out: tuple[LeftOut, ...]


def chosen_tokens(weights: HeadWeights, tokens: str = "learnt", most: int = LARGEST) -> LearntTokens:
    """The tokens that count by ``--tokens``.

    Args:
        tokens: ``all`` rows of E; the ``learnt`` ones, of which the ``most`` commonest; the N commonest learnt ones; or
            a file of text, in which the learnt ones are counted.

    Raises `InputError` for what is none of these, and for a text that contains none of the tokens.
    """
    if tokens == "all":
        return LearntTokens(torch.arange(weights.info.vocab_size), ())
    if tokens == "learnt":
        return learnt_tokens(weights, most)
    if re.fullmatch(r"[0-9]{1,9}", tokens):
        if int(tokens) == 0:
            raise InputError("--tokens 0 leaves no token: write how many of the commonest count")
        return learnt_tokens(weights, int(tokens))
    return learnt_tokens(weights, most, _counts(weights, tokens))


def learnt_tokens(weights: HeadWeights, most: int = LARGEST, counts: Counter[int] | None = None) -> LearntTokens:
    """The ``most`` commonest of the tokens that a model has learnt.

    Args:
        counts: how often a text contains each token, by its id; by default its tokenizer tells what is common.
    """
    pieces = weights.pieces
    why = dict(pieces.never) | {i: reason for i, text in enumerate(weights.tokens) if (reason := _no_text(text, i))}
    texts: set[str] = set()
    for index in pieces.order:  # of tokens with one text the commonest stays
        if index not in why:
            if weights.tokens[index] in texts:
                why[index] = DOUBLES
            texts.add(weights.tokens[index])
    order = [index for index in pieces.order if index not in why]
    unlearnt = _undertrained(weights, torch.tensor(order, dtype=torch.long))
    why |= {index: UNDERTRAINED for index, found in zip(order, unlearnt.tolist(), strict=True) if found}
    order = [index for index in order if index not in why]
    if counts is not None:
        why |= {index: ABSENT for index in order if not counts[index]}
        order = sorted((index for index in order if counts[index]), key=lambda index: -counts[index])
    why |= dict.fromkeys(order[most:], RARER)
    ids = sorted(order[:most])
    if not ids:
        raise InputError("no token counts: give another text, or --tokens all")
    return LearntTokens(torch.tensor(ids), tuple(_left_out(weights.tokens, why, order + pieces.order)))


def _no_text(text: str, index: int) -> str | None:
    """Why a token is no text, if it is none."""
    if text == f"[id {index}]":
        return UNNAMED
    return PARTS if BYTES.search(text) else None


def _left_out(tokens: list[str], why: dict[int, str], order: Iterable[int]) -> Iterator[LeftOut]:
    """Reason by reason, those with most tokens first; ``order``: all ids, the commonest first, some maybe twice."""
    sought = [index for index in dict.fromkeys(order) if index in why]
    for reason, count in Counter(why.values()).most_common():
        examples = islice((tokens[index] for index in sought if why[index] == reason), N_EXAMPLES)
        yield LeftOut(reason, count, tuple(examples))


def _undertrained(weights: HeadWeights, order: Tensor) -> Tensor:
    """Which of the tokens ``order`` (n,), the commonest first, the model has hardly seen, (n,) of booleans."""
    found = torch.zeros(len(order), dtype=torch.bool)
    quarter = len(order) // 4
    if len(order) < 2 * FEWEST:
        return found
    embed, unembed = replace(weights.embed, through=None), weights.unembed
    rare = torch.zeros(weights.info.vocab_size, 2, dtype=torch.float64)
    rare[order[-quarter:], 0] = rare[order[:quarter], 1] = 1 / quarter
    means = sum(rare[rows].mT @ unembed[rows].double() for rows in _parts(len(rare)))
    assert isinstance(means, Tensor)
    direction = means[0] - means[1]
    along, norms = (torch.empty(len(rare), dtype=torch.float64) for _ in range(2))
    for rows in _parts(len(rare)):
        along[rows] = unembed[rows].double() @ direction
        norms[rows] = torch.linalg.vector_norm(embed[rows].double(), dim=1)
    out = _deviations(along[order])
    found |= _outliers(out)
    large = _outliers(_deviations(norms[order] if weights.tied else -norms[order]))
    if large.any() and out[large].median() > 1:
        found |= large
    return found


def _parts(n: int) -> Iterator[slice]:
    return (slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS))


def _deviations(scores: Tensor) -> Tensor:
    """How far each of the scores (n,) is from the median of its `NEIGHBOURS`, in their robust standard deviations."""
    found = torch.zeros_like(scores)
    for start in range(0, len(scores), NEIGHBOURS):
        start = max(0, min(start, len(scores) - NEIGHBOURS))
        part = scores[start : start + NEIGHBOURS]
        apart = part - part.median()
        spread = 1.4826 * apart.abs().median()
        found[start : start + NEIGHBOURS] = apart / spread if spread > 0 else 0
    return found


def _outliers(deviations: Tensor) -> Tensor:
    """Which of them, the largest, are not what normal numbers would show, but for a share of `FALSE`."""
    size = len(deviations)
    values, places = deviations.sort(descending=True)
    by_chance = size * torch.special.ndtr(-values)
    held = ((by_chance <= FALSE * torch.arange(1, size + 1)) & (values > 0)).nonzero()
    found = torch.zeros(size, dtype=torch.bool)
    if len(held) and int(held[-1]) + 1 >= FEWEST:
        found[places[: int(held[-1]) + 1]] = True
    return found


def _counts(weights: HeadWeights, path: str) -> Counter[int]:
    """How often a file of text contains each token."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = "is not text in UTF-8" if isinstance(error, UnicodeDecodeError) else "cannot be read"
        raise InputError(
            f"--tokens: '{shortened(path)}' {reason}: write learnt, all, a number, or the path of a file of text"
        ) from error
    return weights.count_tokens(lines)
