"""``headscribe ablate --heads``: loss on tasks and text without some heads, and their direct effect on logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.catalog.checks import plain, removal_effect
from describe.check_records import RemovalEffect
from describe.errors import InputError
from describe.pipeline.common import Progress, silent
from describe.pipeline.inference.ablation import checked_means, exam_of
from describe.pipeline.inference.correlation import Testbed, choose_operations, open_testbed
from describe.pipeline.operations.relations import as_row
from describe.records import HeadId, ModelInfo, parse_heads

if TYPE_CHECKING:
    from torch import Tensor

    from describe.inference import Exam, Prompt
    from describe.inference.removal import By, Where

__all__ = ["TEXT", "RemoveResult", "remove_heads"]

TEXT = "text"
PIECES, PIECE = 32, 64
"""Pieces of text, and tokens of each."""

AT_ONCE = 8
"""Pieces whose logits are held at once."""


@dataclass(frozen=True)
class RemoveResult:
    """Effects of removing heads, by operation, and on `TEXT`; why other operations could not be tested."""

    model: ModelInfo
    heads: tuple[HeadId, ...]
    effects: dict[str, RemovalEffect]
    not_testable: dict[str, str]


def remove_heads(
    catalogue: Catalogue,
    model: str,
    heads: str,
    *,
    by: str = "zero",
    at: str = "last",
    operations: Path | None = None,
    only: Sequence[str] = (),
    tasks: Path | None = None,
    text: str | None = None,
    prompts: int = 100,
    seeds: int = 5,
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = silent,
) -> RemoveResult:
    """Remove heads together, whichever they are; effects on each operation's task, committed one by one, and on text.

    Args:
        heads: as `describe.records.parse_heads` reads it.
        by: what stands in for what they read: ``zero``, ``mean`` or ``resample`` (another prompt's).
        at: at the ``last`` position of a prompt, or at ``all``.
        text: a file, a folder or a dataset of the hub; by default ours.
        prompts, seeds: of a task at most; draws of as many random heads.

    Raises `InputError` for what cannot be read or used.
    """
    from describe.inference import random_heads
    from describe.inference.tasks import as_settings, read_tasks

    how = checked_means(by, at)
    chosen, known = choose_operations(operations, only)[1], read_tasks(tasks)
    if prompts < 1 or seeds < 1:
        raise InputError("at least 1 prompt and 1 seed are needed")
    bed = open_testbed(model, device, dtype)
    info = bed.weights.info
    removed = parse_heads(heads, info.n_layers, info.n_heads)
    if 2 * len(removed) > len(info.heads):
        raise InputError("at most half of the heads can be removed: random others are to be held against them")
    pieces, following = _pieces(bed, text, *how)
    tried = {o.name: known[o.name] for o in chosen if o.name in known}
    settings = {"heads": [str(head) for head in removed], "by": by, "at": at, "prompts": prompts, "seeds": seeds}
    run_id = catalogue.checks.begin_run(
        catalogue.register_model(info),
        "remove",
        bed.settings | settings | {"tasks": as_settings(tried)},
        standard=False,
        versions=bed.versions,
    )
    sets = [removed, *(random_heads(info.heads, removed, seed) for seed in range(seeds))]
    refused = {o.name: "it has no task" for o in chosen if o.name not in tried}
    ids = {o.name: catalogue.relations.operation_id(as_row(o)) for o in chosen if o.name in tried}
    there = catalogue.checks.load(run_id, "removal", ids.values())
    effects: dict[str, RemovalEffect] = {}
    progress("remove", 0, len(ids) + 1)
    for done, operation in enumerate([o for o in chosen if o.name in tried], 1):
        name = operation.name
        if ids[name] not in there:
            exam = exam_of(operation, tried, bed, prompts)
            if exam is None:
                refused[name] = "its task has no prompts of single tokens"
                continue
            catalogue.checks.save(run_id, ids[name], "removal", plain(_on_task(bed, exam, sets, *how)))
        found = there.get(ids[name]) or catalogue.checks.load(run_id, "removal", [ids[name]])[ids[name]]
        effects[name] = removal_effect(found)
        progress("remove", done, len(ids) + 1)
    effects[TEXT] = _on_text(bed, pieces, following, sets, *how)
    progress("remove", len(ids) + 1, len(ids) + 1)
    return RemoveResult(info, tuple(removed), effects, refused)


def _on_task(bed: Testbed, exam: Exam, sets: Sequence[Sequence[HeadId]], by: By, at: Where) -> RemovalEffect:
    """One task: whole, without the first set of heads, and without each of the others."""
    from describe.inference.removal import Removed, direct_logits, exam_outcome, logits_without

    every = Removed.of(bed.runner, exam.prompts, [head for heads in sets for head in heads], by, at)

    def outcome(logits: Tensor | None) -> tuple[float, float] | None:
        found = None if logits is None else exam_outcome(logits[:, -1], exam)
        return None if found is None else (found.accuracy, found.loss)

    whole, *each = (outcome(logits_without(every.only(heads), last=True)) for heads in ((), *sets))
    direct = outcome(direct_logits(every.only(sets[0]), last=True))
    assert whole is not None
    (accuracy, loss), *drawn = [found for found in each if found is not None]
    return RemovalEffect(
        prompts=len(exam.prompts),
        base_loss=whole[1],
        loss=loss,
        direct_loss=None if direct is None else direct[1],
        random_loss=tuple(found[1] for found in drawn),
        base_accuracy=whole[0],
        accuracy=accuracy,
        random_accuracy=tuple(found[0] for found in drawn),
    )


def _on_text(
    bed: Testbed,
    pieces: list[Prompt],
    following: list[list[int]],
    sets: Sequence[Sequence[HeadId]],
    by: By,
    at: Where,
) -> RemovalEffect:
    """Pieces of text: the loss at all positions, or where heads go at the last, there."""
    from describe.inference.removal import Removed, direct_logits, logits_without, text_loss

    losses: list[list[float]] = []
    whole = Removed.of(bed.runner, pieces, [head for heads in sets for head in heads], by, at)
    for start in range(0, len(pieces), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        some, wanted, every = pieces[part], following[part], whole.part(part)
        measure: Callable[[Tensor], float] = lambda logits: text_loss(logits, some, wanted)  # noqa: B023, E731
        row = [measure(logits_without(every.only(heads), last=at == "last")) for heads in ((), *sets)]
        direct = direct_logits(every.only(sets[0]), last=at == "last")
        losses.append([len(some) * value for value in [*row, *([] if direct is None else [measure(direct)])]])
    base, own, *drawn = [sum(column) / len(pieces) for column in zip(*losses, strict=True)]
    return RemovalEffect(
        prompts=len(pieces),
        base_loss=base,
        loss=own,
        direct_loss=drawn[len(sets) - 1] if len(drawn) == len(sets) else None,
        random_loss=tuple(drawn[: len(sets) - 1]),
    )


def _pieces(bed: Testbed, text: str | None, by: By, at: Where) -> tuple[list[Prompt], list[list[int]]]:
    """Pieces of text of one length as prompts, and the tokens that follow their positions.

    Raises `InputError` for a text that is too short, or of which no other piece can stand in for one.
    """
    from describe.inference import Prompt
    from describe.inference.attention import documents, read_sources

    found = documents(read_sources(text), bed.weights.start_ids, PIECES * (PIECE + 1), PIECE + 1)
    longest = max(len(document.ids) for document in found)
    ids = [document.ids for document in found if len(document.ids) == longest]
    if by == "resample" and len(ids) < 2:
        raise InputError("heads cannot be removed by 'resample' on a text of one piece: another is to stand in for it")
    prompts = [Prompt(tuple(piece[:-1]), 0) for piece in ids]
    return prompts, [list(piece[-1:] if at == "last" else piece[1:]) for piece in ids]
