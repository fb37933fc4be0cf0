"""``headscribe ablate``: what a model still can do when the heads of an operation are removed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.catalog.checks import ablation as as_ablation
from describe.catalog.checks import plain
from describe.check_records import Ablation
from describe.errors import InputError
from describe.inference import random_heads, removal_numbers, shown_numbers
from describe.operations import OURS, Operation, Problem, Profile
from describe.pipeline.common import Progress, silent
from describe.pipeline.inference.correlation import Testbed, choose_operations, open_testbed
from describe.pipeline.operations.relations import Scoring, Settings, as_row, score_settings
from describe.records import MIN_PAIRS, HeadId, ModelInfo, OperationScores
from describe.text import visible

if TYPE_CHECKING:
    from describe.inference import Exam, Task
    from describe.inference.removal import By, Where

__all__ = ["AblateResult", "ablate", "ablation_curves", "ablation_rows", "checked_means", "exam_of"]

LEAST_BASE = 0.1
"""An operation whose task is solved less often than this cannot be tested by making it worse (MAPS)."""


@dataclass(frozen=True)
class AblateResult:
    """Effects of removing heads, by operation.

    Attributes:
        ablations: of the operations that could be tested.
        not_testable: why the others could not.
    """

    model: ModelInfo
    ablations: dict[str, Ablation]
    not_testable: dict[str, str]
    problems: list[Problem] = field(default_factory=list)
    new: int = 0


def ablate(
    catalogue: Catalogue,
    model: str,
    *,
    operations: Path | None = None,
    only: Sequence[str] = (),
    tasks: Path | None = None,
    profile: Profile = OURS,
    k: int | None = None,
    first_mlp: bool = True,
    prompts: int | None = None,
    seeds: int | None = None,
    controls: int | None = None,
    by: str = "zero",
    at: str = "last",
    reading: str = "paper",
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = silent,
) -> AblateResult:
    """Remove heads from the strongest down and see how often tasks are still solved; committed by operation.

    Args:
        operations: a directory of operations; by default the 20 that headscribe brings.
        only: ablate these operations; the others serve as controls.
        tasks: a file of tasks, as `describe.inference.read_tasks` reads it; by default ours.
        profile: how heads are scored, how controls are chosen, and after how many heads accuracy is taken.
        k, first_mlp: as in `relations`.
        prompts: the most prompts of a task; as ``seeds``, how many times random heads are drawn, and ``controls``, the
            most control tasks of an operation, by default as the profile has it.
        by, at: what stands in for what heads read, and at which positions, as in `remove_heads`.
        reading: by which the scores are computed that say which heads are removed.

    Raises `InputError` for what cannot be read or used.
    """
    from describe.inference.tasks import as_settings, read_tasks

    how = checked_means(by, at)
    given = {"prompts": prompts, "seeds": seeds, "controls": controls}
    amounts = {name: getattr(profile, name) if n is None else n for name, n in given.items()}
    if amounts["prompts"] < MIN_PAIRS or amounts["seeds"] < 1 or amounts["controls"] < 0:
        raise InputError(f"ablation needs at least {MIN_PAIRS} prompts, 1 seed and 0 controls")
    chosen, wanted = choose_operations(operations, only)
    tried = chosen if amounts["controls"] else wanted  # the others are controls, or nothing
    every = read_tasks(tasks)
    known = {operation.name: every[operation.name] for operation in chosen if operation.name in every}
    bed = open_testbed(model, device, dtype)
    scoring = Scoring(operations, profile, k, first_mlp, reading)
    static = scoring.run(catalogue, model, device, progress)
    unusual = _unusual(bed.weights.info, scoring, how)
    ours = not unusual and tasks is None and operations is None and dtype == "float32"
    run_id = catalogue.checks.begin_run(
        catalogue.register_model(bed.weights.info),
        "ablate",
        bed.settings | amounts | unusual | {"tasks": as_settings(known), "operations": _hashes(chosen)},
        standard=ours and all(getattr(OURS, name) == n for name, n in amounts.items()),
        versions=bed.versions,
    )
    scores = {found.name: found for found in static.operations if found.valid}
    refused = _refused(tried, scores, known)
    work = _Work(catalogue, run_id, bed, amounts["seeds"], amounts["controls"], profile, how, scores, progress)
    exams = _exams([operation for operation in tried if operation.name not in refused], known, bed, amounts["prompts"])
    refused |= {o.name: "its task has no prompts" for o in tried if o.name not in refused and o.name not in exams}
    base = work.base(exams)
    refused |= {
        name: f"base accuracy {value:.2f}, under {LEAST_BASE}" for name, value in base.items() if value < LEAST_BASE
    }
    testable = {name: exam for name, exam in exams.items() if name not in refused}
    ablations, new = work.complete(testable, base, set(only) or set(testable))
    return AblateResult(static.model, ablations, dict(sorted(refused.items())), static.problems, new)


def _hashes(operations: Sequence[Operation]) -> list[str]:
    return sorted(operation.content_hash for operation in operations)


def _refused(
    operations: Sequence[Operation], scores: dict[str, OperationScores], tasks: dict[str, Task]
) -> dict[str, str]:
    """The operations of which nothing can be tried, and why."""
    no_scores, no_task = f"not valid for this model: under {MIN_PAIRS} pairs", "it has no task"
    why = {operation.name: no_task if operation.name in scores else no_scores for operation in operations}
    return {name: reason for name, reason in why.items() if name not in scores or name not in tasks}


def _exams(
    operations: Sequence[Operation], tasks: dict[str, Task], bed: Testbed, most: int
) -> dict[str, tuple[Operation, Exam]]:
    """The operations whose tasks have prompts, with these."""
    tried = {operation.name: (operation, exam_of(operation, tasks, bed, most)) for operation in operations}
    return {name: (operation, exam) for name, (operation, exam) in tried.items() if exam}


def checked_means(by: str, at: str) -> tuple[By, Where]:
    """By which means heads are removed, and where. Raises `InputError` for what there is not."""
    if by not in ("zero", "mean", "resample"):
        raise InputError(f"heads cannot be removed by '{by}': use zero, mean or resample")
    if at not in ("last", "all"):
        raise InputError(f"heads cannot be removed at '{at}': use last or all")
    return by, at  # type: ignore[return-value]  # looked at just now


def _unusual(model: ModelInfo, scoring: Scoring, how: tuple[By, Where]) -> Settings:
    """The settings of a run that are not headscribe's own for this model; there are none in its standard run."""

    def settings(of: Scoring, by: str, at: str) -> Settings:
        chosen = {"reading": of.reading, "drawn": of.profile.drawn, "every": of.profile.every, "by": by, "at": at}
        return chosen | score_settings(model, of.profile, of.k, of.first_mlp)

    usual = settings(Scoring(), "zero", "last")
    return {name: value for name, value in settings(scoring, *how).items() if value != usual[name]}


def exam_of(operation: Operation, tasks: dict[str, Task], bed: Testbed, most: int) -> Exam | None:
    """The prompts of an operation's task; None where there are none."""
    from describe.inference import make_exam

    weights = bed.weights

    def token(word: str) -> int | None:
        return weights.token_id(f" {word}")

    exam = make_exam(tasks[operation.name], operation.pairs, token, weights.start_ids, weights.token_ids, most)
    return exam if exam.prompts else None


@dataclass(frozen=True)
class _Work:
    """One run: tasks, and heads removed from them."""

    catalogue: Catalogue
    run_id: int
    bed: Testbed
    seeds: int
    controls: int
    profile: Profile
    how: tuple[By, Where]
    scores: dict[str, OperationScores]
    progress: Progress

    def base(self, exams: dict[str, tuple[Operation, Exam]]) -> dict[str, float]:
        """How often each task is solved with no head removed; committed task by task."""
        from describe.inference import accuracies

        ids = {name: self._id(operation) for name, (operation, _) in exams.items()}
        there = self.catalogue.checks.load(self.run_id, "base", ids.values())
        missing = [name for name in exams if ids[name] not in there]
        self.progress("tasks", 0, len(missing))
        for done, name in enumerate(missing, 1):
            exam = exams[name][1]
            found = {"accuracy": accuracies(self.bed.runner, exam, [[]])[0], "prompts": len(exam.prompts)}
            self.catalogue.checks.save(self.run_id, ids[name], "base", found)
            self.progress("tasks", done, len(missing))
        there = self.catalogue.checks.load(self.run_id, "base", ids.values())
        return {name: float(there[ids[name]]["accuracy"]) for name in exams}

    def complete(
        self, exams: dict[str, tuple[Operation, Exam]], base: dict[str, float], only: set[str]
    ) -> tuple[dict[str, Ablation], int]:
        """The ablation of every operation; what is missing is done and committed, strongest heads first."""
        from describe.inference import choose_controls, strongest_heads

        model = self.bed.weights.info
        heads = {name: strongest_heads(self.scores[name], len(model.heads)) for name in exams}
        ids = {self._id(operation): name for name, (operation, _) in exams.items() if name in only and heads[name]}
        there = self.catalogue.checks.load(self.run_id, "ablation", ids)
        missing = {i: name for i, name in ids.items() if i not in there}
        against = {
            name: choose_controls(name, heads, {task: base[task] for task in exams}, self.controls, self.profile.drawn)
            for name in missing.values()
        }
        each = {name: self._steps(len(heads[name]), len(against[name])) for name in missing.values()}
        done, total = 0, sum(each.values())
        self.progress("ablate", 0, total)
        for operation_id, name in missing.items():
            found = self._ablate(name, exams, heads[name], against[name], base, (done, total))
            self.catalogue.checks.save(self.run_id, operation_id, "ablation", plain(found))
            done += each[name]
            self.progress("ablate", done, total)
        there = self.catalogue.checks.load(self.run_id, "ablation", ids)
        return {ids[i]: as_ablation(found) for i, found in there.items()}, len(missing)

    def _steps(self, heads: int, controls: int) -> int:
        """About how many sets of heads are removed for an operation."""
        every = len(removal_numbers(heads, self.profile.every))
        others = len(shown_numbers([1.0] * every)) if self.profile.every else every
        return every + others * (self.seeds + controls)

    def _ablate(
        self,
        name: str,
        exams: dict[str, tuple[Operation, Exam]],
        heads: list[HeadId],
        controls: list[str],
        base: dict[str, float],
        progress: tuple[int, int],
    ) -> Ablation:
        from describe.inference import accuracies
        from describe.inference.removal import accuracies_by

        started = time.perf_counter()
        numbers = removal_numbers(len(heads), self.profile.every)
        steps = 0

        def curve(task: str, sets: list[list[HeadId]]) -> list[float]:
            nonlocal steps

            def tick(share: float) -> None:
                self.progress("ablate", progress[0] + steps + int(share * len(sets)), progress[1])

            runner, exam = self.bed.runner, exams[task][1]
            if self.how == ("zero", "last"):
                found = accuracies(runner, exam, sets, tick)
            else:
                found = accuracies_by(runner, exam, sets, *self.how, tick)
            steps += len(sets)
            return found

        own = curve(name, [heads[:number] for number in numbers])
        if self.profile.every:
            places = shown_numbers(own)
            numbers, own = tuple(numbers[i] for i in places), [own[i] for i in places]
        orders = [random_heads(self.bed.weights.info.heads, heads, seed) for seed in range(self.seeds)]
        drawn = curve(name, [order[:number] for order in orders for number in numbers])
        removals = [heads[:number] for number in numbers]
        return Ablation(
            prompts=len(exams[name][1].prompts),
            heads=tuple(map(str, heads)),
            numbers=numbers,
            base=base[name],
            targeted=tuple(own),
            random=tuple(tuple(drawn[i : i + len(numbers)]) for i in range(0, len(drawn), len(numbers))),
            controls={task: (base[task], tuple(curve(task, removals))) for task in controls},
            seconds=time.perf_counter() - started,
        )

    def _id(self, operation: Operation) -> int:
        return self.catalogue.relations.operation_id(as_row(operation))


def ablation_rows(found: dict[str, Ablation], row: str = OURS.row) -> list[dict[str, Any]]:
    """A row per operation as plain data: ``heads`` removed, accuracies, and the changes relative to each base.

    ``row``: the rule by which it is taken from the curve, of `describe.inference.ROW_RULES`. ``random_sd``
    is the standard deviation over the draws of random heads; controls are means over the control tasks.
    """
    from describe.inference import ROW_RULES

    rows = []
    for name, ablation in sorted(found.items()):
        at = ROW_RULES[row].place(ablation.targeted)
        drawn = [curve[at] for curve in ablation.random]
        bases = [base for base, _ in ablation.controls.values()]
        after = [curve[at] for _, curve in ablation.controls.values()]
        control_base, control = (statistics.fmean(values) if values else None for values in (bases, after))
        rows.append(
            {
                "operation": name,
                "prompts": ablation.prompts,
                "heads": ablation.numbers[at],
                "base": ablation.base,
                "targeted": ablation.targeted[at],
                "targeted_change": ablation.targeted[at] / ablation.base - 1,
                "random": statistics.fmean(drawn),
                "random_sd": statistics.stdev(drawn) if len(drawn) > 1 else 0.0,
                "random_change": statistics.fmean(drawn) / ablation.base - 1,
                "controls": ", ".join(ablation.controls),
                "control_base": control_base,
                "control": control,
                "control_change": None if control is None or not control_base else control / control_base - 1,
            }
        )
    return rows


def ablation_curves(found: Ablation) -> list[dict[str, Any]]:
    """The curves of an ablation as rows: ``removed`` heads, which ``kind``, ``accuracy``, its ``low`` and ``high``.

    The range of random heads is a standard deviation either way.
    """
    rows: list[dict[str, Any]] = []

    def add(kind: str, values: Sequence[float], spread: Sequence[float] | None = None) -> None:
        for i, (number, value) in enumerate(zip((0, *found.numbers), values, strict=True)):
            around = spread[i] if spread else 0.0
            low, high = max(0.0, value - around), min(1.0, value + around)
            rows.append({"removed": number, "kind": kind, "accuracy": value, "low": low, "high": high})

    add("heads of the operation", (found.base, *found.targeted))
    drawn = list(zip(*found.random, strict=True))
    spread = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in drawn]
    add("random heads", (found.base, *map(statistics.fmean, drawn)), [0.0, *spread])
    for task, (base, curve) in found.controls.items():
        add(f"control: {visible(task).replace('_', ' ')}", (base, *curve))
    return rows
