"""Dynamic scores and ablation equal the literal computation: patterns really forced, every step run anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from describe.inference import Asked, Exam, Prompt, Runner, accuracies, dynamic_hits, open_runner
from describe.maps import Unembedding
from describe.records import HeadId, ModelInfo
from describe.weights import open_model
from describe.weights.families import family_of
from tests import inference_oracle, tiny

CPU = torch.device("cpu")


def run(model: Any) -> Runner:
    """A runner for a random model, in double precision so that only mistakes make a difference."""
    config = model.config
    d_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    family = family_of(model_type=config.model_type)
    assert family is not None
    info = ModelInfo(
        name="tiny",
        content_hash="",
        family=family.name,
        n_layers=tiny.LAYERS,
        n_heads=tiny.HEADS,
        n_kv_heads=getattr(config, "num_key_value_heads", None) or tiny.HEADS,
        d_model=tiny.D,
        d_head=d_head,
        vocab_size=300,
    )
    model.set_attn_implementation("sdpa")
    return Runner(model.double(), info)


def prompts(n: int, seed: int = 0) -> list[Prompt]:
    """Prompts of 3 to 9 tokens, the source anywhere, in one of them at the end."""
    draw = torch.Generator().manual_seed(seed)
    made = []
    for i in range(n):
        length = 3 + i % 7
        ids = tuple(torch.randint(1, 300, (length,), generator=draw).tolist())
        made.append(Prompt(ids, int(torch.randint(length, (1,), generator=draw)) if i else length - 1))
    return made


def after(prefix: tuple[int, ...], asked: list[Prompt]) -> list[Prompt]:
    return [Prompt(prefix + prompt.ids, len(prefix) + prompt.source) for prompt in asked]


@pytest.mark.parametrize("prefix", [(), (7, 8, 9)], ids=["differing", "beginning alike"])
@pytest.mark.parametrize("model_type", tiny.CONFIGS)
def test_heads_read_what_unpadded_and_really_forced_runs_read(model_type: str, prefix: tuple[int, ...]) -> None:
    model = tiny.tiny_model(model_type)
    runner, asked = run(model), after(prefix, prompts(9))
    found = runner.attend(asked)
    group = torch.arange(tiny.HEADS) // (tiny.HEADS // runner.info.n_kv_heads)
    for i, prompt in enumerate(asked):
        torch.testing.assert_close(found.in_context[:, :, i], inference_oracle.reads(model, prompt.ids))
        of_source = found.of_source[:, group, i]
        torch.testing.assert_close(of_source, inference_oracle.forced_reads(model, *prompt))
        if prompt.source < len(prompt.ids) - 1:
            torch.testing.assert_close(of_source, inference_oracle.forced_run_reads(model, *prompt))
    assert not torch.allclose(found.in_context, found.of_source[:, group])


@pytest.mark.parametrize("model_type", tiny.CONFIGS)
def test_dynamic_scores_equal_full_top_k_of_forced_runs(model_type: str) -> None:
    model = tiny.tiny_model(model_type)
    runner, asked_prompts = run(model), prompts(12)
    draw = torch.Generator().manual_seed(1)
    pairs = [(i % 12, int(torch.randint(300, (1,), generator=draw))) for i in range(60)]
    asked = Asked([prompt.ids for prompt in asked_prompts], pairs, 25)
    found = dynamic_hits(runner, asked, asked_prompts, Unembedding(runner.unembed, CPU))
    read = torch.stack([inference_oracle.reads(model, prompt.ids) for prompt in asked_prompts])
    forced = torch.stack([inference_oracle.forced_reads(model, *prompt) for prompt in asked_prompts])
    unembed = model.get_output_embeddings().weight.data
    for hits, z in zip(found, (read, forced), strict=True):
        promoted, suppressed = inference_oracle.counts(model, z, unembed, pairs, 25)
        assert hits.promoted == promoted
        assert hits.suppressed == suppressed
        assert sum(map(sum, promoted)) > 0
    some = dynamic_hits(runner, asked, asked_prompts, Unembedding(runner.unembed, CPU), layers=[2])
    assert some[0].promoted == found[0].promoted[2:]


@pytest.mark.parametrize("prefix", [(), (7, 8, 9)], ids=["differing", "beginning alike"])
@pytest.mark.parametrize("model_type", tiny.CONFIGS)
def test_ablation_by_last_steps_equals_whole_runs(
    model_type: str, prefix: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.tiny_model(model_type)
    runner, asked = run(model), after(prefix, prompts(20, seed=3))
    heads = [HeadId(2, 1), HeadId(0, 0), HeadId(2, 3), HeadId(1, 2), HeadId(0, 3)]
    removals = [heads[:n] for n in range(len(heads) + 1)]
    whole = [[inference_oracle.prediction(model, p.ids, list(removed)) for p in asked] for removed in removals]
    assert len({tuple(row) for row in whole}) > 3, "removing heads changes nothing here"
    for removed, predictions in zip(removals, whole, strict=True):
        exam = Exam(asked, [frozenset({token}) for token in predictions])
        assert accuracies(runner, exam, [removed]) == [1.0]
    exam = Exam(asked, [frozenset({token}) for token in whole[0]])
    expected = [sum(a == b for a, b in zip(row, whole[0], strict=True)) / 20 for row in whole]
    told: list[float] = []
    assert accuracies(runner, exam, removals, told.append) == expected
    assert told == [1.0], "all sets of heads at once"
    monkeypatch.setattr("describe.inference.running.LARGEST_BATCH", 45)  # two sets at a time, the last alone
    assert accuracies(runner, exam, [*removals, []], told.append) == [*expected, 1.0]
    assert told[1:] == [2 / 7, 4 / 7, 6 / 7, 1.0]


def test_batches_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.tiny_model("llama")
    runner, asked = run(model), prompts(9)
    found = runner.attend(asked)
    exam = Exam(asked, [frozenset({inference_oracle.prediction(model, p.ids, [])}) for p in asked])
    monkeypatch.setattr("describe.inference.running.BATCH_BYTES", 1)
    for whole, alone in ((found.in_context, runner.attend(asked).in_context),):
        torch.testing.assert_close(alone, whole)
    assert accuracies(runner, exam, [[]]) == [1.0]


@pytest.mark.parametrize("model_type", tiny.CONFIGS)
def test_models_on_disk_run(model_type: str, tmp_path: Path) -> None:
    model = tiny.tiny_model(model_type)
    path = str(tiny.save(model, tmp_path / "tiny"))
    weights = open_model(path)
    runner = open_runner(path, weights.info, CPU, torch.float64)
    asked = prompts(2)
    found = runner.attend(asked)
    for i, prompt in enumerate(asked):
        torch.testing.assert_close(found.in_context[:, :, i], inference_oracle.reads(model.double(), prompt.ids))
    for layer in range(tiny.LAYERS):
        torch.testing.assert_close(runner.output(layer), weights.layer(layer).output.double())
    torch.testing.assert_close(runner.unembed, weights.unembed.to("cpu", torch.float64))
