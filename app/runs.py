"""Runs started from the web app: each is the command as it is typed, in a process of its own that outlives the app."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.reporting import RUN
from describe.catalog import Catalogue
from describe.catalog.runs import Run
from describe.errors import InputError

__all__ = ["LONGEST_FIELD", "command_line", "go_on", "known_describers", "known_models", "model_of", "plan", "start"]

PATIENCE = 600.0
"""Seconds that a plan may take."""

KNOWN = 100
"""Runs whose models and describers are offered again."""

LONGEST_FIELD = 500
"""Characters of any field of a run. Streamlit cuts what is too long, so fields take one more, which is refused."""


def known_models(catalogue: Catalogue) -> list[str]:
    """The models to choose from: those of earlier runs, as they were named there, those of the catalogue, and the demo.

    A name in the catalogue may be that of a directory, which only the run that named it found.
    """
    named = [run.arguments[1] for run in catalogue.runs.newest(KNOWN) if len(run.arguments) > 1]
    names = [*named, "demo", *(model.name for model in catalogue.models())]
    return list(dict.fromkeys(name for name in names if _is_field(name)))


def known_describers(catalogue: Catalogue) -> list[str]:
    """The describers to choose from: statistics, the demo model, and who described heads of this catalogue before."""
    told = [one["llm"] for one in catalogue.browse.describers()]
    asked = [llm for run in catalogue.runs.newest(KNOWN) if (llm := run.option("llm")) is not None]
    return list(dict.fromkeys(name for name in ("statistics", "gguf:demo", *asked, *told) if _is_field(name)))


def model_of(catalogue: Catalogue, run: Run) -> str | None:
    """The model of the catalogue that a run is about, by name; None where there is none yet."""
    names = {model.name for model in catalogue.models()}
    asked = run.arguments[1] if len(run.arguments) > 1 else ""
    return next((name for name in (asked, Path(asked).name, Path(asked).stem) if name in names), None)


def _is_field(name: str) -> bool:
    """Whether a name could be written in a field."""
    try:
        _check_field("", name)
    except InputError:
        return False
    return bool(name.strip()) and not name.startswith("-")


def command_line(command: str, model: str, options: Mapping[str, Any]) -> list[str]:
    """The words after ``headscribe``; options without a value are left out.

    Raises `InputError` for no MODEL, and for what nobody types in a field.
    """
    model = model.strip()
    if not model or model.startswith("-"):
        raise InputError("name a model: demo, a directory, a .gguf file, or a Hugging Face hub id")
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    for name, value in {"model": model, **given}.items():
        _check_field(name, value)
    return [
        command,
        model,
        *(f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items() if value != ""),
    ]


def _check_field(name: str, value: Any) -> None:
    """Raise `InputError` for a value that no database, process or person should have to take."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} is not a number")
    text = str(value)
    if len(text) > LONGEST_FIELD:
        raise InputError(f"{name} has more than {LONGEST_FIELD} characters")
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text):
        raise InputError(f"{name} has a character that is no part of a line of text")


def start(catalogue: Catalogue, where: str, arguments: list[str]) -> int:
    """Begin a run of the catalogue at ``where``; returns its id."""
    run_id = catalogue.runs.begin(arguments)
    _launch(where, run_id, arguments)
    return run_id


def go_on(catalogue: Catalogue, where: str, run: Run) -> None:
    """Begin a run again that has ended: it goes on where it was. What is left of its budget is its budget.

    Raises `InputError` when nothing is left, or the run is going on already.
    """
    arguments = [*run.arguments]
    budget = run.option("budget")
    if budget is not None:
        left = math.floor((float(budget) - run.money) * 1e6) / 1e6
        if left < 0 or (left == 0 and float(budget) > 0):
            raise InputError(f"the budget of ${budget} is used up: start a new run, which goes on where this one was")
        arguments = [a for a in arguments if not a.startswith("--budget=")] + [f"--budget={left}"]
    if not catalogue.runs.begin_again(run.id):
        raise InputError("this run goes on already")
    _launch(where, run.id, arguments)


def plan(where: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The plan of a run of ``describe``: what it would ask, cost and take, as ``--dry-run --json`` says. Asks nobody.

    In a process of its own, since prompts with evidence need the model. Raises `InputError` with the line that the
    command refuses it with.
    """
    command = [*_PROGRAM, *arguments, "--dry-run", "--json=-"]
    done = subprocess.run(  # noqa: S603  (no shell: each argument is one word)
        command, env=_environment(where), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["the plan could not be made"]
        raise InputError(lines[-1].removeprefix("headscribe: "))
    return dict(json.loads(done.stdout))


_PROGRAM = [sys.executable, "-m", "app"]


def _launch(where: str, run_id: int, arguments: Sequence[str]) -> None:
    """Start the command apart from this process: neither its end nor its terminal's reaches the run."""
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    process = subprocess.Popen(  # noqa: S603  (no shell: each argument is one word)
        [*_PROGRAM, *arguments, "--quiet"],
        env=_environment(where) | {RUN: str(run_id)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **apart,
    )
    threading.Thread(target=process.wait, daemon=True).start()  # so that no zombie stays


def _environment(where: str) -> dict[str, str]:
    """This process's own, keys to LLMs included; and our own packages, whatever lies in the working directory."""
    packages = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(part for part in packages if part)
    return os.environ | {"HEADSCRIBE_CATALOG": where, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
