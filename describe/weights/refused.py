"""Models that headscribe does not read, and why: so that nobody waits for a result that would not mean anything.

Together with the rows of `describe.weights.families` these account for every causal language model of ``transformers``;
a test holds that.
"""

from __future__ import annotations

from describe.weights.family import Refusal

__all__ = ["REFUSED", "refusal_of"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


REFUSED = (
    Refusal(
        "only encodes, and predicts no next token",
        _words("""
            albert bert bert-generation big_bird camembert convbert data2vec-text deberta deberta-v2 distilbert electra
            ernie esm funnel layoutlm longformer megatron-bert modernbert mpnet nomic_bert rembert roberta
            roberta-prelayernorm roc_bert roformer squeezebert xlm xlm-roberta xlm-roberta-xl xlnet xmod
        """),
    ),
    Refusal(
        "is an encoder-decoder, or the decoder of one, whose heads read an encoder too",
        _words("""
            bart bigbird_pegasus blenderbot blenderbot-small florence2 marian mbart mvp pegasus pix2struct plbart
            pp_formulanet prophetnet t5 t5gemma t5gemma2 trocr udop vision-encoder-decoder whisper
        """),
    ),
    Refusal(
        "has layers without attention heads: state spaces, convolutions or recurrence",
        _words("""
            bailing_hybrid bamba falcon_h1 falcon_mamba glm5_next granitemoehybrid jamba kimi_linear lfm2 lfm2_moe lfm3
            mamba mamba2 minimax nemotron_h olmo_hybrid qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_next
            qwen4_exp qwen4_exp_text recurrent_gemma rwkv xlstm zamba zamba2 zaya
        """),
    ),
    Refusal(
        "has multi-head latent attention: an RMSNorm stands between the two matrices that make the values, so that what"
        " a head writes is not linear in what it reads",
        _words("""
            axk1 axk2 deepseek_v2 deepseek_v3 deepseek_v32 dots3_note dots3_note_text glm4_moe_lite glm_moe_dsa hy_v4
            kimi_k2 longcat_flash minicpm3 mistral4 youtu
        """),
    ),
    Refusal(
        "has a norm between values and output, so that what a head writes is not linear in what it reads",
        _words("""
            bitnet deepseek_v4 diffllama diffusion_gemma gemma3n gemma3n_text gemma4 gemma4_assistant gemma4_text
            gemma4_unified gemma4_unified_assistant gemma4_unified_text
        """),
    ),
    Refusal(
        "gates every number of a head's output by the token that reads it, so that one W_V W_O does not say what the"
        " head does",
        _words("afmoe beam hrm_text"),
    ),
    Refusal("convolves values over positions before a head reads them", _words("inkling2_text inkling_text")),
    Refusal("routes every token to other heads, so that no head has one W_V W_O", _words("jetmoe")),
    Refusal("has layers whose heads differ in number or size", _words("laguna mimo_v2_flash")),
    Refusal(
        "has an MLP between the last layer and the vocabulary, so that U is no matrix", _words("modernbert-decoder")
    ),
    Refusal("has layers that read images through heads of their own", _words("git mllama mllama_text_model")),
    Refusal(
        "reads or writes something else than one token of text at a time",
        _words("blt cpmant moshi musicgen musicgen_melody reformer"),
    ),
    Refusal(
        "has a part that no row of the table describes yet",
        _words("dbrx minimax_m3_vl minimax_m3_vl_text phi4_multimodal"),
    ),
)


def refusal_of(model_type: str) -> Refusal | None:
    """Why models of this type are not read; None where they are, or where nobody has looked."""
    return next((refusal for refusal in REFUSED if model_type in refusal.model_types), None)
