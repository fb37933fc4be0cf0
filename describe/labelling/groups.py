"""Groups of lines that an LLM named: the program looks whether they can be so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from describe.labelling.answer import GroupAnswer
from describe.records import Group, MappingRow
from describe.text import shown

__all__ = ["checked_groups"]

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def checked_groups(named: Iterable[GroupAnswer], rows: Sequence[MappingRow]) -> tuple[Group, ...]:
    """The groups with lines that there are, each line in the first group that names it.

    A group is ``checked`` where every line that it names is there and in no group before, and every token that its
    words quote stands in these rows: a source of ``inputs``, a target of ``promoted``. One without lines is left out.
    """
    taken: set[int] = set()
    found = []
    for group in named:
        lines = [line for line in dict.fromkeys(group.lines) if 1 <= line <= len(rows) and line not in taken]
        taken |= set(lines)
        if not lines:
            continue
        of_lines = [rows[line - 1] for line in lines]
        sources = {token for row in of_lines for token in (row.token, *row.variants)}
        targets = {target.token for row in of_lines for target in row.targets}
        whole = len(lines) == len(group.lines)
        stands = _quotes_stand(group.inputs, sources) and _quotes_stand(group.promoted, targets)
        found.append(Group(group.inputs, group.promoted, tuple(sorted(lines)), checked=whole and stands))
    return tuple(found)


def _quotes_stand(words: str, tokens: set[str]) -> bool:
    """Every token that is quoted is one of these, with or without its leading space."""
    known = {shown(form) for token in tokens for form in (token, token.strip())}
    return all(found in known or f'"{found[1:-1].strip()}"' in known for found in _QUOTED.findall(words))
