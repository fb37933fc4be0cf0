"""Whatever needs the model to run: dynamic scores and their correlation with the static ones, and ablation."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from describe.inference.ablation import (
    ROW_RULES,
    Exam,
    RowRule,
    accuracies,
    choose_controls,
    random_heads,
    removal_numbers,
    shown_numbers,
    strongest_heads,
)
from describe.inference.correlation import Correlation, Pearson, correlations, points
from describe.inference.prompts import PAPER_TEMPLATES, Prompt, Template, read_templates
from describe.inference.tasks import Task, make_exam, read_tasks

if TYPE_CHECKING:
    from describe.inference.dynamic import Asked, dynamic_hits
    from describe.inference.running import Attended, Runner, Steps, open_runner

__all__ = [
    "PAPER_TEMPLATES",
    "ROW_RULES",
    "Asked",
    "Attended",
    "Correlation",
    "Exam",
    "Pearson",
    "Prompt",
    "RowRule",
    "Runner",
    "Steps",
    "Task",
    "Template",
    "accuracies",
    "choose_controls",
    "correlations",
    "dynamic_hits",
    "make_exam",
    "open_runner",
    "points",
    "random_heads",
    "read_tasks",
    "read_templates",
    "removal_numbers",
    "shown_numbers",
    "strongest_heads",
]

_NEEDS_TORCH = {"Asked": "dynamic", "dynamic_hits": "dynamic"} | dict.fromkeys(
    ("Attended", "Runner", "Steps", "open_runner"), "running"
)


def __getattr__(name: str) -> Any:
    """Load the part that needs torch only when it is used: results are read and drawn without."""
    if name in _NEEDS_TORCH:
        return getattr(importlib.import_module(f"describe.inference.{_NEEDS_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
