"""Weights read from disk are those the modules of the model compute with, for every family and file format."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
import torch

from describe.inference.loading import load_network
from describe.maps import salient_operations, source_vectors
from describe.weights import HeadWeights, open_model
from describe.weights.vocabulary import hub_tokens
from tests import oracle, tiny

CPU = torch.device("cpu")


def assert_equals_modules(weights: HeadWeights, model: object, tolerance: float = 1e-4) -> None:
    """Every W_VO, E, U and the first MLP equal what the running modules compute."""
    info = weights.info
    for layer in range(info.n_layers):
        read = weights.layer(layer)
        literal = oracle.all_w_vo(model, layer)
        for head in range(info.n_heads):
            group = head // (info.n_heads // info.n_kv_heads)
            ours = read.value[group].double() @ read.output[head].double()
            torch.testing.assert_close(ours, literal[head], rtol=tolerance, atol=tolerance)
    entering, written = oracle.first_layer(model)
    embed = weights.embed.to("cpu", torch.float32)
    torch.testing.assert_close(embed.double(), entering, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(weights.unembed.to("cpu", torch.float32), model.get_output_embeddings().weight.data)  # type: ignore[attr-defined]
    ours = source_vectors(embed, weights.first_mlp, CPU, torch.float32).vectors.double()
    torch.testing.assert_close(ours, written, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("model_type", tiny.CONFIGS)
def test_safetensors_equal_the_modules(model_type: str, tmp_path: Path) -> None:
    model = tiny.tiny_model(model_type)
    weights = open_model(str(tiny.save(model, tmp_path / "tiny")))
    assert_equals_modules(weights, model)
    assert (weights.info.name, weights.info.vocab_size, weights.info.d_model) == ("tiny", 300, tiny.D)


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "gpt2", "gpt_neox", "phi"])
def test_gguf_equals_the_modules(model_type: str, tmp_path: Path) -> None:
    model = tiny.tiny_model(model_type)
    weights = open_model(str(tiny.write_gguf(model, tmp_path / "tiny.gguf")))
    assert_equals_modules(weights, model)
    assert weights.tokens[0] == "<|end|>"
    assert weights.tokens[257] == " t"


def test_quantised_gguf_is_dequantised_tensor_by_tensor(tmp_path: Path) -> None:
    model = tiny.tiny_model("llama", hidden_size=64, intermediate_size=96)
    kind = gguf.GGMLQuantizationType.Q8_0
    with torch.no_grad():  # the model as the file will hold it
        for parameter in model.parameters():
            if parameter.ndim == 2:
                packed = gguf.quants.quantize(parameter.numpy(), kind)
                parameter.copy_(torch.from_numpy(gguf.quants.dequantize(packed, kind)))
    assert_equals_modules(open_model(str(tiny.write_gguf(model, tmp_path / "q8.gguf", kind))), model)


def test_a_gguf_file_is_loaded_the_same_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM

    path = tiny.write_gguf(tiny.tiny_model("llama"), tmp_path / "tiny.gguf")
    read: list[object] = []

    class Counting(gguf.GGUFReader):  # type: ignore[misc]
        def __init__(self, *arguments: object) -> None:
            read.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(gguf, "GGUFReader", Counting)
    options = {"gguf_file": path.name, "dtype": torch.float32}
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, **options)
    slow = len(read)
    quick = load_network(str(path), torch.float32)
    assert 1 == len(read) - slow < slow
    assert gguf.GGUFReader is Counting, "as it was before"
    ours, theirs = quick.state_dict(), plain.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert quick.config.to_dict() == plain.config.to_dict()


def test_shards_a_missing_wrapper_and_half_precision(tmp_path: Path) -> None:
    model = tiny.tiny_model("llama")
    sharded = tiny.save(model, tmp_path / "sharded", max_shard_size="40KB")
    assert len(list(sharded.glob("*.safetensors"))) > 2
    assert_equals_modules(open_model(str(sharded)), model)

    gpt2 = tiny.tiny_model("gpt2")
    bare = tiny.save(gpt2.transformer, tmp_path / "bare")  # as the hub's gpt2: no "transformer." before the names
    assert_equals_modules(open_model(str(bare)), gpt2)

    half = model.to(torch.bfloat16)
    weights = open_model(str(tiny.save(half, tmp_path / "half")))
    assert weights.embed[:1].dtype == torch.bfloat16
    assert_equals_modules(weights, half.float())


@pytest.mark.parametrize("model_type", tiny.CONFIGS)
def test_salient_operations_equal_the_literal_equations(model_type: str, tmp_path: Path) -> None:
    model = tiny.tiny_model(model_type)
    weights = open_model(str(tiny.save(model, tmp_path / "tiny")))
    x = source_vectors(weights.embed, weights.first_mlp, CPU, torch.float32)
    literal_x, unembed = oracle.source_vectors(model), model.get_output_embeddings().weight.data.double()
    for layer in range(weights.info.n_layers):
        found = salient_operations(x, weights.layer(layer), weights.unembed, n=30, k=5)
        for head in range(weights.info.n_heads):
            literal = oracle.salient(literal_x, oracle.w_vo(model, layer, head), unembed, 30)
            oracle.assert_same_order(found.sources[head], literal.saliency)
            rows = {int(source): row for source, row in zip(literal.sources, literal.logits, strict=True)}
            for row, source in enumerate(found.sources[head]):
                logits = rows[int(source)]
                oracle.assert_same_order(found.targets[head, row], logits)
                oracle.assert_same_order(found.suppressed[head, row], -logits)
                lowest = found.suppressed_logits[head, row].double()
                torch.testing.assert_close(lowest, logits[found.suppressed[head, row]], rtol=1e-4, atol=1e-5)


def test_sources_drawn_at_random_are_others_and_have_the_literal_targets(tmp_path: Path) -> None:
    model = tiny.tiny_model("llama")
    weights = open_model(str(tiny.save(model, tmp_path / "tiny")))
    x = source_vectors(weights.embed, weights.first_mlp, CPU, torch.float32)
    literal_x, unembed = oracle.source_vectors(model), model.get_output_embeddings().weight.data.double()
    found, again, other = (
        salient_operations(x, weights.layer(1), weights.unembed, n=30, k=5, sample=20, seed=seed) for seed in (1, 1, 99)
    )
    assert torch.equal(found.sources, again.sources)
    assert torch.equal(found.sources[:, :30], other.sources[:, :30])
    assert not torch.equal(found.sources[:, 30:], other.sources[:, 30:])
    for head in range(weights.info.n_heads):
        assert len(set(found.sources[head].tolist())) == 50, "none twice"
        w_vo = oracle.w_vo(model, 1, head)
        literal = oracle.salient(literal_x, w_vo, unembed, len(literal_x))
        saliency = literal.saliency[found.sources[head]]
        torch.testing.assert_close(found.saliency[head].double(), saliency, rtol=1e-5, atol=0)
        for row in range(30, 50):
            logits = literal_x[found.sources[head, row]] @ w_vo @ unembed.T
            oracle.assert_same_order(found.targets[head, row], logits)
            oracle.assert_same_order(found.suppressed[head, row], -logits)


def test_tokens_keep_spaces_bytes_and_unnamed_ids(tmp_path: Path) -> None:
    tiny.byte_tokenizer().save_pretrained(tmp_path / "bytes")
    tokens = hub_tokens(tmp_path / "bytes", 260)
    assert tokens[0] == "<|end|>"
    assert tokens[257:] == [" t", "[id 258]", "[id 259]"]
    assert {" ", "\n", "a", "<0xF0>", "<0x80>"} <= set(tokens)
    tiny.sentencepiece_tokenizer().save_pretrained(tmp_path / "pieces")
    tokens = hub_tokens(tmp_path / "pieces", 261)
    assert tokens[:2] == ["<unk>", "<s>"]
    assert tokens[2 + 10] == "\n"
    assert tokens[2 + 0xF0] == "<0xF0>"
    assert tokens[258:] == [" the", " ", "them"]
