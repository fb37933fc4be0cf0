"""Vectors that heads really read and write in running text, for readings to be held against.

The text is what the model writes itself, seeded, and free text that stands beside this file. At every position hooks
on the value projections give the normed input n (d) of each layer's attention, so that n W_V W_O is what a head would
write if it attended to that position alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from describe.inference import Runner
from describe.weights import HeadWeights
from describe.weights.model import LayerWeights

__all__ = ["RunningText", "fidelity", "read_text"]

BEGINNINGS = ("The", "In", "When", "A", "She", "He", "It", "We", "I", "If", "This", "They", "How", "You", "One", "At")
TEXTS, LENGTH = 64, 48
FREE_TEXT = Path(__file__).parent / "free_text.txt"
AT_ONCE = 16


@dataclass(frozen=True)
class RunningText:
    """Positions of text.

    Attributes:
        tokens: their token ids, (P,).
        read: what each layer's attention reads there, (L, P, d), in half precision.
    """

    tokens: Tensor
    read: Tensor


def read_text(runner: Runner, weights: HeadWeights, texts: int = TEXTS) -> RunningText:
    """The text of a model, run once. The first two tokens of a text are left out: they stand where texts begin."""
    own = _written(runner, weights, texts)
    free = [weights.start_ids(part) for part in FREE_TEXT.read_text().split("\n\n")]
    tokens, read = [], []
    for batch in [*own.split(AT_ONCE), *(torch.tensor([ids]) for ids in free)]:
        with _reading(runner) as seen, torch.no_grad():
            runner.forward({"input_ids": batch, "attention_mask": torch.ones_like(batch)}, None)
        tokens.append(batch[:, 2:].flatten())
        read.append(torch.stack([seen[layer][:, 2:].flatten(0, 1) for layer in range(runner.info.n_layers)]).half())
    return RunningText(torch.cat(tokens), torch.cat(read, dim=1))


def _written(runner: Runner, weights: HeadWeights, texts: int) -> Tensor:
    """Texts that the model writes after common first words, (texts, T), sampled as it is."""
    begun = [weights.opening_ids(BEGINNINGS[i % len(BEGINNINGS)]) for i in range(texts)]
    draw, model = torch.Generator().manual_seed(0), runner.model
    so_far = torch.tensor(begun)
    step, cache = so_far, None
    with torch.no_grad():
        for _ in range(LENGTH):
            out = model(step, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            step = torch.multinomial(out.logits[:, -1].float().softmax(-1), 1, generator=draw)
            so_far = torch.cat([so_far, step], dim=1)
    return so_far


@contextmanager
def _reading(runner: Runner) -> Iterator[dict[int, Tensor]]:
    """Vectors that the layers' attention reads while the model runs."""
    seen: dict[int, Tensor] = {}

    def note(layer: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            seen[layer] = arguments[0].detach()

        return hook

    with ExitStack() as hooks:
        for layer in range(runner.info.n_layers):
            hooks.callback(runner.value(layer).register_forward_pre_hook(note(layer)).remove)
        yield seen


@dataclass(frozen=True)
class _Types:
    """The tokens of a text that occur in it, and which position is of which.

    Attributes:
        ids: each token once, (T,).
        of: the place of each position's token among them, (P,).
    """

    ids: Tensor
    of: Tensor

    def sums(self, values: Tensor) -> Tensor:
        """The sum over the positions of each token, (P, ...) to (T, ...)."""
        found = values.new_zeros(len(self.ids), *values.shape[1:])
        return found.index_add_(0, self.of, values)

    def mean(self, values: Tensor, chosen: Tensor) -> float:
        """The mean over tokens of the mean over their chosen positions, (P,)."""
        count, total = self.sums(chosen.float()), self.sums(values * chosen)
        return float((total / count)[count > 0].mean())


def fidelity(
    text: RunningText, layer: int, heads: LayerWeights, unembed: Tensor, readings: Sequence[Callable[[Tensor], Tensor]]
) -> list[float]:
    """How well each reading tells what heads of a layer write at a token in text: the cosine, in the metric of the
    output vocabulary, of n W_VO less its mean over tokens with the reading's source vector through W_VO; the mean
    over heads, tokens (each once) and their positions. The last is a ceiling: the mean of n over the token's other
    positions, over tokens that occur at least twice.

    Args:
        unembed: U transposed with all that stands between the heads and it folded in, (m, d).
        readings: from token ids to source vectors, (T, d).
    """
    ids, of = torch.unique(text.tokens, return_inverse=True)
    types = _Types(ids, of)
    apart = unembed - unembed.mean(0)
    metric = apart.mT @ apart / len(apart)
    n, count = text.read[layer].float(), types.sums(torch.ones(len(of)))
    mean = types.sums(n) / count[:, None]
    middle = mean.mean(0)
    often, every = count[of] > 1, torch.ones(len(of), dtype=torch.bool)
    elsewhere = (mean[of] * count[of, None] - n) / (count[of, None] - 1).clamp_min(1) - middle
    said = [*((read(ids)[of], every) for read in readings), (elsewhere, often)]
    found = torch.zeros(len(said))
    per_group = len(heads.output) // len(heads.value)
    for group, value in enumerate(heads.value.float()):
        truth = (n - middle) @ value
        told = [vectors @ value for vectors, _ in said]
        for output in heads.output[group * per_group : (group + 1) * per_group].float():
            root = _root(output @ metric @ output.mT)
            for place, (vectors, (_, chosen)) in enumerate(zip(told, said, strict=True)):
                cosine = torch.cosine_similarity(vectors @ root, truth @ root, dim=1)
                found[place] += types.mean(cosine, chosen)
    return (found / len(heads.output)).tolist()


def _root(matrix: Tensor) -> Tensor:
    """A with A A^T the matrix, (dh, dh)."""
    values, axes = torch.linalg.eigh(matrix.double())
    return (axes * values.clamp_min(0).sqrt()).float()
