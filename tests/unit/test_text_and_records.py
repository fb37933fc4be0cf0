"""Tokens shown exactly, selections of heads, records."""

from __future__ import annotations

import re

import pytest

from describe.errors import InputError
from describe.records import HeadId, parse_heads
from describe.text import file_name, no_formula, printable, quoted, visible
from tests.attacks import FORMULAS


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" them", '" them"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("\n\n ", '"\\n\\n "'),
        ("\\n", '"\\\\n"'),
        ("\x00\x1b[31m", '"\\x00\\x1b[31m"'),
        ("a\u202eb\u200b\u2028", '"a\\u202eb\\u200b\\u2028"'),
        ("\xa0\U000e0001", '"\\xa0\\U000e0001"'),
        ("naïve 日本 🙂", '"naïve 日本 🙂"'),
        ("<b>|=1+1", '"<b>|=1+1"'),
    ],
)
def test_tokens_are_shown_exactly(token: str, shown: str) -> None:
    assert quoted(token) == shown
    assert all(char.isprintable() for char in visible(token))


def test_no_spreadsheet_runs_a_cell() -> None:
    for text in (*FORMULAS, "\r\n\x00@x", "\u202e+1", "\xa0=1", "＝1"):
        assert no_formula(text) == f"'{text}"
    for cell in ("a=1", "", "'=1", " them", -1.5, None, True):
        assert no_formula(cell) is cell


def test_selections_of_heads() -> None:
    assert len(parse_heads("all", 3, 4)) == 12
    assert parse_heads("2.1, 0.3,2.1", 3, 4) == [HeadId(0, 3), HeadId(2, 1)]
    assert parse_heads("1-2", 3, 2) == [HeadId(1, 0), HeadId(1, 1), HeadId(2, 0), HeadId(2, 1)]
    assert parse_heads("1,0.1", 3, 2) == [HeadId(0, 1), HeadId(1, 0), HeadId(1, 1)]
    assert str(HeadId.parse("25.0")) == "25.0"


@pytest.mark.parametrize("text", ["", "x", "3.0", "0.4", "1.2.3", "2-1", "-1", "0-99", "all,0.0", "1.", "²", "0.0,"])
def test_bad_selections_are_refused(text: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_heads(text, 3, 4)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a model\nof C:\\x", "a model\nof C:\\x"),
        (visible("\x1b[31m\\"), "\\x1b[31m\\\\"),
        ("\x1b]0;x\x07\x9b2J\u202e\r", "\\x1b]0;x\\x07\\x9b2J\\u202e\\r"),
    ],
)
def test_messages_act_on_no_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("name", ["../../e", "..", ".", "/etc/passwd", "a\x00b", "con\\x", "\u202ea", "x" * 500, ""])
def test_a_name_in_a_path_is_one_name_in_its_folder(name: str) -> None:
    made = file_name(name)
    assert re.fullmatch(r"([A-Za-z0-9_-][A-Za-z0-9_.-]*)?", made)
    assert len(made) <= 80
