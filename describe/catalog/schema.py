"""The tables of the catalogue as they are now. How they came to be is in ``migrations``.

    model ─< extraction ─< head ─< description >─ labeller
    head ─< evidence;  head ─< head_role
    labeller ─< call >─ head
    labeller ─< batch >─ extraction;  batch ─< batch_request >─ head;  batch_request ── call
    model ─< relation_run ─< relation ─< relation_layer;  relation >─ operation
    model ─< check_run ─< operation_check >─ operation;  head ─< head_check
    description ─< score >─ labeller

An extraction is a model read with certain settings; a labeller is an LLM with a prompt template and parameters; a
relation is an operation scored on a model's heads, layer by layer, in a run with certain settings; a call is one
request to an LLM that was answered or failed; a batch is many requests that wait at a server together; a check is what
running the model showed of an operation or a head; a score is how far a judge (a labeller) found a description true; a
role (`describe.catalog.roles`) is what a group of a head's rows does, and a description is of a head or of a role.
The heads of a placebo's extraction are no heads of the model: they look like some and do nothing in particular.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "batch",
    "batch_request",
    "call",
    "catalogue_info",
    "check_run",
    "description",
    "evidence",
    "extraction",
    "head",
    "head_check",
    "labeller",
    "metadata",
    "model",
    "operation",
    "operation_check",
    "relation",
    "relation_layer",
    "relation_run",
    "score",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

catalogue_info = Table(
    "catalogue_info",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    comment="that this database is a headscribe catalogue, and which version made it",
)

model = Table(
    "model",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(512), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("family", String(64), nullable=False),
    Column("n_layers", Integer, nullable=False),
    Column("n_heads", Integer, nullable=False),
    Column("n_kv_heads", Integer, nullable=False),
    Column("d_model", Integer, nullable=False),
    Column("d_head", Integer, nullable=False),
    Column("vocab_size", Integer, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("name", "content_hash"),
)

extraction = Table(
    "extraction",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", ForeignKey("model.id"), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("tokens", JSON(none_as_null=True), comment="which count, `CountedTokens`; null: all, or not told"),
    Column("placebo", String(32), comment="the kind of placebo its heads are; null: they are the model's own"),
    Column("versions", JSON, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("model_id", "settings_hash"),
)

head = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("extraction_id", ForeignKey("extraction.id"), nullable=False),
    Column("layer", Integer, nullable=False),
    Column("head", Integer, nullable=False),
    Column("saliency", Float, nullable=False, comment="the largest saliency of a token"),
    Column("salient", JSON, nullable=False, comment="[[token_id, token, saliency, [target, ...]], ...]"),
    Column(
        "suppressed",
        JSON(none_as_null=True),
        comment="[[target, ...], ...], lowest logit first, by sources of ``salient``; [token_id, token, logit] each",
    ),
    Column(
        "held_out",
        JSON(none_as_null=True),
        comment="rows that no describer sees: {next: by saliency, sample: of the rest}, each [promoted, suppressed]",
    ),
    Column("distinct_rows", JSON(none_as_null=True), comment="rows by distinctness; null: the reading has none"),
    Column("suppressing_rows", JSON(none_as_null=True), comment="likewise by what is suppressed, where it stands out"),
    Column("constant", JSON(none_as_null=True), comment="[promoted, suppressed, share]; null: the reading has none"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("extraction_id", "layer", "head"),
)

labeller = Table(
    "labeller",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("llm", String(512), nullable=False),
    Column("prompt", String(256), nullable=False, comment="the template's name"),
    Column("template_hash", String(64), nullable=False),
    Column("template", Text, nullable=False, comment="the template's text"),
    Column("settings", JSON, nullable=False),
    Column("key_hash", String(64), nullable=False, unique=True, comment="of llm, template and settings"),
    Column("created", DateTime(timezone=True), nullable=False),
)

description = Table(
    "description",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("head_id", ForeignKey("head.id"), nullable=False),
    Column("labeller_id", ForeignKey("labeller.id"), nullable=False, index=True),
    Column("role", Integer, nullable=False, server_default="0", comment="of the head, from 1; 0: the whole head"),
    Column("inputs", Text),
    Column("pattern", Text),
    Column("reasoning", Text),
    Column("unclear", Boolean, nullable=False),
    Column("claims", JSON, nullable=False, server_default="[]", comment="what it says, `describe.records.Claim` each"),
    Column("kind", String(16), comment="a word of `describe.kinds`; null where nobody was asked"),
    Column("groups", JSON, nullable=False, server_default="[]", comment="`describe.records.Group` each"),
    Column("covered", Float, comment="the share of the rows that is in a checked group; null: nobody was asked"),
    Column("failure", String(32), comment="why there is no usable answer; null for an answer"),
    Column("detail", Text, comment="the failure in a sentence"),
    Column("reply", Text, comment="the last reply as it came"),
    Column("prompt_hash", String(64)),
    Column("usage", JSON, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("head_id", "labeller_id", "role"),
)

evidence = Table(
    "evidence",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("head_id", ForeignKey("head.id"), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("found", JSON, nullable=False, comment="the significant evidence, `describe.records.Evidence` each"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("head_id", "settings_hash"),
)

call = Table(
    "call",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("client_id", String(36), unique=True, index=True, comment="sent as X-Client-Request-Id"),
    Column("labeller_id", ForeignKey("labeller.id"), nullable=False),
    Column("head_id", ForeignKey("head.id"), index=True),
    Column("llm", String(512), nullable=False),
    Column("endpoint", String(512), nullable=False, comment="or the content hash of the LLM's file"),
    Column("template_hash", String(64), nullable=False),
    Column("request_hash", String(64), nullable=False, index=True, comment="of LLM, messages, sampling and schema"),
    Column("outcome", String(32), nullable=False, comment="sent, then ok or why there is no usable reply"),
    Column("detail", Text, comment="the failure in a sentence"),
    Column("reply", Text, comment="as it came"),
    Column("model", String(512), comment="the model that says it answered"),
    Column("request_id", String(256)),
    Column("tokens_in", Integer),
    Column("tokens_out", Integer, comment="reasoning included"),
    Column("tokens_reasoning", Integer),
    Column("money", Float, comment="US dollars; null where no price is known"),
    Column("seconds", Float, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
)

batch = Table(
    "batch",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("labeller_id", ForeignKey("labeller.id"), nullable=False),
    Column("extraction_id", ForeignKey("extraction.id"), nullable=False),
    Column("task", String(64), nullable=False, server_default="describe", comment="for what, of all the labeller does"),
    Column("key", String(64), nullable=False, unique=True, comment="by which the server's batch is found again"),
    Column("file_id", String(256), comment="the server's name for the uploaded requests"),
    Column("server_id", String(256), comment="the server's name for the batch"),
    Column("omitted", JSON, nullable=False, comment="parameters left out, because the server refuses them"),
    Column("state", String(32), nullable=False, comment="prepared, released, lost, or what the server said last"),
    Column("created", DateTime(timezone=True), nullable=False),
    Column("finished", DateTime(timezone=True), comment="when nothing more was to be had of it"),
)

batch_request = Table(
    "batch_request",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("batch_id", ForeignKey("batch.id"), nullable=False),
    Column("head_id", ForeignKey("head.id"), nullable=False),
    Column("role", Integer, nullable=False, server_default="0", comment="of the head; 0: the whole head"),
    Column("custom_id", String(64), nullable=False, comment="the request's name in the file"),
    Column("request_hash", String(64), nullable=False),
    Column("in_flight", String(64), unique=True, comment="the request hash as long as an answer may come"),
    Column("most", Float, nullable=False, comment="US dollars that it can cost at most; 0 where no price is known"),
    Column("call_id", ForeignKey("call.id"), unique=True, comment="what came of it"),
    UniqueConstraint("batch_id", "custom_id"),
)

operation = Table(
    "operation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(256), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("category", String(64), nullable=False),
    Column("direction", Text, nullable=False),
    Column("pairs", JSON, nullable=False, comment="[[source, target], ...]"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("name", "content_hash"),
)

relation_run = Table(
    "relation_run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", ForeignKey("model.id"), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("standard", Boolean, nullable=False, comment="the paper's settings: what is shown beside a head"),
    Column("versions", JSON, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("model_id", "settings_hash"),
)

relation = Table(
    "relation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("relation_run.id"), nullable=False),
    Column("operation_id", ForeignKey("operation.id"), nullable=False),
    Column("k", Integer, nullable=False),
    Column("pairs_used", Integer, nullable=False),
    Column("valid", Boolean, nullable=False, comment="enough pairs are single tokens in this model's vocabulary"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("run_id", "operation_id"),
)

relation_layer = Table(
    "relation_layer",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("relation_id", ForeignKey("relation.id"), nullable=False),
    Column("layer", Integer, nullable=False),
    Column("scores", JSON, nullable=False, comment="the relation score of each head of the layer"),
    Column("suppression", JSON, nullable=False),
    Column("seconds", Float, nullable=False, comment="the layer's time, shared out by pairs"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("relation_id", "layer"),
)

check_run = Table(
    "check_run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", ForeignKey("model.id"), nullable=False),
    Column("kind", String(32), nullable=False, comment="correlate or ablate"),
    Column("settings", JSON, nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("standard", Boolean, nullable=False, comment="the default settings: what is shown beside a head"),
    Column("versions", JSON, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("model_id", "kind", "settings_hash"),
)

operation_check = Table(
    "operation_check",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("check_run.id"), nullable=False),
    Column("operation_id", ForeignKey("operation.id"), nullable=False),
    Column("part", String(32), nullable=False, comment="single, multi (tokens a source); base, ablation"),
    Column("found", JSON, nullable=False, comment="`describe.check_records.DynamicHits` or `Ablation`"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("run_id", "operation_id", "part"),
)

head_check = Table(
    "head_check",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("head_id", ForeignKey("head.id"), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("found", JSON, nullable=False, comment="how many salient mappings the head writes while the model runs"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("head_id", "settings_hash"),
)

score = Table(
    "score",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("description_id", ForeignKey("description.id"), nullable=False),
    Column("judge_id", ForeignKey("labeller.id"), nullable=False, index=True),
    Column("measure", String(32), nullable=False, comment="detection, likelihood, stability"),
    Column("value", Float, comment="null on failure"),
    Column("low", Float, comment="with ``high``, the 95 % confidence interval"),
    Column("high", Float),
    Column("wrong", Float, comment="the value that a wrong description of this head gets; null: not tried"),
    Column("n", Integer, nullable=False, comment="how many rows were judged"),
    Column("failure", String(32), comment="why there is no value"),
    Column("detail", Text, comment="the failure in a sentence"),
    Column("found", JSON, nullable=False, comment="what else the measure gives"),
    Column("settings", JSON, nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("versions", JSON, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("description_id", "judge_id", "measure", "settings_hash"),
)
