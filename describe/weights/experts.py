"""A first layer that is a mixture of experts: every token goes where the layer's own router sends it.

The scores of the experts are a softmax (or sigmoids) of the router's logits. The k best are chosen, in some families
after a bias is added to the scores, or among the best groups of experts only; the bias does not weigh. Each chosen
expert's MLP is weighed by its score, which in most families are made to sum to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from describe.weights.first_mlp import Dense, moved

__all__ = ["Mixture", "Routing"]


@dataclass(frozen=True)
class Routing:
    """How a router chooses and weighs, whatever the configuration calls it.

    Attributes:
        top_k: experts asked for each token.
        scores: what becomes of the logits; "late sigmoid" chooses by logit and weighs by sigmoid; "sparsemixer" is
            Phi-3.5-MoE's (arXiv 2409.12136) with ``tolerance``.
        normalised: the weights of the chosen sum to one; then they are multiplied by ``scaling``.
        groups: of them, by the sum of their two best, only the best ``chosen_groups`` take part.
        weighs_input: the weight is applied to what an expert reads, not to what it writes (Llama 4).
        averaged: the mean of the experts and the shared one is taken, not their sum.
    """

    top_k: int
    scores: str = "softmax"
    normalised: bool = True
    scaling: float = 1
    groups: int = 1
    chosen_groups: int = 1
    weighs_input: bool = False
    averaged: bool = False
    tolerance: float = 0.01

    def choose(self, logits: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Which experts each token goes to, and their weights, both (n, k), from the logits (n, experts)."""
        if self.scores == "sparsemixer":
            return self._sparsemixer(logits)
        score = _SCORES[self.scores](logits)
        choice = self._in_groups(score if bias is None else score + bias)
        chosen = choice.topk(self.top_k, dim=1).indices
        weights = score.gather(1, chosen)
        if self.scores == "late sigmoid":
            weights = weights.sigmoid()
        if self.normalised:
            weights = weights / weights.sum(dim=1, keepdim=True)
        return chosen, weights * self.scaling

    def _in_groups(self, choice: Tensor) -> Tensor:
        if self.groups == 1:
            return choice
        grouped = choice.view(len(choice), self.groups, -1)
        best = grouped.topk(2, dim=2).values.sum(dim=2).topk(self.chosen_groups, dim=1).indices
        out = torch.ones(grouped.shape[:2], dtype=torch.bool, device=choice.device).scatter(1, best, False)
        return grouped.masked_fill(out[..., None], -torch.inf).flatten(1)

    def _sparsemixer(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Two experts, the second without the first; each weighed by a softmax over those not far below it."""
        chosen, weights = [], []
        left = logits
        for _ in range(2):
            best, expert = left.max(dim=1, keepdim=True)
            far = (best - logits) / logits.abs().clamp(min=best) > 2 * self.tolerance
            chosen.append(expert)
            weights.append(_softmax(left.masked_fill(far, -torch.inf)).gather(1, expert))
            left = left.scatter(1, expert, -torch.inf)
        return torch.cat(chosen, dim=1), torch.cat(weights, dim=1)


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(dim=1)


def _same(logits: Tensor) -> Tensor:
    return logits


_SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": _softmax,
    "sigmoid": torch.sigmoid,
    "late sigmoid": _same,
}


@dataclass(frozen=True)
class Mixture:
    """A router (experts, d), its experts, and the one that is always asked, if there is one.

    The experts stay where and as they are stored; each is moved while it is asked.
    """

    routing: Routing
    router: Tensor
    experts: Sequence[Dense]
    router_bias: Tensor | None = None
    choice_bias: Tensor | None = None
    shared: Dense | None = None
    shared_gate: Tensor | None = None

    @property
    def width(self) -> int:
        """Numbers held for each row on the way, at most."""
        return max(self.experts[0].width, 0 if self.shared is None else self.shared.width)

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows (n, d) to (n, d)."""
        chosen, weights = self.routing.choose(F.linear(rows, self.router, self.router_bias), self.choice_bias)
        written = torch.zeros_like(rows)
        for number in torch.unique(chosen).tolist():
            token, place = (chosen == number).nonzero(as_tuple=True)
            weight, expert = weights[token, place, None], self.experts[number].to(rows.device, rows.dtype)
            part = expert(rows[token] * weight) if self.routing.weighs_input else expert(rows[token]) * weight
            written.index_add_(0, token, part)
        if self.shared is None:
            return written
        always = self.shared(rows)
        if self.shared_gate is not None:
            always = F.linear(rows, self.shared_gate).sigmoid() * always
        return (written + always) / (2 if self.routing.averaged else 1)

    def parts(self, n: int) -> Iterator[Mixture]:
        """Itself: its experts are asked one by one as it is."""
        yield self

    def to(self, device: torch.device, dtype: torch.dtype) -> Mixture:
        """The mixture on another device, in another precision."""
        return moved(self, device, dtype)
