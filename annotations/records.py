"""What is shown in a study, and what may be answered."""

from __future__ import annotations

__all__ = ["COVERAGE", "FIT", "KINDS", "PRESENCE", "SCOPE"]

KINDS = ("real", "swap_easy", "swap_hard", "shuffled", "catch")
"""The kinds of items; raters cannot tell them apart."""

PRESENCE = ("clear", "weak", "none")
"""Stage A: is there a pattern in the table?"""

FIT = ("fits", "partly", "does not fit", "can't tell")
"""Stage B: does the description fit the table?"""

COVERAGE = ("none", "few", "most", "all")
"""Stage B: how many rows does the description cover?"""

SCOPE = ("too broad", "too narrow", "right")
"""Stage B: how wide is the description?"""
