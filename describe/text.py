"""How tokens are written so that a reader, human or LLM, sees exactly what they are.

Tokens come from vocabularies: they contain spaces that matter, newlines, control and bidirectional characters,
HTML and formulas. Everything that shows a token to a reader goes through `quoted` or `visible`.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from functools import lru_cache
from typing import Any

__all__ = [
    "encodable",
    "file_name",
    "json_text",
    "keepable",
    "markdown",
    "no_formula",
    "printable",
    "quoted",
    "shortened",
    "shown",
    "spaced",
    "visible",
    "word_of",
]

LONGEST_SHOWN = 200
"""Characters of a token that are shown in a prompt."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_HIDDEN = {
    "Cc",
    "Cf",
    "Cs",
    "Co",
    "Cn",
    "Zl",
    "Zp",
}  # control, format (bidi, zero width), surrogate, private, unassigned


def visible(text: str) -> str:
    """Escape every character that would not be seen, or would change how others are seen.

    A plain space stays a space; other spaces, controls, bidirectional marks and the like become ``\\n``, ``\\xa0``
    or ``\\u202e``. A backslash is doubled, so the result can be read back without doubt.
    """
    if text.isprintable() and "\\" not in text:  # most are; the rule below says the same of them
        return text
    return "".join(_visible_char(char) for char in text)


def spaced(name: str) -> str:
    """The name of an operation, or of a cause of failure, as people read it: ``country to capital``."""
    return name.replace("_", " ")


@lru_cache(maxsize=2**16)  # prompts and pages show the tokens of one vocabulary again and again
def quoted(text: str) -> str:
    """`visible` text in double quotes, inner quotes escaped: ``" them"``."""
    return '"' + visible(text).replace('"', '\\"') + '"'


def shown(token: str, most: int = LONGEST_SHOWN) -> str:
    """`quoted` text, of which no more than so many characters are there; of a longer one its length is said."""
    if len(token) <= most:
        return quoted(token)
    return f'{quoted(token[:most])[:-1]}…" ({len(token):,} characters)'


def shortened(text: str, most: int = 80) -> str:
    """`visible` text of at most so many characters, as a message quotes what is wrong."""
    return visible(text[:most])[:most] + ("…" if len(text) > most else "")


def printable(text: str) -> str:
    """Lines of a message as a terminal may have them: `visible`, but a backslash stays, as parts are so already."""
    return "".join(char if char in "\n\\" else _visible_char(char) for char in text)


def json_text(value: object, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """A value as JSON, which knows no number that is none: NaN and infinity, of an older catalogue, are null."""
    try:
        return json.dumps(value, ensure_ascii=ascii_only, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=ascii_only, indent=indent)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def file_name(text: str, most: int = 80) -> str:
    """A text as part of a file's name: harmless characters alone, and none of them at the start a dot."""
    plain = (char if char.isascii() and (char.isalnum() or char in ".-_") else "_" for char in text[: 2 * most])
    return "".join(plain).lstrip(".")[:most]


def encodable(text: str) -> str:
    """Text that UTF-8 can write: lone surrogates become escapes, everything else stays."""
    return text.encode("utf-8", "backslashreplace").decode()


def keepable(text: str) -> str:
    """`encodable` text without NUL, which no database keeps."""
    return encodable(text.replace("\0", "\\x00"))


def markdown(text: str) -> str:
    """Text that Markdown and HTML take for text, in one line."""
    return re.sub(r"[!-/:-@\[-`{-~]", lambda match: f"&#{ord(match.group())};", " ".join(text.split("\n")))


_FORMULA = re.compile(r"[\s\x00-\x1f\ufeff\u200b-\u200f\u202a-\u202e\u2060-\u2069]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""How a formula begins, in the wide forms of East Asian keyboards too, after anything that is not seen."""


def no_formula(cell: Any) -> Any:
    """A table's cell; text that a spreadsheet would run as a formula starts with an apostrophe.

    The cells of every CSV that is written come through here.
    """
    return "'" + cell if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _visible_char(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    category = unicodedata.category(char)
    if category in _HIDDEN or (category == "Zs" and char != " "):
        code = ord(char)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return char


def word_of(token: str) -> str:
    """A token without the white space around it and without regard to case; white space alone as it is."""
    return token.strip().casefold() or token
