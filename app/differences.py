"""Drawing what ``headscribe diff`` found: how many changed, then a line for each change, words compared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from describe.head_record.differences import KINDS, words
from describe.text import quoted, spaced, visible

if TYPE_CHECKING:
    from describe.pipeline import Differences
    from describe.pipeline.diff import ModelDifferences

__all__ = ["draw_differences"]

LONGEST = 400
"""Characters of a text that are shown."""

MOST_TOKENS = 8
"""Tokens listed of those that came or went."""

STYLES = {"=": ("", "", ""), "-": ("[-", "-]", "red"), "+": ("{+", "+}", "green")}


def draw_differences(found: Differences) -> None:
    """The summary of each model, then its heads that changed."""
    console = Console(highlight=False, soft_wrap=True)
    for side, names in (("only in the old", found.only_old), ("only in the new", found.only_new)):
        for name in names:
            console.print(Text(f"{visible(name)}: {side} catalogue"))
    for model in found.models:
        _draw_model(model, console)


def _draw_model(model: ModelDifferences, console: Console) -> None:
    console.print(Text(f"{visible(model.model)}: {_summary(model)}", style="bold"))
    if len(set(model.content)) > 1:
        before, after = (content[:8] for content in model.content)
        console.print(Text(f"  its files differ: content hash {before}… and {after}…", style="yellow"))
    before, after = model.readings
    if before != after:
        console.print(Text(f"  read in different ways: {visible(before)} and {visible(after)}", style="yellow"))
    if model.agree is not None:
        told = ", ".join(f"{who} {model.supported.get(who, 0)}" for who in ("both", "first", "second", "neither"))
        console.print(Text(f"  they say the same of {model.agree} heads; a test bears out what they say: {told}"))
    for side, heads in (("only in the old", model.only_old), ("only in the new", model.only_new)):
        if heads:
            console.print(Text(f"  {side}: {', '.join(heads[:20])}{' …' if len(heads) > 20 else ''}"))
    for head in model.heads:
        for line in _lines(head):
            console.print(Text(f"{head['head']:>6}  ", style="bold") + line)


def _summary(model: ModelDifferences) -> str:
    if not model.counts:
        return f"{model.compared} heads compared, none differs"
    order = [*(kind for kind in KINDS if kind in model.counts), *sorted(model.counts.keys() - set(KINDS))]
    counts = ", ".join(f"{spaced(kind)} {model.counts[kind]}" for kind in order)
    return f"{model.compared} heads compared, {len(model.heads)} differ ({counts})"


def _lines(head: dict[str, Any]) -> Iterable[Text]:
    if "mapping" in head:
        yield _mapping(head["mapping"])
    for change in head.get("descriptions", ()):
        who = visible(change["llm"]) + (f" ({visible(change['prompt'])})" if change["prompt"] else "")
        who += f" role {change['role']}" if change["role"] else ""
        yield from _description(who, change)
    for change in head.get("scores", ()):
        yield Text(f"{visible(change['llm'])}: {change['measure']} by {visible(change['judge'])} {_moved(change)}")
    if "attention" in head:
        before, after = (", ".join(head["attention"][side] or ()) or "none" for side in ("old", "new"))
        moved = head["attention"]["figures"][:MOST_TOKENS]
        said = ", ".join(f"{visible(change['figure'])} {_moved(change)}" for change in moved)
        yield Text(f"attends: {visible(before)} to {visible(after)}" + (f"; {said}" if said else ""))
    if "query_key" in head:
        yield _query_key(head["query_key"])
    for change in head.get("relations", ()):
        yield Text(f"{visible(spaced(change['operation']))}: {change['side']} {_moved(change)}")


def _query_key(change: dict[str, Any]) -> Text:
    line = Text("looks by its weights:")
    for sign, pairs in (("-", change["removed"]), ("+", change["added"])):
        _listed(line, sign, [" at ".join(_cut(quoted(token), 60) for token in pair) for pair in pairs], ", ")
    if change["agreement"]:
        line.append(f" agreement with attention on text: r {_moved(change['agreement'])}")
    return line


def _listed(line: Text, sign: str, names: list[str], between: str) -> None:
    """The first of what came or went, and how many more."""
    if names:
        more = f" and {len(names) - MOST_TOKENS} more" if len(names) > MOST_TOKENS else ""
        line.append(" ").append_text(_piece(sign, between.join(names[:MOST_TOKENS]) + more))


def _mapping(change: dict[str, Any]) -> Text:
    line = Text("mapping:")
    for sign, tokens in (("-", change["removed"]), ("+", change["added"])):
        _listed(line, sign, [_cut(quoted(token), 60) for token in tokens], " ")
    if change["other_targets"]:
        line.append(f" other targets of {change['other_targets']} sources")
    return line.append(f" (numbers of what stayed by up to {change['largest_change']:.2g} of their size)")


def _description(who: str, change: dict[str, Any]) -> Iterable[Text]:
    before, after = change["old"], change["new"]
    if change["change"] != "changed":
        said = after or before
        yield Text(f"{who}: {change['change']}: ").append_text(_said("+" if after else "-", said))
        return
    if before["state"] != after["state"]:
        yield Text(f"{who}: {before['state']} → {after['state']}")
    for part in ("inputs", "pattern", "failure"):
        if before[part] != after[part]:
            line = Text(f"{who}: {part}: ")
            texts = (before[part] or "", after[part] or "")
            for sign, piece in words(*map(spaced, texts) if part == "failure" else texts):
                between = "" if line.plain.endswith(" ") else " "
                line.append(between).append_text(_piece(sign, _cut(visible(piece), LONGEST)))
            yield line


def _said(sign: str, said: dict[str, Any]) -> Text:
    text = (said["failure"] and f"failed, {spaced(said['failure'])}") or f"{said['inputs']} → {said['pattern']}"
    return _piece(sign, _cut(visible(text), LONGEST))


def _piece(sign: str, text: str) -> Text:
    """A piece with its marks around the words, white space outside."""
    start, end, style = STYLES[sign]
    bare = text.strip(" ")
    before, after = text[: len(text) - len(text.lstrip(" "))], text[len(text.rstrip(" ")) :] if bare else ""
    return Text(before) + Text(f"{start}{bare}{end}", style=style) + Text(after)


def _moved(change: dict[str, Any]) -> str:
    before, after = ("none" if change[side] is None else f"{change[side]:.3f}" for side in ("old", "new"))
    return f"{before} → {after}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
