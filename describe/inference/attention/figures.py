"""The figures of `describe.attention.FIGURES`, from attention patterns and the tokens that they are over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from describe.attention import FIGURES, FIRST_PLACE, LOCAL

__all__ = ["TextMarks", "figures", "uniform_figures"]


@dataclass(frozen=True)
class TextMarks:
    """Where in a text of T tokens something is that a head may attend to.

    Attributes:
        length: T.
        pairs: by figure, the places (n,) from which and (n,) to which there is such a token, and how many places
            have one at all.
        punctuation, line_break: 1 where a token is one (T,); the first token never is.
    """

    length: int
    pairs: dict[str, tuple[Tensor, Tensor, int]]
    punctuation: Tensor
    line_break: Tensor

    @classmethod
    def of(cls, ids: Sequence[int], punctuation: Sequence[bool], line_break: Sequence[bool], start: int) -> TextMarks:
        """From token ids and what each is; copies are looked for from place ``start`` on."""
        tokens = torch.tensor(list(ids))
        same = (tokens[:, None] == tokens[None, :]).tril(-1)
        same[:, 0] = False
        after = torch.zeros_like(same)
        after[:, 1:] = same[:, :-1]
        after = after.tril(-1)  # the token itself is what follows its copy where two stand together: that is "itself"
        comes_next = torch.zeros_like(same)
        comes_next[:-1] = after[:-1] & (tokens[None, :] == tokens[1:, None])
        pairs = {}
        for name, where in (("duplicate", same), ("induction", after), ("same_next", comes_next)):
            where[: max(start, FIRST_PLACE)] = False
            rows, columns = where.nonzero(as_tuple=True)
            pairs[name] = (rows, columns, int(where.any(1).sum()))
        marks = torch.tensor([list(punctuation), list(line_break)], dtype=torch.float32)
        marks[:, 0] = 0
        return cls(len(ids), pairs, marks[0], marks[1])

    def to(self, device: torch.device) -> TextMarks:
        """These marks on a device."""
        pairs = {name: (rows.to(device), columns.to(device), n) for name, (rows, columns, n) in self.pairs.items()}
        return TextMarks(self.length, pairs, self.punctuation.to(device), self.line_break.to(device))


def figures(patterns: Tensor, marks: TextMarks) -> Tensor:
    """The figures (H, F) of H heads on one text, from their patterns (H, T, T); NaN where no place has such a token.

    Every mean is over the places from `FIRST_PLACE` on.
    """
    seen = patterns[:, FIRST_PLACE:].clone(memory_format=torch.contiguous_format)
    rows = seen.shape[1]
    places = torch.arange(marks.length, device=patterns.device, dtype=seen.dtype)
    by_key = torch.stack([torch.ones_like(places), places, marks.punctuation, marks.line_break], dim=1)
    total, place, punctuation, line_break = (seen @ by_key).unbind(-1)
    logs = seen.clamp(min=torch.finfo(seen.dtype).tiny).log_()
    entropy = -torch.linalg.vecdot(seen.flatten(1), logs.flatten(1)) / rows
    first = seen[..., 0].mean(1)
    seen[..., 0] = 0  # beside it all are told apart by their distance
    by_distance = _by_distance(seen)
    near = by_distance[:, :LOCAL] / rows  # which none of these places is to the first token
    found = {
        "first": first,
        "itself": near[:, 0],
        "previous": near[:, 1],
        "before_previous": near[:, 2],
        "punctuation": punctuation.mean(1),
        "line_break": line_break.mean(1),
        "local": near.sum(1),
        "nowhere": (1 - total).clamp(min=0).mean(1),
        "placed": _placed(seen, by_distance),
        "distance": ((places[FIRST_PLACE:] * total - place) / total.clamp(min=1e-9)).mean(1),
        "entropy": entropy,
    }
    for name, (of, to, n) in marks.pairs.items():
        found[name] = patterns[:, of, to].sum(1) / (n or float("nan"))
    return torch.stack([found[figure.name] for figure in FIGURES], dim=1)


def uniform_figures(marks: TextMarks) -> Tensor:
    """The figures (F,) of a head that attends to all tokens so far alike."""
    alike = torch.ones(1, marks.length, marks.length).tril()
    return figures(alike / alike.sum(-1, keepdim=True), marks)[0]


def _by_distance(seen: Tensor) -> Tensor:
    """The attention (H, T) of the last rows (H, R, T) of causal patterns to what is 0, 1, 2, ... tokens back."""
    heads, rows, columns = seen.shape
    # Read as rows of T + 1 instead of T, the entries of one distance stand in one column.
    flat, width = seen.flatten(1), columns + 1
    whole = flat.shape[1] // width * width
    sums = flat[:, :whole].view(heads, -1, width).sum(1)
    sums[:, : flat.shape[1] - whole] += flat[:, whole:]
    return sums[:, (columns - rows - torch.arange(columns, device=seen.device)) % width]


def _placed(seen: Tensor, by_distance: Tensor) -> Tensor:
    """How much (H,) of the squared attention, that to the first token left out, distance alone explains.

    With m(d) the mean attention to what is d tokens back, over the n(d) places that have such a token, this is the sum
    of n(d) m(d)^2 over the sum of all squares: 1 for a head that knows distances only.
    """
    _, rows, columns = seen.shape
    first = columns - rows
    backs = torch.arange(columns, device=seen.device)
    counts = (columns - (backs + 1).clamp(min=first)).clamp(min=1)
    flat = seen.flatten(1)
    explained: Tensor = (by_distance.square() / counts).sum(1) / torch.linalg.vecdot(flat, flat).clamp(min=1e-12)
    return explained.clamp(max=1)
