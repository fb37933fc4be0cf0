"""A checkpoint means what ``transformers`` loads from it, whatever form it has; what is not read is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from describe.errors import CheckpointError
from describe.inference.loading import load_network
from describe.pipeline.extraction.views import readable
from describe.readings import DIRECT
from describe.weights import HeadWeights, content_hash, locate, open_model
from describe.weights.safetensors_source import SafetensorsSource
from describe.weights.vocabulary import hub_tokens
from tests import tiny
from tests.unit.test_weights import assert_equals_modules

Tensors = dict[str, Tensor]


@pytest.fixture
def folder(tiny_llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))


def edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> Tensors:
    """The tensors of a directory changed; as they were."""
    whole = load_file(folder / "model.safetensors")
    changed = {name: tensor.contiguous().clone() for name, tensor in change(whole).items()}
    save_file(changed, folder / "model.safetensors", {"format": "pt"})
    return whole


def unembedding(weights: HeadWeights) -> Tensor:
    return weights.unembed.to("cpu", torch.float32)


# -- which matrix is U ------------------------------------------------------------------------------------------------


def test_an_unembedding_of_its_own_is_u_whatever_the_configuration_says(folder: Path) -> None:
    whole = load_file(folder / "model.safetensors")
    edit(folder, tie_word_embeddings=True)
    assert torch.equal(unembedding(open_model(str(folder))), whole["lm_head.weight"])
    rewrite(folder, lambda whole: {name: t for name, t in whole.items() if name != "lm_head.weight"})
    assert torch.equal(unembedding(open_model(str(folder))), whole["model.embed_tokens.weight"])


def test_a_tied_matrix_may_be_kept_under_either_name(folder: Path) -> None:
    edit(folder, tie_word_embeddings=True)
    whole = rewrite(folder, lambda whole: {name: t for name, t in whole.items() if "embed_tokens" not in name})
    weights = open_model(str(folder))
    assert torch.equal(unembedding(weights), whole["lm_head.weight"])
    assert torch.equal(weights.embed.to("cpu", torch.float32), whole["lm_head.weight"])


def test_the_default_of_a_wrapper_does_not_tie(folder: Path) -> None:
    """As Mistral Small 3.1 is published: nothing is said, the wrapper's default is true, and U stands in the file."""
    config = json.loads((folder / "config.json").read_text())
    text = {key: value for key, value in config.items() if key not in ("tie_word_embeddings", "architectures")}
    outer = {"model_type": "mistral3", "text_config": text | {"model_type": "mistral"}}
    (folder / "config.json").write_text(json.dumps(outer | {"vision_config": {"model_type": "pixtral"}}))
    whole = rewrite(folder, lambda whole: {f"language_model.{name}": tensor for name, tensor in whole.items()})
    assert torch.equal(unembedding(open_model(str(folder))), whole["lm_head.weight"])


def test_another_head_is_named(folder: Path) -> None:
    edit(folder, architectures=["LlamaForSequenceClassification"])
    rewrite(folder, lambda whole: {"score.weight" if "lm_head" in name else name: t for name, t in whole.items()})
    with pytest.raises(CheckpointError, match="'LlamaForSequenceClassification', saved without an unembedding"):
        open_model(str(folder))


# -- which files and names --------------------------------------------------------------------------------------------


def test_the_single_file_counts_beside_an_index(folder: Path) -> None:
    name, shard = "model.layers.1.self_attn.v_proj.weight", "model-00001-of-00001.safetensors"
    whole = load_file(folder / "model.safetensors")
    save_file({each: tensor + 1 for each, tensor in whole.items()}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(whole, shard)}))
    assert torch.equal(SafetensorsSource(folder).read(name), whole[name])
    (folder / shard).unlink()
    assert torch.equal(SafetensorsSource(folder).read(name), whole[name])


def test_the_file_that_the_configuration_names(folder: Path) -> None:
    before = content_hash(locate(str(folder)))
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    edit(folder, transformers_weights="consolidated.safetensors")
    assert open_model(str(folder)).info.content_hash != before
    edit(folder, transformers_weights="../consolidated.safetensors")
    with pytest.raises(CheckpointError, match="not in the directory"):
        open_model(str(folder))


WRAPPED: dict[str, Callable[[str], str]] = {
    "torch.compile": lambda name: f"_orig_mod.{name}",
    "each layer compiled": lambda name: name.replace("self_attn.", "_orig_mod.self_attn."),
    "peft": lambda name: f"base_model.model.{name}",
    "two": lambda name: f"module._orig_mod.{name}",
    "a value head": lambda name: f"pretrained_model.{name}",
}


@pytest.mark.parametrize("form", WRAPPED)
def test_names_under_a_wrapper_are_read(form: str, folder: Path) -> None:
    whole = rewrite(folder, lambda whole: {WRAPPED[form](name): tensor for name, tensor in whole.items()})
    weights = open_model(str(folder))
    assert torch.equal(unembedding(weights), whole["lm_head.weight"])
    assert torch.equal(weights.layer(1).value[0].mT, whole["model.layers.1.self_attn.v_proj.weight"][:12])


def test_adapters_are_named(folder: Path) -> None:
    rewrite(
        folder, lambda whole: whole | {"base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight": torch.ones(2)}
    )
    with pytest.raises(CheckpointError, match=r"LoRA adapter.*merge_and_unload"):
        open_model(str(folder))
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
    told = {"peft_type": "LORA", "base_model_name_or_path": "some/base"}
    (folder / "adapter_config.json").write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match=r"adapter \(LORA\) only, of 'some/base'"):
        open_model(str(folder))


def test_parts_of_a_gguf_model_are_one(tmp_path: Path) -> None:
    model = tiny.tiny_model("llama")
    whole = tiny.write_gguf(model, tmp_path / "whole.gguf")
    reader, parts = gguf.GGUFReader(whole), [tmp_path / f"split-0000{n}-of-00002.gguf" for n in (1, 2)]
    names = [tensor.name for tensor in reader.tensors]
    for number, part in enumerate(parts):
        writer = gguf.GGUFWriter(part, "llama")
        if number == 0:
            for field in reader.fields.values():
                if not field.name.startswith(("GGUF.", "general.architecture")):
                    of = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
                    writer.add_key_value(field.name, field.contents(), field.types[0], of)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)
        for tensor in reader.tensors:
            if (names.index(tensor.name) < len(names) // 2) == (number == 0):
                writer.add_tensor(tensor.name, tensor.data)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    for part in parts:  # whichever is named
        weights = open_model(str(part))
        assert weights.info.name == "split"
        assert_equals_modules(weights, model)
    alone = parts[0].rename(tmp_path / "alone.gguf")
    with pytest.raises(CheckpointError, match="one of 2 parts"):
        open_model(str(alone))
    with pytest.raises(CheckpointError, match=r"split-00001-of-00002\.gguf is not beside it"):
        open_model(str(parts[1]))


# -- quantised --------------------------------------------------------------------------------------------------------


def fp8(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float8_e4m3fn)


def int8(tensor: Tensor) -> Tensor:
    return tensor.round().to(torch.int8)


def groups(tensor: Tensor, wide: int) -> Tensor:
    return tensor.abs().unflatten(1, (-1, wide)).amax(2)


READ: dict[str, tuple[dict[str, Any], Callable[[str, Tensor], Tensors]]] = {
    "fp8, one scale": (
        {"quant_method": "fp8", "weight_block_size": None},
        lambda n, t: {n: fp8(t / t.abs().max() * 448), f"{n}_scale_inv": t.abs().max() / 448},
    ),
    "fp8, one scale in a list": (
        {"quant_method": "modelopt", "quant_algo": "FP8"},
        lambda n, t: {n: fp8(t / t.abs().max() * 448), f"{n}_scale": t.abs().max()[None] / 448},
    ),
    "fp8, rows": (
        {"quant_method": "fbgemm_fp8"},
        lambda n, t: {
            n: fp8(t / t.abs().amax(1, keepdim=True) * 448),
            f"{n}_scale": t.abs().amax(1, keepdim=True) / 448,
        },
    ),
    "fp8, flat rows": (
        {"quant_method": "compressed-tensors", "format": "float-quantized"},
        lambda n, t: {n: fp8(t / t.abs().amax(1, keepdim=True) * 448), f"{n}_scale": t.abs().amax(1) / 448},
    ),
    "fp8, groups of 8": (
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"group_0": {"weights": {"strategy": "group", "group_size": 8}}},
        },
        lambda n, t: {
            n: fp8(t / groups(t, 8).repeat_interleave(8, 1) * 448),
            f"{n}_scale": groups(t, 8) / 448,
        },
    ),
    "fp8, exponents": (
        {"quant_method": "mxfp8"},
        lambda n, t: {
            n: fp8(t / torch.exp2(groups(t, 8).log2().floor()).repeat_interleave(8, 1)),
            f"{n}_scale": (groups(t, 8).log2().floor() + 127).to(torch.uint8),
        },
    ),
    "int8, rows": (
        {"quant_method": "compressed-tensors", "format": "int-quantized"},
        lambda n, t: {
            n: int8(t / t.abs().amax(1, keepdim=True) * 127),
            f"{n}_scale": t.abs().amax(1, keepdim=True) / 127,
        },
    ),
    "int8, zero points": (
        {"quant_method": "compressed-tensors", "format": "int-quantized"},
        lambda n, t: {
            n: int8((t - t.amin(1, keepdim=True)) / (t.amax(1) - t.amin(1))[:, None] * 255 - 128),
            f"{n}_scale": (t.amax(1) - t.amin(1))[:, None] / 255,
            f"{n}_zero_point": (-128 - t.amin(1) / (t.amax(1) - t.amin(1)) * 255)[:, None],
        },
    ),
    "int8, SCB": (
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        lambda n, t: {
            n: int8(t / t.abs().amax(1, keepdim=True) * 127),
            f"{n.removesuffix('weight')}SCB": t.abs().amax(1),
        },
    ),
}


@pytest.mark.parametrize("form", READ)
def test_eight_bits_are_read_with_their_scales(form: str, folder: Path) -> None:
    told, packed = READ[form]
    edit(folder, quantization_config=told)
    whole = rewrite(folder, lambda whole: with_projections(whole, packed))
    source = SafetensorsSource(folder)
    for name in ("model.layers.0.mlp.up_proj.weight", "model.layers.1.self_attn.v_proj.weight"):
        read = source.read(name)
        step = whole[name].abs().amax(1, keepdim=True) / (14 if "fp8" in form else 120)
        assert bool(((read - whole[name]).abs() <= step).all()), "but for rounding"
        assert torch.equal(source.read(name, slice(3, 9)), read[3:9])
        assert torch.equal(source.read(name, torch.tensor([7, 0, 3])), read[[7, 0, 3]])
    weights = open_model(str(folder))
    assert torch.equal(weights.first_mlp.inner.up, source.read("model.layers.0.mlp.up_proj.weight"))  # type: ignore[attr-defined]


def with_projections(whole: Tensors, packed: Callable[[str, Tensor], Tensors]) -> Tensors:
    changed: Tensors = {}
    for name, tensor in whole.items():
        changed |= packed(name, tensor) if "_proj.weight" in name else {name: tensor}
    return changed


def zeros(dtype: torch.dtype, *size: int) -> Tensor:
    return torch.zeros(size, dtype=dtype)


REFUSED: dict[str, tuple[str, Callable[[str, Tensor], Tensors]]] = {
    "bitsandbytes": (
        "bitsandbytes",
        lambda n, t: {n: zeros(torch.uint8, t.numel() // 2, 1), f"{n}.absmax": torch.ones(t.numel() // 16)},
    ),
    "modelopt": (
        "modelopt",
        lambda n, t: {n: zeros(torch.uint8, len(t), t.shape[1] // 2), f"{n}_scale": fp8(torch.ones(len(t), 3))},
    ),
    "gptq": ("gptq", lambda n, t: {n.replace("weight", "qweight"): zeros(torch.int32, 6, len(t))}),
    "awq": ("awq", lambda n, t: {n.replace("weight", "qweight"): zeros(torch.int32, 6, len(t))}),
    "compressed-tensors": (
        "compressed-tensors",
        lambda n, t: {f"{n}_packed": zeros(torch.int32, len(t), 6), f"{n}_scale": torch.ones(len(t), 1)},
    ),
    "sparse": ("compressed-tensors", lambda n, t: {n.replace("weight", "compressed"): t, f"{n}_bitmask": t}),
    "quanto": ("quanto", lambda n, t: {f"{n}._data": int8(t), f"{n}._scale": torch.ones(len(t), 1)}),
    "eetq": ("eetq", lambda n, t: {n: int8(t), f"{n}_scales": torch.ones(len(t))}),
    "fp8 without scales": ("fp8", lambda n, t: {n: fp8(t)}),
    "int8 without scales": ("compressed-tensors", lambda n, t: {n: int8(t)}),
    "smoothed": (
        "modelopt",
        lambda n, t: {n: int8(t), f"{n}_scale": t[:, :1], n.replace("weight", "pre_quant_scale"): t[0]},
    ),
    "in halves under its own name": (
        "bitnet",
        lambda n, t: {n: zeros(torch.uint8, len(t) // 4, t.shape[1]), f"{n}_scale": t[:1, 0]},
    ),
    "torchao": (
        "torchao",
        lambda n, t: {n.replace("weight", "_weight_qdata"): int8(t), n.replace("weight", "_weight_scale"): t[:, 0]},
    ),
    "hqq": ("hqq", lambda n, t: {n.replace("weight", "W_q"): zeros(torch.uint8, 6, len(t))}),
    "mlx": ("", lambda n, t: {n: zeros(torch.uint32, len(t), 6), n.replace("weight", "scales"): t[:, :1]}),
    "of another kind": ("a new one", lambda n, t: {n: int8(t), f"{n}_scale": t[:, :1]}),
}


@pytest.mark.parametrize("form", REFUSED)
def test_other_forms_are_refused_by_their_name(form: str, folder: Path) -> None:
    method, packed = REFUSED[form]
    named = {"quant_method": method} if method else {"group_size": 64}
    edit(folder, quantization_config=named | {"bits": 4})
    rewrite(folder, lambda whole: with_projections(whole, packed))
    with pytest.raises(CheckpointError, match=rf"quantised \({method or 'mlx'}.*4 bits.*dequantise it") as raised:
        assert open_model(str(folder)).first_mlp
    assert "\n" not in str(raised.value)


def test_scales_that_do_not_fit_are_refused(folder: Path) -> None:
    edit(folder, quantization_config={"quant_method": "fp8", "weight_block_size": [32, 32]})
    rewrite(folder, lambda whole: with_projections(whole, lambda n, t: {n: fp8(t), f"{n}_scale_inv": torch.ones(5, 7)}))
    with pytest.raises(CheckpointError, match=r"scales of .* are \(5, 7\)"):
        open_model(str(folder)).layer(0)


# -- numbers that are none --------------------------------------------------------------------------------------------

HOLES = {
    "U": "lm_head.weight",
    "gains": "model.layers.0.post_attention_layernorm.weight",
    "first MLP": "model.layers.0.mlp.down_proj.weight",
    "values": "model.layers.1.self_attn.v_proj.weight",
    "queries, which attention on a CPU hides": "model.layers.1.self_attn.q_proj.weight",
    "final gains": "model.norm.weight",
}


@pytest.mark.parametrize("name", ["input_layernorm", "self_attn.q_proj", "post_attention_layernorm"])
def test_what_is_no_number_in_the_first_layer_is_not_read_past(name: str, folder: Path) -> None:
    def change(whole: Tensors) -> Tensors:
        whole[f"model.layers.0.{name}.weight"][-1] = float("nan")
        return whole

    rewrite(folder, change)
    with pytest.raises(CheckpointError, match=rf"0\.{name}\.weight' holds values that are not finite"):
        readable(open_model(str(folder)), DIRECT)


@pytest.mark.parametrize("hole", HOLES)
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_what_is_no_number_is_refused(hole: str, value: float, folder: Path) -> None:
    def change(whole: Tensors) -> Tensors:
        whole[HOLES[hole]][-1] = value
        return whole

    rewrite(folder, change)
    with pytest.raises(CheckpointError, match=rf"'{HOLES[hole]}' holds values that are not finite"):
        read_all(folder)
    with pytest.raises(CheckpointError, match=r"holds values that are not finite"):
        load_network(str(folder), torch.float32)


def read_all(folder: Path) -> None:
    weights = open_model(str(folder))
    assert weights.first_mlp is not None
    weights.layer(1)
    unembedding(weights)
    for _ in (*weights.block(1), *weights.beside_blocks()):
        pass


# -- vocabularies -----------------------------------------------------------------------------------------------------


def test_marks_at_the_end_of_words_are_spaces(folder: Path) -> None:
    letters = "abcdefgnorst"
    pieces = ["<unk>", *letters, *(f"{c}</w>" for c in letters), "do", "dog", "dogs</w>"]
    merges = [("d", "o"), ("do", "g"), ("dog", "s</w>")]
    made = Tokenizer(
        models.BPE(
            vocab={p: i for i, p in enumerate(pieces)}, merges=merges, unk_token="<unk>", end_of_word_suffix="</w>"
        )
    )
    made.pre_tokenizer, made.decoder = pre_tokenizers.BertPreTokenizer(), decoders.BPEDecoder(suffix="</w>")
    PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>").save_pretrained(folder)
    weights = open_model(str(folder))
    number = pieces.index("dogs</w>")
    assert weights.tokens[number] == "dogs "
    assert weights.tokens[pieces.index("do")] == "do"
    assert weights.token_id(" dogs") == number
    assert weights.token_ids(" dogs") == [number]
    assert weights.token_id(" dog") is None, "it goes on"


def test_pieces_that_go_on_with_a_word(tmp_path: Path) -> None:
    pieces = ["[UNK]", "dog", "##s", "cat"]
    made = Tokenizer(models.WordPiece(vocab={p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    made.decoder = decoders.WordPiece()
    PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]").save_pretrained(tmp_path)
    assert hub_tokens(tmp_path, 5) == ["[UNK]", " dog", "s", " cat", "[id 4]"]


def test_the_file_says_how_pieces_stand_for_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some versions of transformers put another decoder in place of that of the file."""
    tiny.byte_tokenizer().save_pretrained(tmp_path)
    other = tiny.byte_tokenizer()
    other.backend_tokenizer.decoder = decoders.Metaspace()
    monkeypatch.setattr("describe.weights.vocabulary.load_tokenizer", lambda path: other)
    assert hub_tokens(tmp_path, 258)[257] == " t"
