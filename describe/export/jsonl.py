"""A line per head: its JSON form."""

from __future__ import annotations

from pathlib import Path

from describe.export import Parts
from describe.text import json_text

__all__ = ["write_file"]

_LINE_ENDS = {char: f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}
"""Where some readers, unlike JSON, would end a line."""


def write_file(parts: Parts, path: Path) -> None:
    """Write the heads, a line each."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for _, heads in parts:
            for head in heads:
                line = json_text(head.to_json())
                for end, escape in _LINE_ENDS.items():  # `translate` would look at each character
                    line = line.replace(end, escape)
                file.write(line + "\n")
