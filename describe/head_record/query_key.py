"""Which pairs of tokens the head's queries and keys connect, read from the weights."""

from __future__ import annotations

from describe.head_record.form import Record
from describe.text import quoted
from describe.values import Number, Several, Size, Text

__all__ = ["QueryKeyPair", "QueryKeyRecord"]


class QueryKeyPair(Record):
    """A pair of tokens that the head's weights connect."""

    query: Text
    """the token from which it would look"""

    key: Text
    """the token at which it would look"""

    logit: Number
    """the attention logit, with the means of both over tokens off"""


class QueryKeyRecord(Record):
    """Which pairs of tokens W_Q W_K^T connects most strongly, beside random heads, and what attention on text says."""

    offset: Size
    """by how many tokens the key stands before the query in `at_offset`"""

    pairs: Several[QueryKeyPair]
    """the strongest pairs, the rotation of positions averaged over offsets 1 to 16"""

    at_offset: Several[QueryKeyPair]
    """the strongest pairs at the one offset"""

    peak: Number
    """mean logit of `pairs`, in standard deviations over all pairs"""

    random_peak: Number
    """the same of the random head that has the largest"""

    agreement: Number | None
    """Pearson's r of these logits with the logarithm of attention on text, pairs 1 to 16 tokens apart, the mean of each
    query off; null where nothing varies"""

    random_agreement: Number | None
    """the largest of a random head"""

    agreement_at_offsets: Number | None
    """Pearson's r with each pair's logit at its own offset"""

    @property
    def words(self) -> str:
        """The strongest pairs and the agreement in a line."""
        told = ", ".join(f"{quoted(pair.query)} at {quoted(pair.key)}" for pair in self.pairs[:5])
        seen = [f"r {_figure(self.agreement)}", f"random heads at most {_figure(self.random_agreement)}"]
        return f"{told}; with attention on text {', '.join(seen)}"


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{round(value, 2) + 0.0:.2f}"  # no minus before a zero
