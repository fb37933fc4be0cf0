"""Every family of the table is what ``transformers`` computes: head by head, E, U and the first MLP; and it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from describe.errors import CheckpointError
from describe.inference import Exam, Prompt, Runner, accuracies
from describe.inference.attention import PatternReader
from describe.inference.from_files import open_layerwise
from describe.inference.layerwise import LayerwiseModel
from describe.inference.loading import Parts
from describe.inference.stream import stream_vectors
from describe.records import HeadId
from describe.weights import FAMILIES, HeadWeights, open_model
from describe.weights.families import RUN_FROM_GGUF, family_of
from describe.weights.layout import value_rows
from describe.weights.refused import REFUSED, refusal_of
from tests import direct_oracle, families, inference_oracle, oracle, tiny
from tests.unit.test_weights import assert_equals_modules

IDS = [f"{model_type}{i or ''}" for i, (model_type, _) in enumerate(families.CASES)]
EVERY = pytest.mark.parametrize(("model_type", "changes"), families.CASES, ids=IDS)


@EVERY
def test_weights_equal_the_modules(model_type: str, changes: dict[str, Any], tmp_path: Path) -> None:
    model = families.family_model(model_type, **changes)
    weights = open_model(str(families.saved(model, tmp_path / "tiny", model_type)))
    assert_equals_modules(weights, model, tolerance=3e-4)
    assert_attention_is_the_sum_of_heads(weights, model)


@EVERY
def test_models_run(model_type: str, changes: dict[str, Any], tmp_path: Path) -> None:
    model = families.family_model(model_type, **changes)
    weights = open_model(str(families.saved(model, tmp_path / "tiny", model_type)))
    assert_heads_read_what_they_attend_to(weights, model)
    if model_type == "openai-gpt":
        with pytest.raises(CheckpointError, match="without keeping keys and values"):
            Runner(model, weights.info)
        assert_logits_change_by_rows(weights, model, {layer: entering(model, layer) for layer in range(2)})
        return
    assert_runs(weights, model)
    streams = assert_streams(weights, model)
    assert_logits_change_by_rows(weights, model, streams)


def assert_attention_is_the_sum_of_heads(weights: HeadWeights, model: Any) -> None:
    """What attention writes for a prompt of one token is the sum of our heads' n W_V W_O, and what biases add."""
    info, tokens = weights.info, torch.arange(40)
    for layer in range(info.n_layers):
        read, written = oracle.alone(model, layer, tokens)
        _, of_biases = oracle.alone(model, layer, tokens[:1], nothing=True)
        ours = weights.layer(layer)
        values = ours.value.double().repeat_interleave(info.n_heads // info.n_kv_heads, dim=0)
        heads = read @ values @ ours.output.double()
        torch.testing.assert_close(heads.sum(0) + of_biases, written, rtol=1e-3, atol=1e-3)


def assert_heads_read_what_they_attend_to(weights: HeadWeights, model: Any) -> None:
    """The patterns seen, times the values, are what each head reads: the input of the output projection."""
    info = weights.info
    reader, parts = PatternReader(model, info), Parts(model, info.family)
    values, reads = {}, {}
    patterns: dict[int, torch.Tensor] = {}
    hooks = []
    for layer in range(info.n_layers):
        value, output = (parts.projection(name, layer) for name in (parts.family.value, parts.family.output))
        hooks.append(value.register_forward_hook(lambda _m, _a, out, layer=layer: values.__setitem__(layer, out)))
        hooks.append(output.register_forward_pre_hook(lambda _m, a, layer=layer: reads.__setitem__(layer, a[0])))
    reader.read(
        torch.randint(1, families.V, (2, 30)), lambda layer, found, _: patterns.__setitem__(layer, found.clone())
    )
    for hook in hooks:
        hook.remove()
    rows = value_rows(parts.family.packing, info.n_heads, info.n_kv_heads, info.d_head)
    for layer, found in patterns.items():
        of_groups = values[layer][..., rows].reshape(2, 30, info.n_kv_heads, info.d_head).transpose(1, 2)
        read = found @ of_groups.repeat_interleave(info.n_heads // info.n_kv_heads, dim=1).float()
        expected = reads[layer].reshape(2, 30, info.n_heads, info.d_head).transpose(1, 2)
        torch.testing.assert_close(read, expected.float(), rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert sorted(patterns) == list(range(info.n_layers))


def assert_runs(weights: HeadWeights, model: Any) -> None:
    """What heads read in context, and of one token alone, and what is lost without heads, in padded batches."""
    tolerance = 1e-4
    if model._supports_sdpa:  # other attention masks in single precision
        model.set_attn_implementation("sdpa")
        model, tolerance = model.double(), 1e-7
    runner = Runner(model, weights.info)
    prompts = [Prompt((5, 6, 7), 1), Prompt((8, 9, 10, 11, 12), 0), Prompt((13, 14, 15, 16), 2)]
    found = runner.attend(prompts)
    group = torch.arange(weights.info.n_heads) // (weights.info.n_heads // weights.info.n_kv_heads)
    for i, prompt in enumerate(prompts):
        in_context = found.in_context[:, :, i].double()
        torch.testing.assert_close(
            in_context, inference_oracle.reads(model, prompt.ids), rtol=tolerance, atol=tolerance
        )
        of_source, literal = found.of_source[:, group, i].double(), inference_oracle.reads_of_source(model, *prompt)
        torch.testing.assert_close(of_source, literal, rtol=tolerance, atol=tolerance)
    removed = [HeadId(0, 1), HeadId(1, 2)]
    predictions = [inference_oracle.prediction(model, prompt.ids, list(removed)) for prompt in prompts]
    assert accuracies(runner, Exam(prompts, [frozenset({token}) for token in predictions]), [removed]) == [1.0]


OPENING, TOKENS = (5, 9), (17, 30, 44, 50, 61)


def entering(model: Any, layer: int) -> torch.Tensor:
    """What the attention of a layer reads at each token behind the opening, in runs one by one, (n, d)."""
    module, found = oracle.places(model).attentions[layer], []

    def note(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append(kwargs.get("hidden_states", args[0] if args else None)[0, -1])

    with oracle.hooked(module.register_forward_pre_hook(note, with_kwargs=True)), torch.no_grad():
        for token in TOKENS:
            model(torch.tensor([[*OPENING, token]]), use_cache=False)
    return torch.stack(found)


def assert_streams(weights: HeadWeights, model: Any) -> dict[int, torch.Tensor]:
    """Stream vectors are what attention reads in runs one by one, in memory and from files; those of the opening."""
    tokens, layers = torch.tensor(TOKENS), range(weights.info.n_layers)
    runner = LayerwiseModel(Runner(model, weights.info))
    found = {layer: x[:] + 0 for layer, x in stream_vectors(runner, [OPENING], tokens, layers, block=300)}
    for layer in layers:
        torch.testing.assert_close(found[layer], entering(model, layer), rtol=1e-4, atol=1e-4)
    if weights.info.family == "llama" and "emu3" in type(model).__name__.lower():
        return found  # transformers makes no causal model of its text part alone
    both = [*OPENING, *TOKENS]
    from_files = open_layerwise(weights, torch.tensor(both), torch.device("cpu"), torch.float32)
    if hasattr(model, "transformer") and hasattr(model.transformer, "pos_encoding"):
        from_files.backbone.pos_encoding.zero_()  # as `families.randomised` does
    two = [OPENING, ()]
    several = {layer: x[:] + 0 for layer, x in stream_vectors(runner, two, tokens, layers)}
    for layer, x in stream_vectors(from_files, two, tokens, layers):
        torch.testing.assert_close(x, several[layer].float(), rtol=1e-3, atol=1e-3)
        assert layer == 0 or not torch.allclose(x, found[layer].float()), "another opening makes no difference"
    return found


def assert_logits_change_by_rows(weights: HeadWeights, model: Any, streams: dict[int, torch.Tensor]) -> None:
    """The row of (opening, t) is the change of the final logits by what the head writes when it attends to t alone; the
    scales of the final norm and of the norm behind attention are left out. With the mean off b_V has no part in it."""
    info, unembed = weights.info, weights.unembed[:].double()
    for layer, x in streams.items():
        read, fold = weights.layer(layer), weights.output_path(layer).folded(unembed)
        values = read.value.double().repeat_interleave(info.n_heads // info.n_kv_heads, dim=0)
        bias = weights.value_bias(layer)
        of_bias = 0 if bias is None else bias.double().repeat_interleave(len(values) // len(bias), dim=0)[:, None]
        rows = (x.double() @ values + of_bias) @ read.output.double() @ fold.mT
        changes = torch.stack([direct_oracle.logit_changes(model, (*OPENING, t), layer) for t in TOKENS[:3]], dim=1)
        rows = rows[:, :3]
        # By one factor, but where the norms that are passed scale each token in their own way.
        if weights.after_attention_gain(layer) is None and info.family != "openai-gpt":
            without = (x.double() - x.double().mean(0)) @ values @ read.output.double() @ fold.mT
            less = without[:, :2] - without[:, 1:3]
            torch.testing.assert_close(less, rows[:, :2] - rows[:, 1:3], rtol=1e-3, atol=1e-4)
            factor = (rows * changes).sum() / rows.square().sum()
            assert factor > 0
            torch.testing.assert_close(changes / factor, rows, rtol=1e-3, atol=1e-3 * float(rows.abs().max()))
        same = torch.nn.functional.cosine_similarity(changes, rows, dim=-1)
        torch.testing.assert_close(same, torch.ones_like(same), rtol=0, atol=1e-5)


def test_every_row_is_tried() -> None:
    tried = {model_type for model_type, _ in families.CASES} | set(families.TEXT_PARTS.values())
    tried |= {"emu3_text_model"}  # as which the text model of Emu3 is saved
    assert {name for row in FAMILIES for name in row.model_types} == tried


def test_all_causal_models_of_transformers_are_accounted_for() -> None:
    """Read by a row, or by the row of their text part, or refused with the reason: nothing is left to chance."""
    left = []
    for model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        if family_of(model_type=model_type) or refusal_of(model_type):
            continue
        text = CONFIG_MAPPING[model_type]().get_text_config(decoder=True).model_type
        if not (family_of(model_type=text) or refusal_of(text)):
            left.append(model_type)
    assert left == []
    read = {name for row in FAMILIES for name in row.model_types}
    refused = [name for refusal in REFUSED for name in refusal.model_types]
    assert read.isdisjoint(refused)
    assert len(set(refused)) == len(refused)


@pytest.mark.parametrize("model_type", families.TEXT_PARTS)
def test_text_parts_of_multimodal_models(model_type: str, tmp_path: Path) -> None:
    model = families.multimodal_model(model_type)
    weights = open_model(str(tiny.save(model, tmp_path / "tiny")))
    assert_equals_modules(weights, model, tolerance=3e-4)


@pytest.mark.parametrize("model_type", families.AROUND)
def test_a_whole_language_model_within_another(model_type: str, tmp_path: Path) -> None:
    model = families.multimodal_model(model_type)
    weights = open_model(str(tiny.save(model, tmp_path / "tiny")))
    within = model.language_model
    assert torch.equal(weights.unembed.to("cpu", torch.float32), within.get_output_embeddings().weight.data)
    assert torch.equal(weights.embed.to("cpu", torch.float32), within.get_input_embeddings().weight.data)
    for layer in range(weights.info.n_layers):
        read = weights.layer(layer)
        torch.testing.assert_close(
            read.value.repeat_interleave(weights.info.n_heads // weights.info.n_kv_heads, 0) @ read.output,
            oracle.all_w_vo(within, layer).float(),
            rtol=1e-4,
            atol=1e-4,
        )


GGUF = {
    "llama": "llama", "smollm3": "smollm3", "qwen2": "qwen2", "qwen3": "qwen3", "gpt2": "gpt2", "gpt_neox": "gptneox",
    "phi": "phi2", "phi3": "phi3", "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3", "falcon": "falcon",
    "bloom": "bloom", "mpt": "mpt", "gpt_bigcode": "starcoder", "starcoder2": "starcoder2", "stablelm": "stablelm",
    "olmo": "olmo", "olmo2": "olmo2", "cohere": "command-r", "cohere2": "cohere2", "granite": "granite",
    "nemotron": "nemotron",
}  # fmt: skip
"""A model type for each architecture of GGUF files that a row names."""


def test_every_gguf_architecture_is_tried() -> None:
    assert {architecture for row in FAMILIES for architecture in row.gguf} == set(GGUF.values())


def test_which_gguf_architectures_run_is_told() -> None:
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    assert {name for name in GGUF.values() if name in GGUF_SUPPORTED_ARCHITECTURES} == RUN_FROM_GGUF


@pytest.mark.parametrize("model_type", GGUF)
def test_gguf_equals_the_modules(model_type: str, tmp_path: Path) -> None:
    changes = next(changes for case, changes in families.CASES if case == model_type)
    model = families.family_model(model_type, **changes)
    path = tiny.write_gguf(model, tmp_path / "tiny.gguf", architecture=GGUF[model_type])
    assert_equals_modules(open_model(str(path)), model, tolerance=3e-4)


def test_gpt_oss_as_it_is_published_in_four_bits(tmp_path: Path) -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    model = families.family_model("gpt_oss", intermediate_size=64)
    published = families.saved(model, tmp_path / "tiny", "gpt_oss") / "model.safetensors"
    tensors, draw = load_file(published), torch.Generator().manual_seed(0)
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        n, read, written = tensors.pop(name).shape
        blocks = torch.randint(256, (n, written, read // 32, 16), generator=draw, dtype=torch.uint8)
        scales = torch.randint(120, 128, (n, written, read // 32), generator=draw, dtype=torch.uint8)
        tensors |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        model.get_parameter(name).data = convert_moe_packed_tensors(blocks, scales).float()
    save_file(tensors, published, metadata={"format": "pt"})
    assert_equals_modules(open_model(str(published.parent)), model, tolerance=3e-4)
