"""``headscribe score --report``: what judging came to, for each author and judge, beside what placebos came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from describe.catalog import Catalogue, Told
from describe.head_record import ScoreRecord
from describe.labelling.looks import ATTENTION
from describe.measures import DEFAULT, MEASURES
from describe.pipeline.common import find
from describe.pipeline.extraction.placebos import KINDS
from describe.pipeline.held_out import chosen_authors
from describe.records import HeadId

__all__ = ["score_report"]

LEVEL, TOLERATED = "random", 0.05
"""The kind of placebo that is the level of all figures, and which share of their scores may be above a bar."""

Q = 0.05
"""A description is true beyond chance below this false discovery rate."""

Scores = dict[int, dict[str, dict[str, ScoreRecord]]]


def score_report(catalogue: Catalogue, model: str, reading: str | None = None) -> list[dict[str, Any]]:
    """A row for each author of descriptions, judge and measure, in JSON form; one without judge where none was.

    Descriptions of single roles have a row of their own: ``of`` says what is described, ``heads`` or ``roles``, and
    ``heads`` how many of them there are. Placebos are whole heads. The mean score is
    ``auroc``, of likelihood ``bits``: whatever `describe.measures.MEASURES` calls it.

    ``wrong`` is what descriptions of other heads get, ``pairing`` how many say how targets follow from sources (null
    for LLMs, whose words are free), ``placebos`` how many heads of each kind were described although they do nothing,
    and how such descriptions score; null where it was not tried. ``level``: how many more of the own heads are
    described than of random ones (``excess``), and how many descriptions score above all but a twentieth of those of
    random heads (``above``, of ``scored``). ``beyond_chance``: how many have q < 0.05, where the measure gives
    p-values. ``grouping``: the mean of what grouping rows by shared tokens gives without any
    description, ``nearest``: of naming the nearest of five tokens, where these were judged. ``curve``: the mean score
    of the best-scored descriptions, by the share of all heads that these are; ``wrong_curve``: that of the best-scored
    wrong ones, since the best of any scores are good by luck too. Raises `CatalogueError` where the catalogue does not
    hold the model.
    """
    _, own = find(catalogue, model, reading)
    told, scores = catalogue.scores.descriptions(own), catalogue.scores.newest(own)
    extractions = catalogue.placebos.of(own)
    placebos = {
        kind: (catalogue.scores.descriptions(id), catalogue.scores.newest(id)) for kind, id in extractions.items()
    }
    evident = catalogue.evidence.heads_with(own)
    rows = []
    for of, by_author in _by_author(told):
        author = by_author[0].labeller_id
        judges: list[tuple[str, str | None]] = [*_judges(by_author, scores)]
        unjudged = "attention" if by_author[0].settings.get("shows") == ATTENTION else DEFAULT
        for judge in judges or [(unjudged, None)]:
            of_placebos = {kind: _placebo(*placebos.get(kind, ([], {})), author, judge) for kind in KINDS}
            for kind, found in of_placebos.items():
                if found is not None:
                    theirs = [one for one in placebos[kind][0] if one.labeller_id == author]
                    found["pairing"] = _pairings(theirs)
            pairing = _pairings(by_author)
            row = {"of": of} | _row(by_author, scores, judge, evident)
            row |= {"level": _level(by_author, scores, judge, of_placebos[LEVEL])} if of == "heads" else {}
            rows.append(row | {"pairing": pairing, "placebos": of_placebos})
    return rows


def _by_author(told: list[Told]) -> Iterator[tuple[str, list[Told]]]:
    """The descriptions of each author, those of whole heads and those of roles apart."""
    for author in (*chosen_authors(told), *chosen_authors(told, looks=True)):
        for of in ("heads", "roles"):
            found = [one for one in told if one.labeller_id == author and bool(one.head.role) == (of == "roles")]
            if found:
                yield of, found


def _judges(told: Iterable[Told], scores: Scores) -> list[tuple[str, str]]:
    """Each measure that LLMs or statistics took, with who took it."""
    taken = (
        (measure, judge) for one in told for measure in MEASURES for judge in scores.get(one.id, {}).get(measure, {})
    )
    return sorted(dict.fromkeys(taken))


def _row(told: list[Told], scores: Scores, judge: tuple[str, str | None], evident: set[HeadId]) -> dict[str, Any]:
    found = _scores(told, scores, judge)
    valued = [score for score in found if score.value is not None]
    values = [score.value for score in valued if score.value is not None]
    wrong = [score.wrong for score in valued if score.wrong is not None]
    failures = Counter(score.failure for score in found if score.failure is not None)
    return {
        "llm": told[0].llm,
        "prompt": told[0].prompt,
        "measure": judge[0],
        "judge": judge[1],
        "judge_prompt": found[0].provenance.prompt if found else None,
        "heads": len(told),
        "described": sum(one.answers for one in told),
        "unclear": sum(one.unclear for one in told),
        "not_answered": sum(one.failure is not None for one in told),
        "scored": len(valued),
        "failures": dict(failures),
        MEASURES[judge[0]].value: _mean(values),
        "wrong": _mean(wrong),
        "wrong_curve": _curve(wrong, len(told), MEASURES[judge[0]].value),
        "balanced_accuracy": _mean([b["value"] for score in valued if (b := score.found.get("balanced_accuracy"))]),
        "beyond_chance": _beyond_chance(valued),
        "grouping": _mean([score.grouping for score in valued if score.grouping is not None]),
        "nearest": _mean([near["value"] for score in valued if (near := score.found.get("nearest"))]),
        "reach": _mean([score.found["reach"]["value"] for score in valued if score.found.get("reach")]),
        "above_chance": sum(score.low is not None and score.low > MEASURES[judge[0]].chance for score in valued),
        "curve": _curve(values, len(told), MEASURES[judge[0]].value),
        "unclear_with_evidence": [
            str(one.head) for one in told if one.unclear and (one.head.role or one.head in evident)
        ],
    }


def _placebo(told: list[Told], scores: Scores, author: int, judge: tuple[str, str | None]) -> dict[str, Any] | None:
    """One author's outcomes on placebos of one kind; None where nobody asked."""
    from describe.statistics import wilson

    answered = [one for one in told if one.labeller_id == author and one.failure is None]
    if not answered:
        return None
    described = [one for one in answered if one.answers]
    values = [score.value for score in _scores(described, scores, judge) if score.value is not None]
    return {
        "heads": len(answered),
        "described": len(described),
        "false": wilson(len(described), len(answered))._asdict(),
        MEASURES[judge[0]].value: _mean(values),
        "described_heads": [str(one.head) for one in described],
        "scores": sorted(values),
    }


def _beyond_chance(scores: Sequence[ScoreRecord]) -> dict[str, int] | None:
    """How many descriptions are true beyond chance: q < 0.05 by Benjamini and Hochberg over the model, of those whose
    measure gives a p-value; None where it gives none."""
    from describe.statistics import benjamini_hochberg

    p_values = [score.found["p"] for score in scores if isinstance(score.found.get("p"), float)]
    if not p_values:
        return None
    q_values = benjamini_hochberg(np.array(p_values))
    return {"descriptions": int((q_values < Q).sum()), "of": len(p_values)}


def _level(
    told: list[Told], scores: Scores, judge: tuple[str, str | None], random: dict[str, Any] | None
) -> dict[str, Any] | None:
    """The own heads beside random ones; None where no random ones were tried."""
    from describe.statistics import difference, wilson

    answered = [one for one in told if one.failure is None]
    if random is None or not answered:
        return None
    described = sum(one.answers for one in answered)
    excess = difference((described, len(answered)), (random["described"], random["heads"]))
    values = [score.value for score in _scores(told, scores, judge) if score.value is not None]
    theirs = random["scores"]
    bar = theirs[-1 - int(len(theirs) * TOLERATED)] if theirs else None
    above = sum(bar is not None and value > bar for value in values)
    return {
        "described": described,
        "heads": len(answered),
        "excess": excess._asdict(),
        "bar": bar,
        "above": above,
        "scored": len(values),
        "share_above": wilson(above, len(values))._asdict() if values and bar is not None else None,
    }


def _pairings(told: list[Told]) -> int | None:
    """How many descriptions say how targets follow from sources; None where that is not known of the author."""
    if told[0].llm != "statistics":
        return None
    return sum(any(claim.kind == "pairing" for claim in one.claims) for one in told)


def _scores(told: Iterable[Told], scores: Scores, judge: tuple[str, str | None]) -> list[ScoreRecord]:
    measure, name = judge
    judged = (scores.get(one.id, {}).get(measure, {}) for one in told)
    return [by_judge[name] for by_judge in judged if name is not None and name in by_judge]


def _mean(values: Sequence[float]) -> dict[str, float] | None:
    from describe.scoring import mean_over_heads

    return {**mean_over_heads(values)._asdict(), "n": len(values)} if values else None


def _curve(values: Sequence[float], heads: int, name: str) -> list[dict[str, float]]:
    """From the best score down: the share of heads, and the mean of the scores so far."""
    total, points = 0.0, []
    for number, value in enumerate(sorted(values, reverse=True), start=1):
        total += value
        points.append({"coverage": number / heads, name: total / number})
    return points
