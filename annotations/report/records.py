"""Parts of a report: frozen records that turn into JSON as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any, Literal

from annotations.statistics import Interval

__all__ = ["Counts", "Figure", "RaterLine", "Report", "ScoreBin", "Study", "Unit"]

Unit = Literal["share", "points", "d'", "coefficient", "seconds"]


@dataclass(frozen=True, slots=True)
class Study:
    """The settings of a study that a report needs; what is not known is None or empty, and said to be.

    Attributes:
        created: UTC, ISO 8601.
        exclusion: rule -> limit, fixed at creation; see `annotations.report.exclusion.RULES`.
        n_items: kind -> items.
        version: headscribe's, when the study was created.
    """

    name: str
    models: tuple[str, ...] = ()
    created: str = ""
    seed: int | None = None
    raters_per_item: int | None = None
    guideline: str = ""
    exclusion: Mapping[str, float] | None = None
    n_items: Mapping[str, int] | None = None
    version: str = ""

    @classmethod
    def of(cls, study: Any) -> Study:
        """Read a study's settings from a mapping, or from any record with these names (``model`` for one model)."""
        if isinstance(study, cls):
            return study
        if is_dataclass(study) and not isinstance(study, type):
            study = asdict(study)
        known = {field.name: study[field.name] for field in fields(cls) if study.get(field.name) is not None}
        if "model" in study and "models" not in known:
            known["models"] = (study["model"],)
        created = known.get("created", "")
        known["created"] = created.isoformat() if isinstance(created, datetime) else str(created)
        versions = study.get("versions") or {}  # a study in the catalogue: its ``version`` counts extensions
        known["version"] = str(versions.get("headscribe", known.get("version", "")))
        rules = {name: limit for name, limit in known.get("exclusion", {}).items() if limit is not None}
        return cls(**(known | {"models": tuple(known.get("models", ())), "exclusion": rules}))


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """Descriptions of one source whose automatic ``score`` is from ``low`` to ``high``."""

    source: str
    low: float
    high: float
    score: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the report.

    Attributes:
        part: the section it stands in, a key of `annotations.report.sections.PARTS`.
        value: None where it cannot be computed; ``note`` then says why.
        n: what it rests on: answers, or items where ``part`` is ``agreement``; for a difference, of both sides.
        hits: of a share, the answers that count.
        descriptions: of a score, how many that were rated have it.
        bin: of the reliability curve, the descriptions that it is of.
    """

    part: str
    name: str
    group: str
    unit: Unit
    value: float | None
    n: int
    hits: int | None = None
    intervals: tuple[Interval, ...] = ()
    note: str = ""
    descriptions: int | None = None
    bin: ScoreBin | None = None


@dataclass(frozen=True, slots=True)
class RaterLine:
    """One rater: how much, how carefully, how fast, and whether the rules of the study exclude them.

    Attributes:
        failed, catches: catch items answered otherwise than expected, of how many.
        changed, repeats: repeated items answered otherwise the second time, of how many.
        seconds: median active time per item, both stages.
        detection: d' of own descriptions against other heads'.
        reasons: of exclusion; empty for a rater who is kept.
        notes: rules that could not be applied to this rater.
    """

    rater: str
    answered: int
    failed: int
    catches: int
    changed: int
    repeats: int
    seconds: float | None
    detection: Figure
    criterion: float | None
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """A table of counts: ``cells[row][column]``."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A study's figures; ``figures`` without the excluded raters, ``figures_all`` with them (empty if there are none).

    Where the rules exclude all raters (`nobody_left`), ``figures`` and everything else are of all of them.

    Attributes:
        made: UTC, ISO 8601.
        draws, seed: of the bootstrap.
        gaps: what is missing, in words and numbers.
        confusion, answers, times: of the raters who are kept.
    """

    study: Study
    made: str
    version: str
    draws: int
    seed: int
    items: Counts
    gaps: tuple[str, ...]
    rules: tuple[str, ...]
    raters: tuple[RaterLine, ...]
    figures: tuple[Figure, ...]
    figures_all: tuple[Figure, ...]
    confusion: Counts
    answers: tuple[Counts, ...]
    times: Counts

    @property
    def excluded(self) -> tuple[RaterLine, ...]:
        """The raters whom the study's rules exclude."""
        return tuple(line for line in self.raters if line.reasons)

    @property
    def nobody_left(self) -> bool:
        """Whether the rules exclude every rater, so that the figures are of raters whom they exclude."""
        return bool(self.raters) and len(self.excluded) == len(self.raters)

    def figure(self, part: str, name: str, group: str) -> Figure | None:
        """The figure of that place, without excluded raters."""
        found = (f for f in self.figures if (f.part, f.name, f.group) == (part, name, group))
        return next(found, None)

    def as_json(self) -> dict[str, Any]:
        """Numbers, texts, lists and objects; an interval is an object with ``method``, ``low`` and ``high``."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return value._asdict()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
