"""All figures of one sample of ratings, part by part."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from annotations.records import FIT, PRESENCE
from annotations.report.calibration import calibration
from annotations.report.frame import BASELINE, CONTROLS, GRADES, OWN, STRICT, own_and_other, repeats
from annotations.report.records import Counts, Figure
from annotations.report.sample import Sample

__all__ = [
    "ALL_ITEMS",
    "DESCRIBED",
    "OWN_OR_UNCLEAR",
    "REAL_ITEMS",
    "SWAPPED",
    "all_figures",
    "bands",
    "confusion",
]

ABSTAINED = 'own "Unclear"'
OWN_OR_UNCLEAR = 'own, "Unclear" included'
SWAPPED = "another head's, all"
DESCRIBED = ("described", "Unclear")
REAL_ITEMS, ALL_ITEMS = "real items", "all items"
_THIRDS = ("first third", "middle third", "last third")


def all_figures(ratings: pd.DataFrame, seed: int, draws: int) -> tuple[Figure, ...]:
    """Every figure of checked ``ratings``, except those of single raters; catch items count in none but time."""
    content = ratings[ratings["kind"] != "catch"]
    sample = Sample(content[content["occasion"] == 1].reset_index(drop=True), seed, draws)
    twice = Sample(repeats(content), seed, draws)
    parts = (_plausibility, _differences, _detection, _presence, _layers, _sources, calibration, _agreement)
    figures = [figure for part in parts for figure in part(sample)]
    return (*figures, *_repeats(twice), *_time(ratings))


def bands(rows: pd.DataFrame) -> pd.Series:
    """The third of its model's layers that each row's head is in, up to the highest layer that was rated."""
    highest = rows.groupby("model")["layer"].transform("max") + 1
    third = (rows["layer"] * 3 // highest).astype(int)
    edges = rows.groupby(third)["layer"].agg(["min", "max"])
    one = rows["model"].nunique() == 1
    names = {
        k: _THIRDS[k] + (f" (layers {edges.loc[k, 'min']} to {edges.loc[k, 'max']})" if one else "")
        for k in edges.index
    }
    return third.map(names)


def confusion(ratings: pd.DataFrame) -> Counts:
    """People's judgement of the tables of real items against whether the describer abstained on that head."""
    rows = ratings[(ratings["kind"] == "real") & (ratings["occasion"] == 1)]
    cells = tuple(
        tuple(
            int(((rows["presence"] == seen) & (rows["true_unclear"] == abstained)).sum()) for abstained in (False, True)
        )
        for seen in PRESENCE
    )
    return Counts("Pattern seen by people, by what the describer said of the head", PRESENCE, DESCRIBED, cells)


def _plausibility(sample: Sample) -> Iterator[Figure]:
    rows = sample.rows
    real = (rows["kind"] == "real") & rows["fit"].notna()
    groups = own_and_other(rows)
    extra = {ABSTAINED: real & rows["unclear"], OWN_OR_UNCLEAR: real}
    ordered = {OWN: groups[OWN], **extra, **{name: groups[name] for name in CONTROLS.values()}}
    for grade, answers in GRADES:
        for group, among in ordered.items():
            yield sample.share("plausibility", grade, group, among, rows["fit"].isin(answers))


def _differences(sample: Sample) -> Iterator[Figure]:
    groups = own_and_other(sample.rows)
    for grade, answers in GRADES:
        for name in CONTROLS.values():
            sides = (groups[OWN], groups[name])
            yield sample.difference("difference", grade, f"own minus {name}", sides, sample.rows["fit"].isin(answers))


def _detection(sample: Sample) -> Iterator[Figure]:
    groups = own_and_other(sample.rows)
    others = {SWAPPED: groups[CONTROLS["swap_easy"]] | groups[CONTROLS["swap_hard"]]}
    others |= {name: groups[name] for name in CONTROLS.values()}
    for name, other in others.items():
        hit = sample.rows["fit"].isin(STRICT)
        yield from sample.detection("detection", f"own against {name}", (groups[OWN], other), hit)


def _presence(sample: Sample) -> Iterator[Figure]:
    rows = sample.rows
    real = (rows["kind"] == "real") & rows["presence"].notna()
    said = {DESCRIBED[0]: real & ~rows["true_unclear"], DESCRIBED[1]: real & rows["true_unclear"]}
    seen, clear = rows["presence"].isin(("clear", "weak")), rows["presence"] == "clear"
    for group, among in said.items():
        yield sample.share("presence", "clear pattern seen", group, among, clear)
        yield sample.share("presence", "clear or weak pattern seen", group, among, seen)
    sides = (said[DESCRIBED[0]], said[DESCRIBED[1]])
    yield sample.difference("presence", "clear or weak pattern seen", "described minus Unclear", sides, seen)
    same = seen != rows["true_unclear"]
    yield sample.share("presence", "people and describer agree", "described and seen, or Unclear and none", real, same)


def _layers(sample: Sample) -> Iterator[Figure]:
    rows = sample.rows
    own = own_and_other(rows)[OWN]
    if not own.any():
        return
    band = bands(rows)
    for grade, answers in GRADES:
        for name in sorted(band[own].unique(), key=_third):
            yield sample.share("layer", grade, name, own & (band == name), rows["fit"].isin(answers))


def _third(name: str) -> int:
    return next(k for k, third in enumerate(_THIRDS) if name.startswith(third))


def _sources(sample: Sample) -> Iterator[Figure]:
    rows = sample.rows
    own = own_and_other(rows)[OWN]
    sources = sorted(rows.loc[own, "source"].unique(), key=lambda name: (name == BASELINE, name))
    for grade, answers in GRADES:
        hit = rows["fit"].isin(answers)
        for name in sources:
            yield sample.share("source", grade, name, own & (rows["source"] == name), hit)
        if BASELINE in sources:
            baseline = own & (rows["source"] == BASELINE)
            for name in sources[:-1]:
                sides = (own & (rows["source"] == name), baseline)
                yield sample.difference("source", grade, f"{name} minus {BASELINE}", sides, hit)


def _agreement(sample: Sample) -> Iterator[Figure]:
    rows = sample.rows
    among = {REAL_ITEMS: rows["kind"] == "real", ALL_ITEMS: pd.Series(True, index=rows.index)}
    for group, chosen in among.items():
        yield from sample.agreement(f"presence, {group}", chosen, "presence", PRESENCE, ordered=True)
        yield from sample.agreement(f"fit, {group}", chosen, "fit", FIT, ordered=False)
        yield from sample.agreement(f'fit without "can\'t tell", {group}', chosen, "fit", FIT[:3], ordered=True)


def _repeats(sample: Sample) -> Iterator[Figure]:
    rows = sample.rows
    for column in ("presence", "fit"):
        both = rows[column].notna() & rows[f"{column}_again"].notna()
        yield sample.share("repeats", "same answer", column, both, rows[column] == rows[f"{column}_again"])
    both = rows["fit"].notna() & rows["fit_again"].notna()
    same = rows["fit"].isin(STRICT) == rows["fit_again"].isin(STRICT)
    yield sample.share("repeats", "same answer", "fits, or anything else", both, same)


def _time(ratings: pd.DataFrame) -> Iterator[Figure]:
    spans = {
        "both stages": ratings["seconds_a"] + ratings["seconds_b"],
        "stage A, the table alone": ratings["seconds_a"],
        "stage B, with the description": ratings["seconds_b"],
    }
    for group, seconds in spans.items():
        told = seconds.dropna()
        for name, share in (("lower quartile", 0.25), ("median", 0.5), ("upper quartile", 0.75)):
            value = float(told.quantile(share)) if len(told) else None
            note = "" if len(told) else "no times recorded"
            yield Figure("time", name, group, "seconds", value, len(told), note=note)
