"""The predefined operations of a head: relation scores, what running the model showed, and how these were made."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from describe.head_record.form import Object, Record
from describe.values import Count, Hash, Number, Prompt, Several, Share, Size, Text, Word, free

__all__ = [
    "AblatedOperation",
    "AblationProvenance",
    "AblationRun",
    "CorrelatedOperation",
    "CorrelationProvenance",
    "CorrelationRun",
    "DynamicRecord",
    "DynamicScore",
    "InferenceRecord",
    "Operation",
    "RelationRecord",
    "RelationsProvenance",
    "RemovalRecord",
    "Run",
    "ScoredOperation",
    "TemplateShares",
]


class DynamicScore(Record):
    """How often a head writes an operation's targets in prompts, as the mean over the prompts' templates."""

    score: Share
    """share of the pairs whose target is among the highest"""

    suppression: Share
    """share of the pairs whose target is among the lowest"""

    promoted: Several[Count]
    """the pairs behind `score`, for each template"""

    suppressed: Several[Count]
    """the pairs behind `suppression`, for each template"""


class DynamicRecord(Record):
    """An operation in prompts."""

    in_context: DynamicScore
    """as the head attends"""

    of_source: DynamicScore
    """as if it attended to the source alone"""


class RemovalRecord(Record):
    """The operation's task while the strongest heads are removed, this one among them."""

    removed_as: Size
    """which number in the order of removal the head has"""

    base: Share
    """accuracy with no head removed"""

    targeted: Share
    """accuracy with as many of the strongest removed"""

    random: Share | None
    """mean accuracy with as many others removed; null: not tried"""


class RelationRecord(Record):
    """How strongly a head implements a predefined operation."""

    score: Share
    """relation score: share of the operation's pairs whose target is among the head's highest"""

    suppression: Share
    """suppression score: share of the pairs whose target is among its lowest"""

    inference: DynamicRecord | None = None
    """after `correlate`: the same while the model runs"""

    ablation: RemovalRecord | None = None
    """after `ablate`, of heads that were removed"""

    @property
    def strength(self) -> float:
        """The larger of the two scores."""
        return max(self.score, self.suppression)


class TemplateShares(Record):
    """The share of a head's mappings that it writes in prompts of one template."""

    template: Text
    """the prompts' template"""

    of_source: Share
    """as if the head attended to the source alone"""

    in_context: Share
    """as the head attends"""


class InferenceRecord(Record):
    """How many of its own salient mappings a head writes while the model runs."""

    k: Size
    """a mapping counts when its target is among so many"""

    pairs: Count
    """so many mappings were looked for"""

    of_source: Share
    """share that is written as if the head attended to the source alone"""

    in_context: Share
    """share that is written as the head attends"""

    templates: Several[TemplateShares]
    """the same for each template of the prompts"""

    settings: Object
    """of the check"""

    @property
    def text(self) -> str:
        """The two shares in words."""
        return f"{self.of_source:.2f} without context, {self.in_context:.2f} with context"


class Operation(Record):
    """Which operation it is, besides its name."""

    category: Word
    """its kind"""

    direction: Text
    """from what to what"""

    content_hash: Hash
    """SHA-256 of its pairs"""


class ScoredOperation(Operation):
    """An operation, and how it was scored."""

    k: Size
    """a target counts when it is among so many"""

    pairs_used: Count
    """pairs that are single tokens on both sides"""


class CorrelationRun(Record):
    """Terms of a search in prompts; the counts are the heads'."""

    k: Size
    """a target counts when it is among so many"""

    pairs: Size
    """so many pairs were looked for"""

    templates: Annotated[Several[Text], Field(min_length=1)]
    """the prompts' templates"""

    seconds: Number
    """time taken"""


class AblationRun(Record):
    """How often the model solves an operation's task while heads are removed; `describe.records.Ablation`."""

    prompts: Count
    """how many prompts the accuracies are over"""

    heads: Several[Text]
    """the heads removed, strongest first"""

    numbers: Several[Count]
    """after how many removed heads accuracy was taken"""

    base: Share
    """accuracy with no head removed"""

    targeted: Several[Share]
    """accuracy with the strongest so many removed"""

    random: Several[Several[Share]]
    """accuracy with others removed, for each seed"""

    controls: dict[Text, Annotated[Several[Any], AfterValidator(free)]]
    """by operation, its task's base accuracy, and that with these same heads removed"""

    seconds: Number
    """time taken"""


class CorrelatedOperation(Operation):
    """An operation, and what was found of it in prompts that is no single head's."""

    found: CorrelationRun
    """what is no single head's"""


class AblatedOperation(Operation):
    """An operation, and what removing heads did to its task."""

    found: AblationRun
    """what is no single head's"""


class Run(Record):
    """How a command was run on the model."""

    settings: Object
    """of the run"""

    standard: bool
    """with the standard settings"""

    versions: Object
    """versions of the programs that took part"""


class CorrelationProvenance(Run):
    """How `correlate` was run."""

    operations: dict[Prompt, CorrelatedOperation]
    """by name, each operation and what was found of it that is no single head's"""


class AblationProvenance(Run):
    """How `ablate` was run."""

    operations: dict[Prompt, AblatedOperation]
    """by name, each operation and what was found of it that is no single head's"""


class RelationsProvenance(Run):
    """How relation scores were made, and what was checked of the operations by running the model."""

    operations: dict[Prompt, ScoredOperation]
    """by name, each valid operation"""

    correlate: CorrelationProvenance | None = None
    """how `correlate` was run"""

    ablate: AblationProvenance | None = None
    """how `ablate` was run"""
