"""Heads removed in other ways than by zeros at the last position: by their mean or by another prompt's output, at the
last position or at all; and their direct effect on the logits, past all later layers.

Prompts run whole. A head's output z is replaced before W_O reads it:

    zero       0
    mean       the head's mean z, over the prompts (at the last position) or over all their positions
    resample   z of another prompt of the same set, at the position as far from its end (its first, where it is shorter)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from describe.inference.ablation import Exam
from describe.inference.prompts import Prompt
from describe.inference.running import Runner
from describe.records import HeadId

__all__ = ["Outcome", "Removed", "accuracies_by", "direct_logits", "exam_outcome", "logits_without", "text_loss"]

By = Literal["zero", "mean", "resample"]
Where = Literal["last", "all"]


@dataclass(frozen=True)
class Removed:
    """Heads of a model as they run on prompts, and what stands in for them.

    Attributes:
        runner, prompts, heads: of what.
        at: replaced at the last position of each prompt, or at all.
        instead: for each head z' of each prompt and padded position, (heads, B, T, dh).
        own: the heads' z as it is, (heads, B, T, dh).
    """

    runner: Runner
    prompts: list[Prompt]
    heads: tuple[HeadId, ...]
    at: Where
    instead: Tensor
    own: Tensor

    @classmethod
    def of(
        cls,
        runner: Runner,
        prompts: Sequence[Prompt],
        heads: Sequence[HeadId],
        by: By = "zero",
        at: Where = "last",
        seed: int = 0,
    ) -> Removed:
        """Run the prompts once, as they are, to see what is to stand in for the heads."""
        kept, unique = list(prompts), tuple(dict.fromkeys(heads))
        own = _outputs(runner, kept, unique)
        real = runner.padded(kept)["attention_mask"].bool()
        instead = torch.zeros_like(own)
        if by == "mean" and at == "last":
            instead[:] = own[:, :, -1:].mean(1, keepdim=True)
        elif by == "mean":
            instead[:] = own[:, real].mean(1)[:, None, None]
        elif by == "resample":
            instead = own[:, _others(len(kept), seed)]
            _fill_padding(instead, real[_others(len(kept), seed)])
        return cls(runner, kept, unique, at, instead, own)

    def only(self, heads: Sequence[HeadId]) -> Removed:
        """Some of these heads alone."""
        places = [self.heads.index(head) for head in heads]
        return replace(self, heads=tuple(heads), instead=self.instead[places], own=self.own[places])

    def part(self, prompts: slice) -> Removed:
        """Some of the prompts alone, which must be of one length with the others."""
        kept = self.prompts[prompts]
        return replace(self, prompts=kept, instead=self.instead[:, prompts], own=self.own[:, prompts])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with the heads' outputs replaced while the prompts run, all in one batch."""

        def replacing(layer: int) -> Callable[..., tuple[Tensor, ...]]:
            def hook(_module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                z = self.runner.by_head(arguments[0]).clone()
                where = slice(-1, None) if self.at == "last" else slice(None)
                for i, head in enumerate(self.heads):
                    if head.layer == layer:
                        z[:, where, head.head] = self.instead[i][:, where].to(z.dtype)
                return (z.flatten(-2), *arguments[1:])

            return hook

        with ExitStack() as hooks:
            for layer in {head.layer for head in self.heads}:
                module = self.runner.output_projection(layer)
                hooks.callback(module.register_forward_pre_hook(replacing(layer)).remove)
            yield


def logits_without(removed: Removed, last: bool = False) -> Tensor:
    """The model's logits for the prompts with the heads removed, (B, T, V); padded on the left. ``last``: T = 1."""
    with removed.applied(), torch.no_grad():
        return _run(removed.runner, removed.prompts, last)


def direct_logits(removed: Removed, last: bool = False) -> Tensor | None:
    """The logits if the removal reached the final norm alone, and no later layer read of it, as `logits_without`.

    None for a family whose residual goes through norms or factors on its way.
    """
    runner = removed.runner
    norm = runner.final_norm()
    if norm is None:
        return None
    changes: list[Tensor] = []
    with ExitStack() as hooks, torch.no_grad():
        for layer in {head.layer for head in removed.heads}:
            module = runner.output_projection(layer)
            hooks.callback(module.register_forward_hook(_noting(removed, layer, changes)).remove)
        _run(runner, removed.prompts, last=True)

    def moved(_module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (arguments[0] + sum(changes), *arguments[1:])

    with ExitStack() as hooks, torch.no_grad():
        hooks.callback(norm.register_forward_pre_hook(moved).remove)
        return _run(runner, removed.prompts, last)


@dataclass(frozen=True)
class Outcome:
    """How a task goes: the share of prompts whose likeliest next token is an answer, and -log of the answers' share."""

    accuracy: float
    loss: float


def exam_outcome(logits: Tensor, exam: Exam) -> Outcome:
    """A task's outcome from the logits behind its prompts, (B, V)."""
    shares = logits.double().log_softmax(-1)
    losses, right = [], 0
    for row, likeliest, answers in zip(shares, logits.argmax(-1).tolist(), exam.answers, strict=True):
        losses.append(-float(row[sorted(answers)].logsumexp(0)))
        right += likeliest in answers
    return Outcome(right / len(losses), sum(losses) / len(losses))


def text_loss(logits: Tensor, prompts: Sequence[Prompt], following: Sequence[Sequence[int]]) -> float:
    """Mean -log of the share of the token that comes next, in nats, over the last positions of padded logits (B, T, V).

    Args:
        following: of each prompt, the tokens that come after its last positions; as many positions count.
    """
    losses = []
    for row, prompt, wanted in zip(logits.double().log_softmax(-1), prompts, following, strict=True):
        places = row[-min(len(wanted), len(prompt.ids)) :]
        losses.append(-places[torch.arange(len(places)), torch.tensor(list(wanted)[-len(places) :])])
    return float(torch.cat(losses).mean())


def accuracies_by(
    runner: Runner,
    exam: Exam,
    removals: Sequence[Sequence[HeadId]],
    by: By,
    at: Where,
    progress: Callable[[float], None] = lambda _: None,
) -> list[float]:
    """As `describe.inference.accuracies`, with heads removed ``by`` other means ``at`` other positions."""
    every = Removed.of(runner, exam.prompts, [head for heads in removals for head in heads], by, at)
    found = []
    for done, heads in enumerate(removals, 1):
        found.append(exam_outcome(logits_without(every.only(heads), last=True)[:, -1], exam).accuracy)
        progress(done / len(removals))
    return found


def _noting(removed: Removed, layer: int, changes: list[Tensor]) -> Callable[..., None]:
    """A hook behind W_O that notes by how much the residual would change if the heads of the layer were replaced."""
    runner = removed.runner

    def hook(_module: nn.Module, _arguments: tuple[Tensor, ...], out: Tensor) -> None:
        change = torch.zeros_like(out)
        where = slice(-1, None) if removed.at == "last" else slice(None)
        for i, head in enumerate(removed.heads):
            if head.layer == layer:
                matrix = runner.output(layer)[head.head].to(out.dtype)
                change[:, where] += (removed.instead[i] - removed.own[i])[:, where].to(out.dtype) @ matrix
        behind = runner.norm_behind_attention(layer)
        if behind is not None:
            change = behind(out + change) - behind(out)
        changes.append(change * runner.residual_factor)

    return hook


def _run(runner: Runner, prompts: Sequence[Prompt], last: bool) -> Tensor:
    return runner.whole(runner.padded(prompts), last)


def _outputs(runner: Runner, prompts: Sequence[Prompt], heads: Sequence[HeadId]) -> Tensor:
    """z of each head at all padded positions, (heads, B, T, dh)."""
    if not heads:
        longest = max(len(prompt.ids) for prompt in prompts)
        return torch.empty(0, len(prompts), longest, runner.info.d_head, dtype=runner.dtype, device=runner.device)
    found: dict[int, Tensor] = {}

    def noting(layer: int) -> Callable[..., None]:
        def hook(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            found[layer] = runner.by_head(arguments[0])

        return hook

    with ExitStack() as hooks, torch.no_grad():
        for layer in {head.layer for head in heads}:
            hooks.callback(runner.output_projection(layer).register_forward_pre_hook(noting(layer)).remove)
        _run(runner, prompts, last=True)
    return torch.stack([found[head.layer][:, :, head.head] for head in heads])


def _others(n: int, seed: int) -> Tensor:
    """For each of n prompts another one, at random: the next in a random circle."""
    order = random.Random(seed).sample(range(n), n)  # noqa: S311  (not a secret)
    following = dict(zip(order, order[1:] + order[:1], strict=True))
    return torch.tensor([following[i] for i in range(n)])


def _fill_padding(instead: Tensor, real: Tensor) -> None:
    """Where a prompt was shorter than another, its first z stands in its padding."""
    first = real.int().argmax(1)
    for i, place in enumerate(first.tolist()):
        instead[:, i, :place] = instead[:, i, place : place + 1]
