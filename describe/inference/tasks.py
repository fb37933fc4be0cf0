"""Tasks for ablation: for each operation a text that a model completes with the target, plain or after examples."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from describe.errors import InputError
from describe.inference.ablation import Exam
from describe.inference.prompts import PLACE, Template

__all__ = ["Task", "make_exam", "read_tasks"]


@dataclass(frozen=True)
class Task:
    """A text with ``<X>`` for the source, after which the target should come, and how many solved examples go first."""

    text: str
    shots: int


def read_tasks(path: Path | None = None) -> dict[str, Task]:
    """The tasks of a JSON file, by default ours: operation -> text, or {"text": ..., "shots": ...}.

    Raises `InputError` for anything else.
    """
    try:
        ours = resources.files("describe.inference") / "tasks.json"
        content: Any = json.loads((path or ours).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"the tasks in '{path}' cannot be read: {error}") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"'{path}' holds no tasks: write an object of operation: text with {PLACE}")
    return {str(name): _task(str(name), entry) for name, entry in content.items()}


def _task(name: str, entry: Any) -> Task:
    about = {"text": entry} if isinstance(entry, str) else entry
    text, shots = (about.get("text"), about.get("shots", 0)) if isinstance(about, dict) else (None, 0)
    if not isinstance(text, str) or not isinstance(shots, int) or isinstance(shots, bool) or not 0 <= shots <= 100:
        raise InputError(f'the task of \'{name}\' is neither a text nor {{"text": ..., "shots": 0 to 100}}')
    template = Template.parse(text)
    if not shots and not (template.before + template.after).strip():
        raise InputError(f"the task of '{name}' is nothing but {PLACE}")
    return Task(text, shots)


def make_exam(
    task: Task,
    pairs: Sequence[tuple[str, str]],
    token: Callable[[str], int | None],
    start: Callable[[str], list[int]],
    inside: Callable[[str], list[int]],
    most: int,
    seed: int = 0,
) -> Exam:
    """At most ``most`` prompts of a task, a random sample of an operation's sources; its examples are other sources.

    Args:
        pairs: the operation's words; those that are single tokens on both sides count.
        token: the id of a word with a leading space, None where it is not one token; ``start`` and ``inside`` as
            `Template.prompts` takes them.
    """
    answers: dict[str, set[int]] = {}
    examples: dict[str, str] = {}
    for source, target in pairs:
        known = token(target)
        if token(source) is not None and known is not None:
            answers.setdefault(source, set()).add(known)
            examples.setdefault(source, target)
    order = random.Random(seed).sample(sorted(answers), len(answers))  # noqa: S311  (not a secret)
    shown, asked = order[: task.shots], order[task.shots : task.shots + most]
    text = "".join(f"{task.text.replace(PLACE, source)} {examples[source]}\n" for source in shown)
    entities = [[known for known in [token(source)] if known is not None] for source in asked]
    prompts = Template.parse(task.text).prompts(entities, start, inside, examples=text)
    return Exam(prompts, [frozenset(answers[source]) for source in asked])


def as_settings(tasks: Mapping[str, Task]) -> dict[str, list[Any]]:
    """The tasks as plain data, for a result's provenance."""
    return {name: [task.text, task.shots] for name, task in sorted(tasks.items())}
