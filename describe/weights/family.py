"""A row of the table of model families: where a family keeps the few tensors that MAPS needs, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["CLIPPED", "PARALLEL", "SINKS", "WRITTEN_THROUGH_NORM", "Experts", "Family", "Packing", "Refusal"]

Packing = Literal["alone", "qkv", "grouped", "codegen"]
"""How a projection holds W_V: alone; behind Q and K; group by group, the queries of a group with its K and V;
or as CodeGen does, in four parts of q, v and k."""


@dataclass(frozen=True)
class Experts:
    """The mixture of experts of a first layer: names below the block, and how the router weighs them.

    Attributes:
        router: the router's weight; where it is not in the checkpoint, the first MLP is dense.
        each: what precedes the names in ``parts`` (gate, up, down) of each expert, its number for ``{}``.
        parts: of each expert; or of all in one tensor (``joined``: gate and up, down), the expert first.
        joined: "out" where these are (expert, out, in), "in" where (expert, in, out), "turns" where besides gate and
            up take turns; "" where each expert has its own.
        shared: what precedes the parts of the expert that is always asked, if there is one; ``shared_gate`` weighs it.
        choice: added to the scores while choosing, not while weighing.
        scores: what becomes of the router's logits.
        normalised: whether the weights of the chosen sum to one; None where the configuration says so.
        weighs_input: the weight is applied to what the expert reads, not to what it writes.
    """

    router: str = "mlp.gate"
    each: str = "mlp.experts.{}."
    parts: tuple[str, ...] = ("gate_proj", "up_proj", "down_proj")
    joined: Literal["", "out", "in", "turns"] = ""
    shared: str = ""
    shared_parts: tuple[str, ...] = ("gate_proj", "up_proj", "down_proj")
    shared_gate: str = ""
    choice: str = ""
    scores: Literal["softmax", "sigmoid", "late sigmoid", "sparsemixer"] = "softmax"
    normalised: bool | None = None
    weighs_input: bool = False


@dataclass(frozen=True)
class Family:
    """One row: how the checkpoints of a family are laid out. What a row leaves out is as in Llama.

    Attributes:
        name: the row's own name.
        model_types: ``model_type`` in ``config.json``, of all models this row reads.
        examples: models that people know.
        gguf: ``general.architecture`` of the GGUF files this row reads; those of other families are not tried.
        prefix: what precedes ``embed``, ``block``, ... in a checkpoint with its language-model wrapper.
        embed, unembed: the embedding (V, d) and the unembedding (V, d; absent when tied).
        embed_norm: the norm before the first layer, of ``norm_kind``; "plain" where it has no weights.
        scale: what the embedding is multiplied by: "sqrt" (of d), or the name of the setting that says it.
        block: what precedes the names below, with the layer's number for ``{}``.
        norm: the norm the first MLP reads through, of several names the first that is there; "plain" without weights.
        norm_kind: with ``+1`` where the stored weights lack one; "none" where the MLP reads the residual as it is.
        after: the norm that the first MLP writes through, if any.
        up, down, gate: the MLP; ``gate`` is None where it is not gated, and equals ``up`` where one tensor holds both.
        value, output: the attention projections.
        packing: how ``value`` holds W_V.
        transposed: projections are stored (in, out), as GPT-2's Conv1D does, not (out, in).
        activation: of the MLP, where the configuration does not say.
        eps: of the norms, where it is not the configuration's.
        experts: where the first layer may be a mixture of experts.
        gguf_norm: the name of ``norm`` in GGUF files.
        final_norm: the norm before the unembedding; "plain" without weights, "" where there is none.
        after_attention: the norm that attention writes through, if any.
        carried, carried_on: what the residual stream itself goes through in each layer, before attention adds to it and
            behind: norms (GPT of 2018), or factors of each dimension (Doge).
        only: settings that models must have, with what it means when they do not.
        note: what a reader of results must know.
    """

    name: str
    model_types: tuple[str, ...]
    examples: str
    gguf: tuple[str, ...] = ()
    prefix: str = "model."
    embed: str = "embed_tokens"
    unembed: str = "lm_head"
    embed_norm: str = ""
    scale: str = ""
    block: str = "layers.{}."
    norm: tuple[str, ...] = ("post_attention_layernorm",)
    norm_kind: Literal["rms", "rms+1", "layer", "layer+1", "none"] = "rms"
    after: str = ""
    up: str = "mlp.up_proj"
    down: str = "mlp.down_proj"
    gate: str | None = "mlp.gate_proj"
    value: str = "self_attn.v_proj"
    output: str = "self_attn.o_proj"
    packing: Packing = "alone"
    transposed: bool = False
    activation: str = "silu"
    eps: float | None = None
    experts: Experts | None = None
    gguf_norm: str = "ffn_norm"
    final_norm: str = "norm"
    after_attention: str = ""
    carried: tuple[str, ...] = ()
    carried_on: tuple[str, ...] = ()
    only: tuple[tuple[str, Any, str], ...] = ()
    note: str = ""

    @property
    def reading(self) -> tuple[str, ...]:
        """Steps besides the plain equations, in words that are kept with results."""
        done = {
            "embedding scaled": bool(self.scale),
            "embedding normed": bool(self.embed_norm),
            "no norm before the first MLP": self.norm_kind == "none",
            "norm after the first MLP": bool(self.after),
            "experts routed": self.experts is not None,
        }
        return tuple(what for what, is_done in done.items() if is_done)

    @property
    def folded(self) -> tuple[str, ...]:
        """The steps that the reading ``direct`` folds into the unembedding, in the order in which a head's output meets
        them."""
        centring = "centring, " if self.norm_kind.startswith("layer") else ""
        plain = self.final_norm == "plain"
        done = {
            "gain of the norm behind attention": bool(self.after_attention),
            f"{centring}gains of all norms behind attention": bool(self.carried_on) and not self.final_norm,
            "residual factors": bool(self.carried_on) and bool(self.final_norm),
            f"{centring}gain of the final norm": bool(self.final_norm) and not plain,
            "centring": plain and bool(centring),
        }
        return tuple(what for what, is_done in done.items() if is_done)


@dataclass(frozen=True)
class Refusal:
    """A kind of model that cannot be read as MAPS reads heads, and why: a clause that follows "it"."""

    reason: str
    model_types: tuple[str, ...]


# What several rows say.
PARALLEL: dict[str, Any] = {"norm": ("input_layernorm",), "gguf_norm": "attn_norm"}
WRITTEN_THROUGH_NORM: dict[str, Any] = {
    "norm": (),
    "norm_kind": "none",
    "after": "post_feedforward_layernorm",
    "after_attention": "post_attention_layernorm",
}
CLIPPED = "values beyond clip_qkv, where a model has it, are not clipped"
SINKS = "attention sinks take from what a head reads, not from what it makes of it"
