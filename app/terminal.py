"""Drawing in the terminal: progress on standard error, tables on standard output."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from describe.catalog.scores import headline, scored, with_interval
from describe.files import write_atomically
from describe.records import THRESHOLD
from describe.text import encodable, printable, quoted, visible

if TYPE_CHECKING:
    from describe.pipeline import Progress

__all__ = ["HeadLine", "draw_head", "draw_heads", "draw_table", "progress_bars", "watched_by", "write_json"]


_WATCHERS: list[Progress] = []


@contextmanager
def watched_by(watcher: Progress) -> Iterator[None]:
    """Have somebody told, besides the terminal, how far the commands are that run within."""
    _WATCHERS.append(watcher)
    try:
        yield
    finally:
        _WATCHERS.remove(watcher)


@contextmanager
def progress_bars(quiet: bool) -> Iterator[Progress]:
    """A bar per stage on standard error, with heads done, time taken and time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    bars = Bars(*columns, console=Console(stderr=True), disable=quiet)
    tasks: dict[str, Any] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if total == 0:
            return
        if stage not in tasks:
            bars.start()
            tasks[stage] = bars.add_task(stage, total=total)
        bars.update(tasks[stage], completed=done, total=total)
        for watcher in _WATCHERS:
            watcher(stage, done, total)

    try:
        yield progress
    finally:
        if tasks:
            bars.stop()


def draw_head(record: dict[str, Any], *, suppressed: bool = False) -> None:
    """One head: its descriptions, then its salient mappings, to what it promotes or to what it suppresses."""
    from describe.catalog.links import neuronpedia

    console = _console()
    console.print(_text(f"{record['model']} {record['layer']}.{record['head']}", style="bold"))
    for found in record["descriptions"]:
        role = f" role {found['role']}" if found["role"] else ""
        console.print(_text(f"{found['llm']} ({found['prompt']}){role}", style="cyan"))
        if found["failure"]:
            console.print(_text(f"  failed ({found['failure']}): {visible(found['detail'] or '')}", style="red"))
            continue
        console.print(_text(f"  inputs   {visible(found['inputs'])}"))
        console.print(_text(f"  pattern  {visible(found['pattern'])}", style="yellow" if found["unclear"] else ""))
        if scored(found):
            console.print(_text(f"  score    {visible(scored(found))}"))
    if not record["descriptions"]:
        console.print(_text("not described yet: headscribe describe MODEL --llm LLM", style="dim"))
    for title, name in (("implements", "score"), ("suppresses", "suppression")):
        strong = sorted(
            ((v[name], operation) for operation, v in record["relations"].items() if v[name] >= THRESHOLD), reverse=True
        )
        if strong:
            said = (f"{visible(o)} {value:.2f}{_checked(record['relations'][o], name)}" for value, o in strong)
            console.print(_text(f"{title:11}" + "  ".join(said)))
    for role in record["roles"] if len(record["roles"]) > 1 else []:
        sources = ", ".join(quoted(record["salient"][i]["token"]) for i in role["rows"][:6])
        about = f"{visible(role['sign'])}, {role['share']:.0%} of the saliency, {len(role['rows'])} rows:"
        line = f"role {role['role']:<6} {about}"
        console.print(_text(f"{line} {sources}"))
    if link := neuronpedia(record["model"], record["layer"], record["head"]):
        console.print(_text(f"Neuronpedia {link}", style="dim"))
    if record["inference"]:
        found = record["inference"]
        shares = f"{found['of_source']:.2f} without context, {found['in_context']:.2f} with context"
        console.print(_text(f"in prompts it writes so many of its salient mappings: {shares}"))
    if record["evidence"]:
        console.print(_evidence_table(record["evidence"]))
    targets_title, way = ("suppressed targets", "suppressed") if suppressed else ("targets", "targets")
    table = Table("source", "saliency", targets_title, box=None, header_style="bold", pad_edge=False)
    table.columns[1].justify = "right"
    for row in record["salient"]:
        targets = "  ".join(quoted(target["token"]) for target in row[way])
        table.add_row(_text(quoted(row["token"])), f"{row['saliency']:.3f}", _text(targets))
    console.print(table)


def _checked(relation: dict[str, Any], name: str) -> str:
    """What running the model showed of a head and an operation, where it was run."""
    said = []
    if "inference" in relation:
        without, within = (relation["inference"][kind][name] for kind in ("of_source", "in_context"))
        said.append(f"in prompts {without:.2f} without context, {within:.2f} with")
    if "ablation" in relation and name == "score":
        found = relation["ablation"]
        said.append(f"removed as no. {found['removed_as']}: accuracy {found['base']:.2f} to {found['targeted']:.2f}")
    return f" ({'; '.join(said)})" if said else ""


def _evidence_table(evidence: Sequence[dict[str, Any]]) -> Table:
    """What is above chance, with how far and how surely."""
    headings = ("evidence", "claim", "count", "expected", "effect h", "q", "examples")
    table = Table(*headings, box=None, header_style="bold", pad_edge=False)
    for column in range(2, 6):
        table.columns[column].justify = "right"
    for e in evidence:
        numbers = (f"{e['count']} of {e['rows']}", f"{e['expected']:.2%}", f"{e['effect']:.2f}", f"{e['q_value']:.0e}")
        examples = ", ".join(e["examples"][:2])
        table.add_row(_text(e["kind"]), _text(e["wording"]), *numbers, _text(examples))
    return table


@dataclass(frozen=True)
class HeadLine:
    """A head in one line: by its first usable description, with the score of that, and its strongest mapping.

    Attributes:
        judged: by which measure and judge there is a score.
        saliency: the largest of a token; ``effect`` of its strongest evidence, Cohen's h.
    """

    head: str
    inputs: Text
    pattern: Text
    state: str
    scored: str
    placebo: str
    strongest: Text
    score: float | None
    judged: str | None
    saliency: float
    effect: float

    @classmethod
    def of(cls, record: dict[str, Any]) -> HeadLine:
        """The line of a head in the JSON form of one head."""
        told, inputs, pattern, state = _best(record)
        top = headline(told) if told else None
        return cls(
            f"{record['layer']}.{record['head']}",
            inputs,
            pattern,
            state,
            with_interval(top) if top else "",
            "" if top is None else "not run" if top["placebo"] is None else f"{top['placebo']:.2f}",
            _strongest(record),
            top["value"] if top else None,
            f"{top['measure']} by {top['judge']}" if top else None,
            max((row["saliency"] for row in record["salient"]), default=0.0),
            max((found["effect"] for found in record["evidence"]), default=0.0),
        )


def draw_heads(lines: Iterable[HeadLine]) -> None:
    """A line per head; scores with the level of wrong descriptions beside them, where there are any."""
    drawn = list(lines)
    judged = sorted({visible(line.judged) for line in drawn if line.judged})
    headings = ("head", *(("score", "placebo") if judged else ()), "inputs", "pattern", "strongest mapping")
    table = Table(*headings, box=None, header_style="bold", pad_edge=False)
    for line in drawn:
        scores = (line.scored, line.placebo) if judged else ()
        table.add_row(line.head, *scores, line.inputs, line.pattern, line.strongest)
    console = _console()
    console.print(table)
    states = Counter(line.state for line in drawn)
    said = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    console.print(_text("; ".join([said, *(f"score: {how}" for how in judged)]), style="dim"))


def draw_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, title: str, right: Sequence[int] = ()
) -> None:
    """A table of plain text, some columns aligned to the right."""
    table = Table(*headings, title=_text(title, style="bold"), title_justify="left", box=None, header_style="bold")
    table.pad_edge = False
    for column in right:
        table.columns[column].justify = "right"
    for row in rows:
        table.add_row(*(_text(visible(cell)) for cell in row))
    console = _console()
    console.print(table)
    console.print()


def write_json(value: Any, path: Path) -> None:
    """JSON to a file, complete or not at all; to standard output for ``-``."""
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    if str(path) == "-":
        sys.stdout.write(encodable(text))
    else:
        write_atomically(path, text)


def _best(record: dict[str, Any]) -> tuple[dict[str, Any] | None, Text, Text, str]:
    """The newest answer, a description before an abstention, one of the whole head before those of its roles.

    With inputs, pattern and state by it; without an answer by the newest failure.
    """
    answers = [found for found in record["descriptions"] if not found["failure"]]
    if answers:
        found = max(reversed(answers), key=lambda one: (not one["unclear"], not one["role"]))
        style = "yellow" if found["unclear"] else ""
        role = f"role {found['role']}: " if found["role"] else ""
        state = "unclear" if found["unclear"] else "described"
        return found, _text(visible(found["inputs"]), style), _text(role + visible(found["pattern"]), style), state
    if record["descriptions"]:
        return None, _text(""), _text(f"failed: {record['descriptions'][-1]['failure']}", "red"), "failed"
    return None, _text(""), _text(""), "not described"


def _text(words: str, style: str = "") -> Text:
    """Words of whomever, as a terminal may have them."""
    return Text(printable(words), style=style)


def _strongest(record: dict[str, Any]) -> Text:
    if not record["salient"]:
        return _text("")
    row = record["salient"][0]
    return _text(f"{quoted(row['token'])} → {' '.join(quoted(target['token']) for target in row['targets'][:2])}")


def _console() -> Console:
    """Standard output; as wide as the terminal, or wide enough for a file or a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)
