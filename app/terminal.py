"""Drawing in the terminal: progress on standard error, tables on standard output."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from describe.files import write_atomically
from describe.readings import PAPER
from describe.text import encodable, json_text, printable, quoted, spaced, visible

if TYPE_CHECKING:
    from describe.head_record import AttentionRecord, Card, EvidenceRecord, HeadRecord, HeadSummary, RelationRecord
    from describe.mappings import MappingRow
    from describe.pipeline import Progress

__all__ = [
    "HeadLine",
    "draw_contradictions",
    "draw_head",
    "draw_heads",
    "draw_table",
    "draw_worded",
    "progress_bars",
    "starting",
    "watched_by",
    "write_json",
]


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
def starting(quiet: bool) -> Iterator[None]:
    """On a terminal, something that moves on standard error, while what a command needs is loaded."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield
        return
    with console.status("starting"):
        yield


@contextmanager
def progress_bars(quiet: bool) -> Iterator[Progress]:
    """A bar per stage on standard error, with heads done, time taken and time left.

    On a terminal something moves from the beginning, while torch is loaded and the model opened.
    """
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
    opening = ExitStack()
    opening.enter_context(starting(quiet))

    def progress(stage: str, done: int, total: int) -> None:
        if total == 0:
            return
        if stage not in tasks:
            opening.close()
            bars.start()
            tasks[stage] = bars.add_task(stage, total=total)
        bars.update(tasks[stage], completed=done, total=total)
        for watcher in _WATCHERS:
            watcher(stage, done, total)

    try:
        yield progress
    finally:
        opening.close()
        if tasks:
            bars.stop()


def draw_head(head: HeadRecord, *, suppressed: bool = False) -> None:
    """One head: its headline; where it looks; what it writes, by operations and mappings; then what was said of it."""
    console = _console()
    console.print(_text(f"{head.model} {head.id}", style="bold"))
    if head.card is not None:
        _draw_card(head.card, console)
    _draw_wordings(head, console)
    if head.attention is not None:
        _draw_attention(head.attention, console)
    if head.query_key is not None:
        console.print(_text(f"by weights {head.query_key.words}"))
    for title, strong, side in (
        ("implements", head.implements, "score"),
        ("suppresses", head.suppresses, "suppression"),
    ):
        if strong:
            said = (
                f"{visible(spaced(name))} {value:.2f}{_checked(head.relations[name], side)}"
                for name, value in strong.items()
            )
            console.print(_text(f"{title:11}" + "  ".join(said)))
    if head.figure is not None:
        console.print(_text(f"mappings   {head.figure.words}"))
    for line in _constant(head):
        console.print(_text(line))
    if head.inference is not None:
        console.print(_text(f"in prompts it writes so many of its salient mappings: {head.inference.text}"))
    for rows, figure, down, title in _orders(head, suppressed):
        if title:
            console.print(_text(title, style="dim"))
        console.print(_rows_table(rows, figure, down))
    for found in head.several_roles:
        console.print(_text(f"role {found.role.role:<6} {found.words}"))
    if head.evidence:
        console.print(_evidence_table(head.evidence))
    _draw_descriptions(head, console)
    if head.reading != PAPER:
        console.print(_text(f"read by {head.reading.words}", style="dim"))
    for words in head.named:
        console.print(_text(f"named      {words}", style="dim"))
    if head.neuronpedia:
        console.print(_text(f"Neuronpedia {head.neuronpedia}", style="dim"))


def _draw_card(card: Card, console: Console) -> None:
    """The headline, the figure that it rests on, and what contradicts it."""
    console.print(_text(visible(card.headline), style="bold green" if card.rests_on else "yellow"))
    if card.basis:
        console.print(_text(f"           {visible(card.basis)}", style="dim"))
    for found in card.contradictions:
        console.print(_text(f"but        {visible(found.words)}", style="red"))


def _draw_wordings(head: HeadRecord, console: Console, llm: str | None = None) -> None:
    """The card as LLMs word it, or as this one does, with the evidence that each statement rests on."""
    from describe.head_record.card_evidence import worded_lines

    for one in worded_lines(head, llm):
        console.print(_text(f"worded by {visible(one.by)}", style="cyan"))
        if one.failed:
            console.print(_text(f"           {visible(one.failed)}", style="red"))
        for words in one.statements:
            console.print(_text(f"           {visible(words)}"))
        for words in [*one.evidence, *one.notes]:
            console.print(_text(f"             {visible(words)}", style="dim"))


def draw_worded(heads: Iterable[HeadRecord], llm: str) -> None:
    """Cards as an LLM words them, head by head, beneath their headlines."""
    console = _console()
    for head in heads:
        headline = visible(head.card.headline) if head.card is not None else ""
        console.print(_text(f"{head.id} {headline}", style="bold"))
        _draw_wordings(head, console, llm)


def _draw_descriptions(head: HeadRecord, console: Console) -> None:
    """Everything that was said of a head, the best first, with how far it was found true."""
    for one in head.ranked_descriptions():
        role = f" role {one.role}" if one.role else ""
        console.print(_text(f"{one.llm} ({one.prompt}){role}", style="cyan"))
        if one.failure is not None:
            console.print(_text(f"  failed   {visible(one.cause)}", style="red"))
            continue
        console.print(_text(f"  inputs   {visible(one.inputs or '')}"))
        console.print(_text(f"  pattern  {visible(one.pattern or '')}", style="yellow" if one.unclear else ""))
        for line in one.grouped:
            console.print(_text(f"           {visible(line)}", style="dim"))
        if one.headline is not None:
            console.print(_text(f"  score    {visible(one.headline.text)}"))
            console.print(_text(f"  verdict  {one.verdict}"))
        for line in one.unscored:
            console.print(_text(f"  score    {visible(line)}", style="red"))
    if not head.descriptions:
        console.print(_text("not described yet: headscribe describe MODEL --llm LLM", style="dim"))


def _orders(head: HeadRecord, suppressed: bool) -> Iterator[tuple[Sequence[MappingRow], str, bool, str]]:
    """A head's rows in each order: by which figure, whether they show what is suppressed, and a title where several."""
    several = bool(head.distinct)
    yield head.salient, "saliency", suppressed, "by saliency" if several else ""
    if several:
        yield head.distinct, "distinctness", suppressed, "by distinctness: how far the strongest target stands out"
    if head.suppressing and not suppressed:
        yield head.suppressing, "distinctness", True, "by distinctness of what is suppressed, which stands out more"


def _rows_table(rows: Sequence[MappingRow], figure: str, down: bool) -> Table:
    """Rows with the figure that orders them; where strengths are known, a bar behind each target says its share of the
    row's strongest."""
    headings = ("source", figure, "suppresses" if down else "promotes")
    table = Table(*headings, box=None, header_style="bold", pad_edge=False)
    table.columns[1].justify = "right"
    for row in rows:
        targets = row.suppressed if down else row.targets
        by_logit = figure == "saliency"
        sizes = [abs(target.logit if by_logit else target.z or 0.0) for target in targets]
        told = "  ".join(
            quoted(target.token) + ("" if target.z is None else _level(size, max(sizes)))
            for target, size in zip(targets, sizes, strict=True)
        )
        source = quoted(row.token) + (f" ({' '.join(map(quoted, row.variants))})" if row.variants else "")
        table.add_row(_text(source), f"{getattr(row, figure) or 0:.3f}", _text(told))
    return table


LEVELS = "▁▂▃▄▅▆▇█"


def _level(size: float, most: float) -> str:
    return LEVELS[min(len(LEVELS) - 1, int(len(LEVELS) * size / most))] if most else ""


def _constant(head: HeadRecord) -> Iterator[str]:
    """The tokens that a head promotes and suppresses whatever it reads, where that is apart."""
    part = head.constant
    if part is not None:
        up, down = (" ".join(quoted(t.token) for t in targets[:6]) for targets in (part.promoted, part.suppressed))
        yield f"whatever it reads ({part.share:.0%} of what it writes): promotes {up}; suppresses {down}"


def _draw_attention(attention: AttentionRecord, console: Console) -> None:
    """Where a head looks: its kinds, the strongest pairs of tokens, and the strongest contexts."""
    console.print(_text(f"attends    {attention.words}"))
    if not attention.stable:
        halves = " and ".join(", ".join(visible(kind) for kind in half) or "none" for half in attention.halves)
        console.print(_text(f"           by halves of the text: {halves}", style="dim"))
    pairs = (f"{quoted(pair.source)} to {quoted(pair.target)} {pair.attention:.2f}" for pair in attention.pairs[:5])
    if attention.pairs:
        console.print(_text(f"           {', '.join(pairs)}"))
    for context in attention.contexts[:2]:
        shaded = Text("           ")
        for place, (token, share) in enumerate(zip(context.tokens, context.shades, strict=True)):
            style = "reverse" if place == context.query else "bold yellow" if share >= 0.1 else ""
            shaded.append((" … " if place == context.cut else "") + printable(visible(token)), style=style)
        console.print(shaded)


def _checked(relation: RelationRecord, side: str) -> str:
    """The checks of a head and an operation, where it was run."""
    said = []
    if relation.inference is not None:
        run = relation.inference
        without, within = getattr(run.of_source, side), getattr(run.in_context, side)
        said.append(f"in prompts {without:.2f} without context, {within:.2f} with")
    if relation.ablation is not None and side == "score":
        found = relation.ablation
        said.append(f"removed as no. {found.removed_as}: accuracy {found.base:.2f} to {found.targeted:.2f}")
    return f" ({'; '.join(said)})" if said else ""


def _evidence_table(evidence: Sequence[EvidenceRecord]) -> Table:
    """Evidence above chance, with how far and how surely."""
    headings = ("evidence", "claim", "count", "expected", "effect h", "q", "examples")
    table = Table(*headings, box=None, header_style="bold", pad_edge=False)
    for column in range(2, 6):
        table.columns[column].justify = "right"
    for e in evidence:
        numbers = (f"{e.count} of {e.rows}", f"{e.expected:.2%}", f"{e.effect:.2f}", f"{e.q_value:.0e}")
        examples = ", ".join(e.examples[:2])
        table.add_row(_text(e.kind), _text(e.wording), *numbers, _text(examples))
    return table


@dataclass(frozen=True)
class HeadLine:
    """A head in one line: what it is at a glance, and its strongest mapping."""

    summary: HeadSummary
    strongest: Text

    @classmethod
    def of(cls, head: HeadRecord) -> HeadLine:
        """The line of a head."""
        return cls(head.summary(), _strongest(head))

    @property
    def headline(self) -> Text:
        """Its headline; empty where that is its description, which stands beside it."""
        card = self.summary.card
        told = card is None or card.kind in ("said", "supported")
        return _text("" if card is None or told else visible(card.headline), "" if card and card.rests_on else "dim")

    @property
    def cells(self) -> tuple[str, Text, Text, Text]:
        """The head, what its sources share, what it does with them, and its strongest mapping."""
        style = {"unclear": "yellow", "failed": "red"}.get(self.summary.state, "")
        inputs, said = (_text(visible(words or ""), style) for words in (self.summary.inputs, self.summary.said))
        return self.summary.name, inputs, said, self.strongest


def draw_heads(lines: Iterable[HeadLine]) -> None:
    """A line per head; scores with the level of wrong descriptions beside them, where there are any."""
    from describe.head_record import STATE_WORDS

    drawn = list(lines)
    judged = sorted({visible(line.summary.headline.by) for line in drawn if line.summary.headline})
    headings = (
        "head",
        *(("score", "wrong description") if judged else ()),
        "headline",
        "description",
        "strongest mapping",
    )
    table = Table(*headings, box=None, header_style="bold", pad_edge=False)
    for line in drawn:
        top = line.summary.headline
        scores = ((top.with_interval, top.levels) if top else ("", "")) if judged else ()
        name, *rest = line.cells
        table.add_row(name, *scores, line.headline, *rest)
    console = _console()
    console.print(table)
    states = Counter(line.summary.state for line in drawn)
    said = ", ".join(f"{number} {STATE_WORDS[state]}" for state, number in sorted(states.items()))
    console.print(_text("; ".join([said, *(f"score: {how}" for how in judged)]), style="dim"))


def draw_contradictions(lines: Sequence[HeadLine]) -> None:
    """Heads of which something does not go together, each with what; then how many of which sort."""
    from describe.kinds import CONTRADICTIONS

    table = Table("head", "headline", "but", box=None, header_style="bold", pad_edge=False)
    sorts: Counter[str] = Counter()
    for line in lines:
        for number, found in enumerate(line.summary.card.contradictions if line.summary.card else ()):
            sorts[found.sort] += 1
            name, headline = ("", _text("")) if number else (line.summary.name, line.headline)
            table.add_row(name, headline, _text(visible(found.words), "red"))
    console = _console()
    if lines:
        console.print(table)
    for sort, words in CONTRADICTIONS.items():
        console.print(_text(f"{sorts[sort]:4}  {words}"))


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
    if str(path) == "-":
        told = (sys.stdout.encoding or "utf-8").lower().replace("-", "").startswith("utf")
        sys.stdout.write(encodable(json_text(value, indent=2, ascii_only=not told)) + "\n")
    else:
        write_atomically(path, json_text(value, indent=2) + "\n")


def _text(words: str, style: str = "") -> Text:
    """Words of whomever, as a terminal may have them."""
    return Text(printable(words), style=style)


def _strongest(head: HeadRecord) -> Text:
    if not head.salient:
        return _text("")
    row = head.salient[0]
    return _text(f"{quoted(row.token)} → {' '.join(quoted(target.token) for target in row.targets[:2])}")


def _console() -> Console:
    """Standard output; as wide as the terminal, or wide enough for a file or a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)
