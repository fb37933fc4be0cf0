"""The card of a head as an LLM words it: each statement with the numbers of the evidence that it rests on."""

from __future__ import annotations

from describe.head_record.descriptions import DescriptionProvenance
from describe.head_record.form import Record
from describe.values import Cause, Count, Name, Prompt, Several, Size, Text

__all__ = ["StatementRecord", "WordedRecord"]


class StatementRecord(Record):
    """One statement on a head, with what it rests on."""

    text: Text
    """the statement"""

    evidence: Several[Size]
    """the numbers, from 1, of the lines of evidence that it rests on"""

    @property
    def words(self) -> str:
        """The statement with its numbers: ``Suppresses names. [1, 3]``."""
        return f"{self.text} [{', '.join(map(str, self.evidence))}]"


class WordedRecord(Record):
    """An LLM's wording of all that was known of a head: a headline and two sentences, or a failure with its cause."""

    llm: Name
    """who worded it"""

    prompt: Prompt
    """name of the prompt template"""

    statements: Several[StatementRecord]
    """the headline, then two sentences; empty on failure"""

    evidence: Several[Text]
    """everything that was known of the head then, in the order in which it was numbered"""

    others: Count
    """under the evidence of so many other heads the statements were checked too"""

    passed: Count
    """of so many of these the check did not object: the level beside which it is to be seen"""

    failure: Cause | None
    """why there is no usable answer, in a word"""

    detail: Text | None
    """the failure in a sentence"""

    provenance: DescriptionProvenance
    """how it came to be: the prompt template, settings, the reply as it came, tokens and time"""

    @property
    def cited(self) -> list[str]:
        """The lines of evidence that its statements rest on, each behind its number."""
        numbers = sorted({number for one in self.statements for number in one.evidence})
        return [f"[{number}] {self.evidence[number - 1]}" for number in numbers if number <= len(self.evidence)]

    @property
    def level(self) -> str:
        """How often the check passes the statements where they cannot be true, in words; empty where not tried."""
        if not self.others or self.failure is not None:
            return ""
        heads = "other head" if self.others == 1 else "other heads"
        return f"the check passes the same words under the evidence of {self.passed} of {self.others} {heads}"
