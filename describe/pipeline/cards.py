"""``headscribe describe --cards``: an LLM words all that is known of heads; each statement is held to its evidence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.errors import CatalogueError, InputError
from describe.head_record.card_evidence import card_evidence
from describe.pipeline.common import Progress, find, silent
from describe.pipeline.llm_stage.estimate import Expected, expect, questions, to_ask
from describe.pipeline.llm_stage.limits import Batching, Limits, Terms
from describe.pipeline.llm_stage.run import LLMStage, StageResult
from describe.pipeline.llm_stage.task import Task
from describe.records import HeadId, ModelInfo, WordedCard, parse_heads

if TYPE_CHECKING:
    from describe.labelling import Template
    from describe.llm import LLM, Request

__all__ = ["CardsPlan", "CardsResult", "card_prompt_of", "check_words", "plan_cards", "word_cards"]

OTHERS = 20
"""Heads of the model under whose evidence the check of the statements is tried too: its level."""

ONE_BY_ONE = 60
"""Up to so many heads, each is read alone; more with all others of the model."""

_TAKEN = (
    "another run has these cards worded by {} with the same prompt and settings: let it finish, and give one run a"
    " higher --concurrency instead of starting several"
)

Evidence = dict[HeadId, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class CardsResult(StageResult):
    """The result of having cards worded.

    Attributes:
        heads: those that something is known of, and that were asked for; ``unknown``: the others.
        others, passed: statements under the evidence of other heads, over all cards that were worded, and of how many
            of these the check did not object.
    """

    labeller_id: int
    heads: list[HeadId]
    unknown: list[HeadId]
    others: int = 0
    passed: int = 0

    @property
    def summary(self) -> str:
        """How many cards are worded, beside what the check lets pass under other heads' evidence, in a line."""
        worded = len(self.heads) - len(self.failures) - len(self.missing)
        told = [f"worded: the cards of {worded} of {len(self.heads)} heads"]
        if self.others:
            share = self.passed / self.others
            told.append(f"under another head's evidence the check passes {share:.2f} of the same words ({self.others})")
        if self.unknown:
            told.append(f"of {len(self.unknown)} heads nothing but mappings is known")
        return "; ".join(told)


@dataclass(frozen=True)
class CardsPlan(Expected):
    """The plan of a run: ``heads`` whose cards are to be worded, and the ``prompts``."""

    model: ModelInfo
    heads: list[HeadId]
    prompts: dict[HeadId, str]


class _Wording:
    """One LLM that words the cards of heads of an extraction.

    Raises `InputError` where LLM, template, terms or heads cannot be used.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        model: str,
        llm: LLM,
        request: Request,
        prompt: str | None,
        terms: Terms,
        heads: str,
        reading: str | None,
    ) -> None:
        from describe.llm import identity

        check_words(llm)
        self.stage = LLMStage(catalogue, llm, request, _template(prompt), terms)
        self.settings = request.provenance() | identity(llm)
        self.model, self.extraction_id = find(catalogue, model, reading)
        wanted = _wanted(catalogue, self.model, self.extraction_id, heads)
        others = _others(catalogue.saved_heads(self.extraction_id))
        known = _evidence(catalogue, self.model, self.extraction_id, {*wanted, *others})
        self.known = {head: known[head] for head in wanted if known[head]}
        self.unknown = [head for head in wanted if not known[head]]
        self._others = {head: known[head] for head in others if known[head]}

    def task(self, *, keep: bool = True) -> Task[WordedCard]:
        """Questions about the heads that something is known of. Unless ``keep``, nothing is entered."""
        from describe.labelling import CardQuestion

        stage, known = self.stage, self.known
        labeller = stage.enter(self.settings, keep=keep)
        store, made_by = stage.catalogue.worded, stage.made_by
        outcomes = store.outcomes(self.extraction_id, labeller, known)

        def save(unit: HeadId, outcome: WordedCard) -> None:
            level = self.level(unit, outcome)
            store.save(self.extraction_id, unit, labeller, outcome, known[unit], level, made_by)

        return Task(
            name="cards",
            shown="cards",
            extraction_id=self.extraction_id,
            units=list(known),
            inquire=lambda unit: CardQuestion.of(stage.template, known[unit]).alone(),
            save=save,
            outcomes={unit: found.failure for unit, found in outcomes.items()},
            failed={unit: found.created for unit, found in outcomes.items() if found.failure is not None},
        )

    def level(self, unit: HeadId, outcome: WordedCard) -> tuple[int, int]:
        """Under how many other heads' evidence the statements are checked, and how often the check passes them.

        Nobody is asked: with another head's evidence in the prompt an LLM words that other head.
        """
        from describe.labelling import passes

        others = [lines for head, lines in self._others.items() if head != unit] if outcome.statements else []
        return len(others), sum(passes(outcome.statements, lines) for lines in others)


def check_words(llm: LLM) -> None:
    """Raise `InputError` for what is no LLM, and words no cards."""
    if not llm.kind.asks:
        raise InputError("--cards has an LLM word cards, and statistics is none: show gives headlines without one")


def word_cards(
    catalogue: Catalogue,
    model: str,
    llm: LLM,
    *,
    request: Request,
    heads: str = "all",
    reading: str | None = None,
    prompt: str | None = None,
    concurrency: int = 8,
    limits: Limits | None = None,
    batch: Batching | None = None,
    retry_failed: bool = False,
    fresh: bool = False,
    progress: Progress = silent,
) -> CardsResult:
    """Have an LLM word the cards of a model's heads: a headline and two sentences from all that is known of each.

    Each statement names the evidence that it rests on, and is looked up there; one that does not rest on it goes back
    once, and is then a failure. A head is asked about again where more is known of it than when it was. Options as in
    `describe.pipeline.describe`. Raises `InputError` as that does, and where no LLM is named.
    """
    terms = Terms(concurrency, limits or Limits(), batch, retry_failed, fresh, progress)
    wording = _Wording(catalogue, model, llm, request, prompt, terms, heads, reading)
    ran = wording.stage.run([wording.task()], _TAKEN.format(llm))
    (record,) = ran.records
    labeller = wording.stage.labeller_id or 0
    found = {unit: record.outcomes.get(unit, "missing") for unit in wording.known}
    worded = catalogue.worded.outcomes(wording.extraction_id, labeller, wording.known).values()
    return CardsResult(
        model=wording.model,
        extraction_id=wording.extraction_id,
        labeller_id=labeller,
        heads=list(wording.known),
        unknown=wording.unknown,
        failures={unit: cause for unit, cause in found.items() if cause not in (None, "missing")},
        missing=[unit for unit, cause in found.items() if cause == "missing"],
        others=sum(one.others for one in worded),
        passed=sum(one.passed for one in worded),
        **ran.result(),
    )


def plan_cards(
    catalogue: Catalogue,
    model: str,
    llm: LLM,
    *,
    request: Request,
    heads: str = "all",
    reading: str | None = None,
    prompt: str | None = None,
    concurrency: int = 8,
    limits: Limits | None = None,
    batch: Batching | None = None,
    retry_failed: bool = False,
) -> CardsPlan:
    """The plan of `word_cards` with these arguments. Asks nobody and changes nothing. Raises `InputError` likewise."""
    terms = Terms(concurrency, limits or Limits(), batch, retry_failed=retry_failed)
    wording = _Wording(catalogue, model, llm, request, prompt, terms, heads, reading)
    task = wording.task(keep=False)
    pending, in_batches = to_ask(wording.stage, [task])
    asked = {unit: questions(task, unit)[0] for _, unit in pending}
    expected = expect(wording.stage, model, list(asked.values()), in_batches=in_batches, of_template=True)
    prompts = {unit: question.prompt for unit, question in asked.items()}
    return CardsPlan(**vars(expected), model=wording.model, heads=list(asked), prompts=prompts)


def card_prompt_of(
    catalogue: Catalogue, model: str, head: HeadId, prompt: str | None = None, reading: str | None = None
) -> dict[str, object]:
    """The prompt that asks for a head's card, as `describe.pipeline.prompt_of` has that for its description."""
    from describe.labelling import CardQuestion

    template = _template(prompt)
    info, extraction_id = find(catalogue, model, reading)
    (unit,) = _wanted(catalogue, info, extraction_id, str(head))
    lines = _evidence(catalogue, info, extraction_id, {unit})[unit]
    if not lines:
        raise CatalogueError(f"of head {head} nothing but mappings is known: there is nothing to word")
    question = CardQuestion.of(template, lines)
    return {"prompt": template.name, "mode": "chat", "text": question.prompt, "schema": question.form}


def _template(prompt: str | None) -> Template:
    from describe.labelling import load_card_template

    return load_card_template(prompt)


def _wanted(catalogue: Catalogue, model: ModelInfo, extraction_id: int, heads: str) -> list[HeadId]:
    """The heads asked for, all of which must be in the catalogue, unless all of the model are asked for."""
    saved = catalogue.saved_heads(extraction_id)
    wanted = parse_heads(heads, model.n_layers, model.n_heads)
    if heads == "all":
        wanted = [head for head in wanted if head in saved]
    missing = [head for head in wanted if head not in saved]
    if missing or not wanted:
        which = f"head {missing[0]}" if missing else "no head"
        raise CatalogueError(
            f"{which} of {model.name} is{' not' if missing else ''} in the catalogue yet: run headscribe extract"
        )
    return wanted


def _others(saved: set[HeadId]) -> list[HeadId]:
    """Heads to try the check on, drawn by hash, so that they are the same every time; one more than are needed."""
    return sorted(saved, key=lambda head: hashlib.sha256(f"card {head}".encode()).digest())[: OTHERS + 1]


def _evidence(catalogue: Catalogue, model: ModelInfo, extraction_id: int, heads: set[HeadId]) -> Evidence:
    """Everything known of each of some heads, as lines."""
    if len(heads) > ONE_BY_ONE:
        records = catalogue.head_records(model, extraction_id, held_out=False)
        return {record.id: card_evidence(record) for record in records if record.id in heads}
    return {
        head: card_evidence(record)
        for head in sorted(heads)
        for record in catalogue.head_records(model, extraction_id, only=head, held_out=False)
    }
