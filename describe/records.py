"""The small frozen records that travel between the parts of headscribe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from describe.attention import HeadAttention
from describe.errors import InputError
from describe.kinds import Kind
from describe.mappings import ConstantPart, MappingRow, Target

__all__ = [
    "LOST",
    "MIN_PAIRS",
    "SENT",
    "THRESHOLD",
    "Call",
    "Claim",
    "ConstantPart",
    "Description",
    "Evidence",
    "Group",
    "HeadId",
    "HeadMapping",
    "LayerScores",
    "MappingRow",
    "ModelInfo",
    "OperationScores",
    "Score",
    "Statement",
    "Target",
    "WordedCard",
    "parse_heads",
]

MIN_PAIRS = 30
"""An operation with fewer pairs that count in a model's vocabulary is not valid for it (MAPS)."""

SENT, LOST = "sent", "lost"
"""Outcomes of calls without an answer: under way, or broken off by the end of the process, and then maybe billed."""

THRESHOLD = 0.15
"""A head implements an operation from this relation score on (MAPS)."""


class HeadId(NamedTuple):
    """A head by layer and position in the layer, both from 0, written ``25.0``; or one of its roles, from 1."""

    layer: int
    head: int
    role: int = 0

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}" + (f" role {self.role}" if self.role else "")

    @classmethod
    def parse(cls, text: str) -> HeadId:
        """Read ``L.H``; raises `InputError` for anything else."""
        layer, dot, head = text.strip().partition(".")
        if not (dot and layer.isdecimal() and head.isdecimal() and text.isascii() and len(text) < 16):
            raise InputError(f"'{text}' is not a head: write LAYER.HEAD, both counted from 0, for example 25.0")
        return cls(int(layer), int(head))


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model's identity and shape.

    Attributes:
        name: what people call it: the hub id, the directory's or file's name, or ``demo``.
        content_hash: SHA-256 over the files that were read (weights, configuration, tokenizer).
        vocab_size: V, rows of the embedding matrix.
    """

    name: str
    content_hash: str
    family: str
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    vocab_size: int

    @property
    def heads(self) -> list[HeadId]:
        """Every head, layer by layer."""
        return [HeadId(layer, head) for layer in range(self.n_layers) for head in range(self.n_heads)]


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that is said of a head's mappings, in numbers.

    Attributes:
        name: what was tested, a machine word.
        kind: whether it is about the ``inputs``, the ``outputs``, or the ``pairing`` of the two.
        wording: what is claimed, to stand in a sentence.
        count, rows: how many show it, of how many looked at (rows; for properties of outputs, distinct tokens).
        expected: the share that would show it by chance.
        lines: the rows that show it, by their numbers from 1; empty where they are not known.
    """

    name: str
    kind: Literal["inputs", "outputs", "pairing"]
    wording: str
    count: int
    rows: int
    expected: float
    lines: tuple[int, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, slots=True)
class Evidence(Claim):
    """One thing that a head's mappings show more often than chance, and how surely.

    Attributes:
        effect: Cohen's h, from the expected to the observed share.
        p_value: the chance of as many by chance alone.
        q_value: the larger p-value after Benjamini and Hochberg, over all tests on all heads of the run.
        examples: some tokens, or pairs of tokens, that show it, as `describe.text.quoted` writes them.
        random_expected, random_p_value: the same against random heads; None for pairings, or where none were drawn.
    """

    effect: float
    p_value: float
    q_value: float
    examples: tuple[str, ...]
    random_expected: float | None = None
    random_p_value: float | None = None

    @property
    def share(self) -> float:
        """The share that shows it."""
        return self.count / self.rows

    @property
    def claim(self) -> Claim:
        """The claim of a description that states it."""
        return Claim(self.name, self.kind, self.wording, self.count, self.rows, self.expected, lines=self.lines)


@dataclass(frozen=True, slots=True)
class HeadMapping:
    """The salient mapping rows of one head, from the most salient down.

    Attributes:
        evidence: what was found in the salient rows, if asked for.
        held_out: the next most salient rows, which no describer sees, if asked for.
        sampled: rows of other tokens, drawn at random and in the order drawn, which no describer sees either.
        distinct: the rows whose strongest target stands out most, in that order. Not of the reading ``paper``.
        suppressing: likewise those whose most suppressed target does; of heads whose suppressed side stands out more.
        constant: the part that the head writes whatever it reads, where that was taken off the rows.
        attention: where it looks, if asked for.
    """

    id: HeadId
    salient: tuple[MappingRow, ...]
    evidence: tuple[Evidence, ...] = ()
    held_out: tuple[MappingRow, ...] = ()
    sampled: tuple[MappingRow, ...] = ()
    distinct: tuple[MappingRow, ...] = ()
    suppressing: tuple[MappingRow, ...] = ()
    constant: ConstantPart | None = None
    attention: HeadAttention | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of a head that do one thing together, as a describer sees them.

    Attributes:
        inputs: what their source tokens share; ``promoted``: what the head promotes for them.
        lines: the numbers of the rows, from 1 in the order in which they were shown, each in one group at most.
        checked: every number named is that of a row, and the tokens quoted stand in these rows.
    """

    inputs: str
    promoted: str
    lines: tuple[int, ...]
    checked: bool


@dataclass(frozen=True, slots=True)
class Description:
    """A describer's answer about one head: a description, an abstention, or a failure with its cause.

    Attributes:
        inputs: what the source tokens share; None on failure.
        pattern: what the head does with them; None on failure, ``"Unclear"`` on abstention.
        unclear: the LLM abstained. A valid answer.
        claims: what it says, by the statistics; empty where nobody knows: an LLM's words are free.
        kind: how the outputs depend on the input, a word of `describe.kinds.KINDS`; None where nobody was asked.
        groups: rows that do one thing together, by the numbers of their lines; empty where nobody was asked.
        covered: the share of the lines shown that is in a group whose lines were checked; None where nobody was asked.
        failure: why there is no usable answer (a word of `describe.llm.CAUSES`), else None.
        detail: the failure in a sentence, else None.
        reply: the raw text of the last reply, if one came.
        usage: tokens in and out, calls made, seconds taken, the model that says it answered.
    """

    inputs: str | None = None
    pattern: str | None = None
    reasoning: str | None = None
    unclear: bool = False
    claims: tuple[Claim, ...] = ()
    kind: Kind | None = None
    groups: tuple[Group, ...] = ()
    covered: float | None = None
    failure: str | None = None
    detail: str | None = None
    reply: str | None = None
    prompt_hash: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement on a head, with the numbers, from 1, of the lines of evidence that it rests on."""

    text: str
    evidence: tuple[int, ...]


@dataclass(frozen=True)
class WordedCard:
    """An LLM's wording of all that is known of a head, or a failure with its cause.

    Attributes:
        statements: a headline and two sentences; empty on failure.
        failure, detail, reply, prompt_hash, usage: as in `Description`.
    """

    statements: tuple[Statement, ...] = ()
    failure: str | None = None
    detail: str | None = None
    reply: str | None = None
    prompt_hash: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """How far a judge found a description true, by one measure; or why that is not known.

    Attributes:
        measure: one of `describe.measures.ranked`.
        value: None on failure; ``low`` and ``high`` its 95 % confidence interval.
        wrong: the value that a wrong description of the same head gets; None: not tried.
        n: how many mapping rows were judged.
        failure: why there is no value, a word, and ``detail`` the same in a sentence.
        found: what else the measure gives.
    """

    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None
    wrong: float | None = None
    n: int = 0
    failure: str | None = None
    detail: str | None = None
    found: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an LLM that was answered or failed; every retry is a call of its own.

    Attributes:
        request_hash: SHA-256 of what was asked, of whom and how; the same for identical requests.
        client_id: our own name for the call, sent with it, by which the server's records can be searched.
        outcome: ``"ok"``, or a word of `describe.llm.CAUSES`, of which ``detail`` tells more; `SENT` while the call is
            under way, `LOST` when nobody knows what came of it.
        reply: the raw text that came, if any.
        tokens_out: with the ``tokens_reasoning`` in it. Tokens are None where the server does not say.
        money: US dollars; None where the tokens or their price are not known.
        seconds: from sending to the outcome.
    """

    request_hash: str
    outcome: str
    seconds: float
    client_id: str | None = None
    detail: str | None = None
    reply: str | None = None
    model: str | None = None
    request_id: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_reasoning: int | None = None
    money: float | None = None


@dataclass(frozen=True, slots=True)
class LayerScores:
    """An operation's scores on the heads of one layer, and the seconds they took."""

    scores: list[float]
    suppression: list[float]
    seconds: float


@dataclass(frozen=True, slots=True)
class OperationScores:
    """How strongly each head implements an operation.

    Attributes:
        k: the target counts when it is among so many.
        pairs_used: pairs that are single tokens on both sides; fewer than 30 and the operation is not ``valid``.
        layers: the layers scored, in order.
        scores, suppression: the relation and suppression score of each head of each of these layers, 0 to 1.
    """

    name: str
    category: str
    k: int
    pairs_used: int
    valid: bool
    layers: tuple[int, ...]
    scores: tuple[tuple[float, ...], ...]
    suppression: tuple[tuple[float, ...], ...]
    seconds: float


def parse_heads(text: str, n_layers: int, n_heads: int) -> list[HeadId]:
    """Read a selection of heads: ``all``, heads ``25.0,16.8``, layers ``20-25`` or ``20``, or a mixture.

    Returns the heads in order, each once. Raises `InputError` for what cannot be read or lies outside the model.
    """
    if text.strip() == "all":
        return [HeadId(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    chosen = {head for part in text.split(",") for head in _parse_part(part.strip(), n_heads)}
    outside = sorted(head for head in chosen if head.layer >= n_layers or head.head >= n_heads)
    if outside:
        raise InputError(
            f"head {outside[0]} is not in the model: layers go from 0 to {n_layers - 1}, heads from 0 to {n_heads - 1}"
        )
    return sorted(chosen)


def _parse_part(part: str, n_heads: int) -> Iterable[HeadId]:
    if "." in part:
        return [HeadId.parse(part)]
    first, _, last = (part if "-" in part else f"{part}-{part}").partition("-")
    readable = first.isdecimal() and last.isdecimal() and part.isascii() and len(part) < 16
    if not readable or int(first) > int(last) or int(last) > 100_000:
        raise InputError(f"'{part}' selects no heads: write all, heads like 25.0,16.8 or layers like 20-25")
    return [HeadId(layer, head) for layer in range(int(first), int(last) + 1) for head in range(n_heads)]
