"""What needs the model to run: dynamic scores and their correlation with the static ones, and ablation."""

from describe.validation.ablation import (
    Exam,
    accuracies,
    choose_controls,
    random_heads,
    removal_numbers,
    strongest_heads,
)
from describe.validation.correlation import Correlation, Pearson, correlations
from describe.validation.dynamic import Asked, dynamic_hits
from describe.validation.prompts import PAPER_TEMPLATES, Prompt, Template, read_templates
from describe.validation.running import Attended, Runner, Steps, open_runner
from describe.validation.tasks import Task, make_exam, read_tasks

__all__ = [
    "PAPER_TEMPLATES",
    "Asked",
    "Attended",
    "Correlation",
    "Exam",
    "Pearson",
    "Prompt",
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
    "random_heads",
    "read_tasks",
    "read_templates",
    "removal_numbers",
    "strongest_heads",
]
