"""A line per head: its JSON form."""

from __future__ import annotations

from pathlib import Path

from describe.export import Parts
from describe.text import json_text

__all__ = ["write_file"]

_LINE_ENDS = {char: f"\\u{char:04x}" for char in (0x85, 0x2028, 0x2029)}
"""Where some readers, unlike JSON, would end a line."""


def write_file(parts: Parts, path: Path) -> None:
    """Write the heads, a line each."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for _, heads in parts:
            for head in heads:
                file.write(json_text(head.to_json()).translate(_LINE_ENDS) + "\n")
