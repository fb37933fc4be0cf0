"""One head, everything known of it."""

from __future__ import annotations

from typing import Any

from describe.figures import HeadFigure
from describe.head_record.attention import AttentionProvenance, AttentionRecord
from describe.head_record.descriptions import DescriptionRecord, State, best_first
from describe.head_record.facts import ATTENTION, Facts, Told
from describe.head_record.findings import EvidenceRecord, RoleRecord, RolesProvenance
from describe.head_record.form import Object, Record
from describe.head_record.headline import Card, card
from describe.head_record.neuronpedia import neuronpedia
from describe.head_record.query_key import QueryKeyRecord
from describe.head_record.relations import InferenceRecord, RelationRecord, RelationsProvenance
from describe.head_record.roles import RoleShown, roles_shown
from describe.head_record.scores import best_of_each, valued
from describe.head_record.summary import HeadSummary
from describe.head_record.worded import WordedRecord
from describe.known_heads import known_heads
from describe.mappings import ConstantPart, MappingRow
from describe.readings import Reading
from describe.records import THRESHOLD, HeadId, ModelInfo
from describe.text import quoted, spaced, visible
from describe.values import Count, Hash, Moment, Name, Prompt, Several, Size, Text, Word

__all__ = ["CountedTokens", "HeadProvenance", "HeadRecord", "HeldOut", "Shape"]


class HeldOut(Record):
    """Rows that no describer sees, to judge descriptions by."""

    next: Several[MappingRow]
    """the next most salient"""

    sample: Several[MappingRow]
    """of other tokens, drawn at random"""


class Shape(Record):
    """The shape of a model."""

    n_layers: Size
    """layers"""

    n_heads: Size
    """heads in a layer"""

    n_kv_heads: Size
    """key and value heads in a layer"""

    d_model: Size
    """width of the residual stream"""

    d_head: Size
    """width of a head"""

    vocab_size: Size
    """V, rows of the embedding matrix"""

    @classmethod
    def of_model(cls, model: ModelInfo) -> Shape:
        """The shape of this model."""
        return cls.of(**{name: getattr(model, name) for name in cls.model_fields})


class LeftOut(Record):
    """Tokens that do not count, for one reason."""

    reason: Text
    """why"""

    count: Count
    """how many"""

    examples: Several[Text]
    """some of them, the commonest first"""


class CountedTokens(Record):
    """The tokens that count, as sources and as targets."""

    count: Count
    """how many"""

    left_out: Several[LeftOut]
    """the others, reason by reason"""

    @property
    def text(self) -> str:
        """How many count, and which do not, in words."""
        others = (f"{one.count:,} {one.reason} ({', '.join(map(quoted, one.examples))})" for one in self.left_out)
        return "; ".join([f"{self.count:,} tokens count", *others])


class HeadProvenance(Record):
    """Of which model a head is, and how it was read."""

    content_hash: Hash
    """SHA-256 over the model's files"""

    family: Word
    """the model's architecture"""

    shape: Shape
    """the model's shape"""

    extraction: Object
    """settings that the mappings were read with"""

    tokens: CountedTokens | None = None
    """which tokens count; missing where all do"""

    versions: Object
    """versions of the programs that took part"""

    extracted: Moment
    """when"""

    evidence: Object | None = None
    """settings that the evidence was found with; missing where it was not looked for"""

    figure: Object | None = None
    """settings that the figure was found with; missing where it was not looked for"""

    query_key: Object | None = None
    """settings that the pairs of queries and keys were found with; missing where they were not"""

    attention: AttentionProvenance | None = None
    """how the model was run to see where the head looks; missing where it was not"""

    relations: RelationsProvenance | None = None
    """how the relation scores were made; missing where there are none"""

    roles: RolesProvenance | None = None
    """how the roles were found; missing where they were not looked for"""


class HeadRecord(Record):
    """One head, everything known of it."""

    model: Name
    """the model's name: a hub id, or what its directory or file is called"""

    layer: Count
    """layer, from 0"""

    head: Count
    """head in the layer, from 0"""

    card: Card | None = None
    """what the head does in one line; made of everything else, and never read from a file"""

    salient: Several[MappingRow]
    """the tokens that the head acts on most, of all that the reading counts, from the most salient down"""

    distinct: Several[MappingRow] = ()
    """the tokens whose strongest target stands out most, from the most distinct down. Not of the reading `paper`"""

    suppressing: Several[MappingRow] = ()
    """likewise those whose most suppressed target does, of heads whose suppressed side stands out more"""

    constant: ConstantPart | None = None
    """the part that the head writes whatever it reads. Not of the reading `paper`"""

    held_out: HeldOut
    """rows of the same form that no describer has seen, to judge descriptions by"""

    descriptions: Several[DescriptionRecord]
    """what was said of the head, in order of entry"""

    worded: Several[WordedRecord] = ()
    """the card as LLMs word it, in order of entry; the headline of the card stays that by which heads are found"""

    roles: Several[RoleRecord]
    """groups of the salient rows that do one thing together; one role: the head does one thing"""

    relations: dict[Prompt, RelationRecord]
    """by operation, how strongly the head implements it"""

    evidence: Several[EvidenceRecord]
    """what the mappings show more often than chance"""

    figure: HeadFigure | None = None
    """the share of its mappings that relates or copies words, beside random heads; missing where not looked for"""

    inference: InferenceRecord | None
    """the share of its own mappings that the head writes in prompts; null where not looked at"""

    attention: AttentionRecord | None = None
    """where the head looks while the model runs; missing where it was not looked at"""

    query_key: QueryKeyRecord | None = None
    """which pairs of tokens its queries and keys connect, by the weights; missing where it was not looked at"""

    provenance: HeadProvenance
    """of which model the head is, with all settings, versions and times"""

    @property
    def reading(self) -> Reading:
        """By which the head was read."""
        return Reading.of(self.provenance.extraction)

    @property
    def id(self) -> HeadId:
        """Layer and head."""
        return HeadId(self.layer, self.head)

    # -- the card -------------------------------------------------------------------------------------------------

    @property
    def facts(self) -> Facts:
        """The facts that its headline is made of."""
        made, looks = self.provenance.relations, self.attention
        return Facts(
            relations=self.relations,
            pairs={} if made is None else {name: one.pairs_used for name, one in made.operations.items()},
            kinds=() if looks is None else looks.kinds,
            halves=() if looks is None else looks.halves,
            attention={
                text: {name: (one.mean, one.uniform) for name, one in named.items()}
                for text, named in (looks.figures if looks is not None else {}).items()
            },
            figure=self.figure,
            descriptions=[_told(one) for one in self.descriptions],
            looked_into=bool(self.relations or looks or self.figure or self.descriptions),
        )

    def with_card(self) -> HeadRecord:
        """The record with its card, by everything that it holds."""
        return self.model_copy(update={"card": card(self.facts)})

    # -- descriptions ---------------------------------------------------------------------------------------------

    def ranked_descriptions(self, llm: str | None = None) -> list[DescriptionRecord]:
        """The descriptions as they are shown, the best first; ``llm``: those by this one alone."""
        return best_first(one for one in self.descriptions if llm in (None, one.llm))

    def best_description(self, llm: str | None = None) -> DescriptionRecord | None:
        """The description that is shown first, or the abstention or failure where there is nothing better."""
        return next(iter(self.ranked_descriptions(llm)), None)

    @property
    def state(self) -> State:
        """The state of the head: that of its best description."""
        best = self.best_description()
        return "none" if best is None else best.state

    # -- operations -----------------------------------------------------------------------------------------------

    @property
    def implements(self) -> dict[str, float]:
        """The operations that the head implements, the strongest first, with their relation scores."""
        return self._strong("score")

    @property
    def suppresses(self) -> dict[str, float]:
        """The operations that it suppresses, the strongest first, with their suppression scores."""
        return self._strong("suppression")

    @property
    def implements_text(self) -> str:
        """The operations that it implements, in words."""
        return _operations_text(self.implements)

    @property
    def suppresses_text(self) -> str:
        """The operations that it suppresses, in words."""
        return _operations_text(self.suppresses)

    def _strong(self, side: str) -> dict[str, float]:
        scores = ((getattr(relation, side), name) for name, relation in self.relations.items())
        return {name: score for score, name in sorted(scores, reverse=True) if score >= THRESHOLD}

    # -- findings -------------------------------------------------------------------------------------------------

    @property
    def several_roles(self) -> tuple[RoleShown, ...]:
        """Its roles with what their rows hold, where it has more than one."""
        return roles_shown(self.roles, self.salient, self.ranked_descriptions()) if len(self.roles) > 1 else ()

    @property
    def evidence_text(self) -> str:
        """Evidence above chance in its mappings, in words."""
        return "; ".join(found.text for found in self.evidence)

    @property
    def attention_text(self) -> str:
        """The kinds of head that it is by where it looks, in words; empty where it was not looked at."""
        return "" if self.attention is None else self.attention.words

    @property
    def named(self) -> tuple[str, ...]:
        """The roles that papers gave it, with their sources; of the model itself, whatever its weights show here."""
        shape = self.provenance.shape
        known = known_heads(self.provenance.family, shape.n_layers, shape.n_heads, shape.d_model)
        return tuple(one.words for one in known if one.head == self.id)

    @property
    def neuronpedia(self) -> str | None:
        """The address of its page at Neuronpedia, for models that have such pages."""
        return neuronpedia(self.model, self.layer, self.head)

    def summary(self, llm: str | None = None) -> HeadSummary:
        """The head at a glance; ``llm``: by what this one said."""
        ranked = self.ranked_descriptions(llm)
        best = next(iter(ranked), None)
        names = ("llm", "role", "inputs", "pattern", "failure", "headline")
        told: dict[str, Any] = {name: getattr(best, name, None) for name in names}
        tested = "evidence" in self.provenance.model_fields_set
        return HeadSummary(
            self.layer,
            self.head,
            saliency=self.salient[0].saliency if self.salient else None,
            state=best.state if best else "none",
            evidence=len(self.evidence) if tested else None,
            effect=max((found.effect for found in self.evidence), default=None),
            figure=self.figure,
            kinds=None if self.attention is None else self.attention.kinds,
            looks=None if self.attention is None else self.attention.means(),
            verdict=best.verdict if best else "not judged",
            card=self.card,
            scores=best_of_each(score for one in ranked for score in valued(one.scores)),
            describers=tuple(dict.fromkeys(one.llm for one in ranked if one.state == "described")),
            **told,
        )


def _operations_text(strong: dict[str, float]) -> str:
    return "; ".join(f"{visible(spaced(name))} {score:.2f}" for name, score in strong.items())


def _told(one: DescriptionRecord) -> Told:
    """A description as far as a headline needs it."""
    return Told(
        one.llm,
        one.state,
        one.pattern,
        one.inputs,
        one.role,
        one.kind,
        "looks" if one.provenance.settings.get("shows") == ATTENTION else "writes",
        valued(one.scores),
        one.described,
        one.failure,
    )
