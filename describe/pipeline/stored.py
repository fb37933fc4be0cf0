"""``headscribe show``, ``export``, ``search`` and ``describe --report``: what the catalogue holds of a model."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from describe.catalog import Catalogue
from describe.errors import CatalogueError, HeadscribeError, InputError
from describe.head_record import HeadRecord
from describe.head_record.glance import Glance, glance
from describe.pipeline.common import find, find_model
from describe.pipeline.description_estimate import prompt_of
from describe.pipeline.descriptions import load_prompt
from describe.pipeline.score_report import score_report
from describe.records import HeadId, ModelInfo, parse_heads
from describe.score_levels import level_lines
from describe.terms import query_terms

__all__ = ["at_a_glance", "calls", "export", "extracted", "head_record", "report", "search"]


def head_record(catalogue: Catalogue, model: str, head: HeadId, reading: str | None = None) -> HeadRecord:
    """Everything known of one head, by a reading as `find` takes it. Raises `InputError` when it is not there."""
    info, extraction_id = find(catalogue, model, reading)
    parse_heads(str(head), info.n_layers, info.n_heads)
    record = next(catalogue.head_records(info, extraction_id, only=head), None)
    if record is None:
        raise CatalogueError(f"head {head} of {info.name} is not in the catalogue yet: run headscribe extract {model}")
    return record


def export(
    catalogue: Catalogue,
    models: Sequence[str],
    form: str,
    path: Path,
    *,
    reading: str | None = None,
    licence: str | None = None,
) -> int:
    """Write the heads of models to a file or folder, in a format of `describe.export.FORMATS`. Returns how many.

    ``models``: each MODEL as on the command line; none of them: all that the catalogue has heads of.
    """
    from describe.export import FORMATS
    from describe.export import export as write

    found = [find(catalogue, model, reading) for model in models] or extracted(catalogue, reading)
    if not found:
        by = "" if reading is None else f" by the reading '{reading}'"
        raise CatalogueError(f"the catalogue has no heads{by} yet: run headscribe extract")
    held_out = FORMATS[form].held_out
    parts = ((info, catalogue.head_records(info, id_, held_out=held_out)) for info, id_ in found)
    return write(parts, form, path, licence)


def extracted(catalogue: Catalogue, reading: str | None = None) -> list[tuple[ModelInfo, int]]:
    """Every model that the catalogue has heads of, with its newest extraction by a reading, as `find` takes it."""
    found = []
    for info in catalogue.models():
        with suppress(CatalogueError):
            model_id, _ = catalogue.find_model(info.name, info.content_hash)
            found.append((info, catalogue.latest_extraction(model_id, reading)))
    return found


def at_a_glance(catalogue: Catalogue, model: str, reading: str | None = None) -> Glance:
    """How many heads of a model do what, in which layers, and what is unknown; by a reading as `find` takes it."""
    info, extraction_id = find(catalogue, model, reading)
    judged = score_report(catalogue, model, reading)
    levels = dict.fromkeys(f"{line}." for row in judged for line in level_lines(row))
    return glance(info, catalogue.reading(extraction_id).words, catalogue.browse.heads(extraction_id), tuple(levels))


def search(
    catalogue: Catalogue,
    query: str,
    *,
    model: str | None = None,
    llm: str | None = None,
    reading: str | None = None,
    limit: int = 20,
) -> dict[str, Any]:
    """The heads that have all words of a query, as `SearchStore.find` finds them: ``query``, ``total``, ``heads``.

    Where there is none and a word is mistyped: the query that may be ``meant``, too.

    Raises `InputError` for a query without a word, and `CatalogueError` for a model or describer that is not there.
    """
    if not query_terms(query):
        raise InputError("there is no word to search for")
    models = None if model is None else [find_model(catalogue, model)[0]]
    if llm is not None:
        _check_describer(catalogue, llm)
    found = catalogue.search.find(query, models=models, llm=llm, reading=reading, limit=limit)
    meant = None if found["total"] else catalogue.search.meant(query)
    return {"query": query} | found | ({"meant": meant} if meant else {})


def calls(catalogue: Catalogue, model: str, head: HeadId) -> list[dict[str, Any]]:
    """Every call about a head, in order, as `report` has them, each with its ``prompt``; that is None where a describer
    was asked by a template that is not there any more.

    Raises `InputError` when the head is not there.
    """
    model_id, info = find_model(catalogue, model)
    parse_heads(str(head), info.n_layers, info.n_heads)
    found = [row for row in catalogue.ledger.calls(model_id) if (row["layer"], row["head"]) == (head.layer, head.head)]
    names = catalogue.ledger.templates()
    prompts: dict[str, str | None] = {}
    for row in found:
        key = row["template_hash"]
        if key not in prompts:
            prompts[key] = _prompt(catalogue, model, head, names.get(key), key)
        row["prompt"] = prompts[key]
    return found


def _prompt(catalogue: Catalogue, model: str, head: HeadId, name: str | None, template_hash: str) -> str | None:
    """The prompt about a head by a template; None where that is another by now, or asks about something else."""
    try:
        if name is None or load_prompt(name).hash != template_hash:
            return None
        return str(prompt_of(catalogue, model, head, name)["text"])
    except HeadscribeError:
        return None


def _check_describer(catalogue: Catalogue, llm: str) -> None:
    """Raise `CatalogueError` when nobody of this name described a head, with the name that may be meant."""
    names = [one["llm"] for one in catalogue.browse.describers()]
    if llm not in names:
        raise CatalogueError(f"no head of the catalogue is described by '{llm}'{_meant(llm, names)}")


def _meant(llm: str, names: Sequence[str]) -> str:
    """The name that may be meant, or all that there are, to follow what says that there is no such one."""
    near = difflib.get_close_matches(llm, names, n=1, cutoff=0.6) or [name for name in names if llm in name][:1]
    return f": do you mean '{near[0]}'?" if near else f"; there are {', '.join(names)}" if names else ""


def report(catalogue: Catalogue, model: str, llms: Sequence[str] | None = None) -> dict[str, list[dict[str, Any]]]:
    """The calls about a model's heads: ``summary`` by LLM and outcome, and all ``calls`` in order.

    ``llms``: those to these only. Tokens are counted, money is in US dollars, times in seconds. Raises
    `CatalogueError` when the model is not there, or no call was made to one of them.
    """
    model_id, _ = find_model(catalogue, model)
    found = {"summary": catalogue.ledger.summary(model_id), "calls": catalogue.ledger.calls(model_id)}
    if llms is None:
        return found
    names = list(dict.fromkeys(row["llm"] for row in found["summary"]))
    for llm in llms:
        if llm not in names:
            raise CatalogueError(f"no call about {model} was made to '{llm}'{_meant(llm, names)}")
    return {part: [row for row in rows if row["llm"] in llms] for part, rows in found.items()}
