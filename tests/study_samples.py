"""Catalogues of made-up described heads, and raters who answer at once: what the tests of human studies share."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, insert

from annotations.design import Design
from annotations.rating import RatingDesk
from annotations.records import StageA, StageB, Task, Turn
from describe.catalog import Catalogue, schema
from describe.catalog.database import begin_write
from describe.catalog.rows import now
from describe.records import ModelInfo

FITS = StageB("fits", "all")
WORDS = [first + second for first in "bdfgklmnprst" for second in ("an", "el", "im", "ot", "ur", "ax", "eb", "ick")]


def unsafe_but_quick(engine: Engine) -> None:
    """Do without the disk: for tests that are about other things than a loss of power."""
    if engine.dialect.name == "sqlite":
        engine.dispose()
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))


def described_catalogue(
    where: str | Path, layers: int = 8, heads: int = 10, salient: int = 8, labellers: int = 2
) -> Catalogue:
    """A model ``m`` with these heads, all described by an LLM and by statistics; a fifth of the LLM's are abstentions,
    and one in ten a failure. Heads of neighbouring numbers have similar outputs.
    """
    catalogue = Catalogue(str(where), create=True)
    unsafe_but_quick(catalogue.engine)
    info = ModelInfo("m", "ab" * 32, "llama", layers, heads, heads, 8, 4, 50)
    extraction = catalogue.begin_extraction(catalogue.register_model(info), {"salient": salient}, {})
    by = [
        catalogue.register_labeller("openai:x", "salient-1", "t", {}),
        catalogue.register_labeller("statistics", "evidence-1", "t", {}),
    ]
    common: dict[str, Any] = {"created": now()}
    rows, told = [], []
    for number in range(layers * heads):
        fields = {"id": number + 1, "extraction_id": extraction, "layer": number // heads, "head": number % heads}
        table = [
            [row, f" s{number}-{row}", 1.0, [[9, f" t{number + 2 * row + shift}", 1.0] for shift in range(5)]]
            for row in range(salient)
        ]
        rows.append(fields | common | {"saliency": (number * 7 % 11) / 10, "salient": table})
        for labeller in by[:labellers]:
            llm = labeller == by[0]
            unclear, failed = llm and number % 5 == 0, llm and number % 10 == 3
            said = " ".join(WORDS[(number * k + k) % len(WORDS)] for k in (1, 3, 5)) + f" x{chr(97 + number % 26)}"
            told.append(
                common
                | {"head_id": number + 1, "labeller_id": labeller, "usage": {}, "versions": {}}
                | {"unclear": unclear, "failure": "timeout" if failed else None}
                | {"inputs": None if failed else "words", "pattern": "Unclear" if unclear else None if failed else said}
            )
    with begin_write(catalogue.engine) as connection:
        for start in range(0, len(rows), 5000):
            connection.execute(insert(schema.head), rows[start : start + 5000])
        for start in range(0, len(told), 5000):
            connection.execute(insert(schema.description), told[start : start + 5000])
    return catalogue


def design(**changes: Any) -> Design:
    """A small study of that model."""
    return Design(**{"name": "s", "models": ("m",), "heads": "sample:30", "raters_per_item": 2} | changes)


def new() -> str:
    """A submission's UUID."""
    return str(uuid.uuid4())


def let_in(desk: RatingDesk, rater: int) -> Turn:
    """Consent and practise; what comes then."""
    desk.consent(rater, new())
    while (turn := desk.next_item(rater)).state == "practice":
        desk.practise(rater, new(), turn.practice, StageA("clear"), FITS)
    return turn


def answer(desk: RatingDesk, rater: int, task: Task, judge: Callable[[Task], StageB] = lambda task: FITS) -> None:
    """Answer both stages of the task that was given."""
    if task.stage == "a":
        assert desk.answer_a(rater, task.presentation, new(), StageA("clear")).saved
        given = desk.next_item(rater).task
        assert given is not None
        task = given
    assert desk.answer_b(rater, task.presentation, new(), judge(task)).saved


def rate_all(desk: RatingDesk, rater: int, most: int | None = None) -> str:
    """Answer items until there are no more, or so many; the state that ended it."""
    turn = let_in(desk, rater)
    done = 0
    while turn.state == "item" and turn.task is not None and done != most:
        answer(desk, rater, turn.task)
        done += 1
        turn = desk.next_item(rater)
    return turn.state
