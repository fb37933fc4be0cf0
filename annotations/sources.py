"""The described heads of a catalogue, from which a study is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from describe.catalog import Catalogue, schema
from describe.errors import InputError
from describe.head_record import headline
from describe.records import HeadId, HeadMapping, parse_heads

__all__ = ["Described", "described", "mapping_of", "source_name"]


@dataclass(frozen=True, slots=True)
class Described:
    """One description of one head.

    Attributes:
        source: who wrote it: LLM and prompt, such as ``openai:gpt-5-mini salient-1``, or ``statistics``.
        unclear: an abstention.
        score: its automatic score, where it has one.
        strength: the head's largest saliency, by which heads are stratified as long as there are no scores.
        depth: 0 the first layer, 1 the last.
    """

    model: str
    extraction_id: int
    head: HeadId
    source: str
    description_id: int
    inputs: str
    pattern: str
    unclear: bool
    score: float | None
    strength: float
    depth: float

    @property
    def key(self) -> str:
        """The head, among the heads of all models."""
        return f"{self.model} {self.head}"


def source_name(llm: str, prompt: str) -> str:
    """A describer's name."""
    return "statistics" if llm == "statistics" else f"{llm} {prompt}"


def described(catalogue: Catalogue, models: Sequence[str], heads: str, wanted: Sequence[str]) -> list[Described]:
    """The descriptions and abstentions of heads, of wanted sources (all by default), in fixed order.

    Failures are none, and neither are descriptions of what heads suppress, or of one of their roles: the table that
    raters see shows what the whole head promotes.

    ``heads``: a selection as everywhere, such as ``all`` or ``25.0,16.8``. Of describers of the same name (with other
    settings) the one with the most descriptions is taken, the newer of equals. Raises `InputError` when a model has no
    description, or a source none.
    """
    found: list[Described] = []
    for model in dict.fromkeys(models):
        of_model = _of_model(catalogue, model, heads)
        if not of_model:
            raise InputError(f"no head of {model} among those asked for is described: run headscribe describe {model}")
        found += of_model
    known = sorted({one.source for one in found})
    for source in wanted:
        if not any(_is(source, name) for name in known):
            raise InputError(f"no description is by '{source}'; there are: {', '.join(known)}")
    return [one for one in found if not wanted or any(_is(source, one.source) for source in wanted)]


def mapping_of(catalogue: Catalogue, one: Described) -> HeadMapping:
    """The mapping of a described head."""
    return catalogue.mapping(one.extraction_id, one.head)


def _is(source: str, name: str) -> bool:
    """``openai:gpt-5-mini`` names all prompts of this LLM, ``openai:gpt-5-mini salient-1`` one."""
    return name == source or name.startswith(f"{source} ")


def _of_model(catalogue: Catalogue, model: str, heads: str) -> list[Described]:
    from describe.pipeline import find  # takes a while to import

    info, extraction_id = find(catalogue, model)
    wanted = set(parse_heads(heads, info.n_layers, info.n_heads))
    head, description, labeller = schema.head, schema.description, schema.labeller
    columns = (head.c.layer, head.c.head, head.c.saliency, labeller.c.llm, labeller.c.prompt)
    query = (
        select(description.c.id, description.c.labeller_id, *columns)
        .add_columns(description.c.inputs, description.c.pattern, description.c.unclear, labeller.c.settings)
        .join(head, description.c.head_id == head.c.id)
        .join(labeller, description.c.labeller_id == labeller.c.id)
        .where(head.c.extraction_id == extraction_id, description.c.failure.is_(None))
        .where(description.c.role == 0)
        .order_by(head.c.layer, head.c.head, labeller.c.id)
    )
    with catalogue.engine.connect() as connection:
        rows = [
            row for row in connection.execute(query) if row.settings.get("shows") not in ("suppressed", "attention")
        ]
    judged = catalogue.scores.newest(extraction_id)
    scores = {id: top.value for id, found in judged.items() if (top := headline(found)) is not None}
    numbers: dict[str, dict[int, int]] = {}
    for row in rows:
        of_name = numbers.setdefault(source_name(row.llm, row.prompt), {})
        of_name[row.labeller_id] = of_name.get(row.labeller_id, 0) + 1
    chosen = {max((number, labeller) for labeller, number in of_name.items())[1] for of_name in numbers.values()}
    return [
        Described(
            model=info.name,
            extraction_id=extraction_id,
            head=HeadId(row.layer, row.head),
            source=source_name(row.llm, row.prompt),
            description_id=row.id,
            inputs=row.inputs or "",
            pattern=row.pattern or "",
            unclear=row.unclear,
            score=scores.get(row.id),
            strength=row.saliency,
            depth=row.layer / max(info.n_layers - 1, 1),
        )
        for row in rows
        if row.labeller_id in chosen and HeadId(row.layer, row.head) in wanted
    ]
