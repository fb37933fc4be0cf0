"""``headscribe stability``: descriptions of one head compared by the sentences of a small model on this machine."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import CheckpointError, InputError
from describe.inference.embedding import embed
from describe.llm import Request, parse_llm
from describe.pipeline.stability import agreements
from describe.records import Description, HeadId
from describe.scoring import shared_words
from tests.fake_llm import Action, Call, FakeLLM, completion
from tests.heads import head_record

SAID = {
    HeadId(0, 0): ("names of towns: promotes the country", "names of towns: promotes the country", "verbs: nothing"),
    HeadId(0, 1): ("Unclear", "Unclear", "plural nouns: promotes them"),
    HeadId(0, 2): ("numbers: promotes the next number",),
}


def described(catalogue: Catalogue, model: Path) -> int:
    """What three labellers said of some heads."""
    extraction = pipeline.extract(catalogue, str(model), heads="0", device="cpu").extraction_id
    for head, answers in SAID.items():
        for number, answer in enumerate(answers):
            labeller = catalogue.register_labeller("openai:x", "p-1", "text", {"seed": number})
            inputs, _, pattern = answer.partition(": ")
            told = Description(inputs, pattern or inputs, unclear=answer == "Unclear")
            catalogue.save_description(extraction, head, labeller, told, {})
    return extraction


def scores(catalogue: Catalogue, model: Path, head: HeadId) -> list[dict[str, Any]]:
    record = head_record(catalogue, str(model), head)
    return [found["scores"].get("stability", {}) for found in record["descriptions"]]


def test_agreement_and_the_representative(tmp_path: Path, tiny_llama: Path) -> None:
    judge = f"embedding:{tiny_llama.name}"
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        described(catalogue, tiny_llama)
        result = pipeline.stability(catalogue, str(tiny_llama), embedding=str(tiny_llama))
        found = dict(result.heads)
        assert (list(found), result.single) == ([HeadId(0, 0), HeadId(0, 1)], [HeadId(0, 2)])
        same, mixed = found[HeadId(0, 0)], found[HeadId(0, 1)]
        assert same.own[0] == pytest.approx(same.own[1])
        assert same.representative in same.descriptions[:2]
        assert mixed.own == (0.5, 0.5, 0.0), "two abstentions agree, an abstention and a description do not"
        assert mixed.value == pytest.approx(1 / 3)
        assert mixed.wrong is not None
        first, second, third = (told[judge] for told in scores(catalogue, tiny_llama, HeadId(0, 0)))
        assert (first["value"], first["placebo"], first["n"]) == (same.value, same.wrong, 3)
        assert [told["found"]["representative"] for told in (first, second, third)].count(True) == 1
        assert third["found"]["own"] == pytest.approx(same.own[2])
        assert scores(catalogue, tiny_llama, HeadId(0, 2)) == [{}]
        again = pipeline.stability(catalogue, str(tiny_llama), embedding=str(tiny_llama))
        assert again.heads == result.heads


def same(call: Call) -> Action:
    """An LLM that takes two descriptions for the same if they begin with the same words."""
    a, b = re.findall(r"^Inputs: (.*)$", call.prompt, re.MULTILINE)
    return Action(body=completion(json.dumps({"probability": 0.9 if a == b else 0.2})))


def test_an_llm_says_whether_descriptions_agree(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked once about each two that both say something, in other words; kept, resumed, failures asked again."""
    for name, value in fake_llm.environment.items():
        monkeypatch.setenv(name, value)
    asked: dict[str, Any] = {"judge": parse_llm("openai:judge"), "request": Request(timeout=5.0, attempts=1)}
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        described(catalogue, tiny_llama)
        plan = pipeline.plan_stability(catalogue, str(tiny_llama), **asked)
        assert (plan.heads, fake_llm.calls) == (["0.0", "0.1"], []), "a dry run asks nobody"
        fake_llm.misbehave = lambda call: Action(body=completion("no JSON"))
        failed = pipeline.stability(catalogue, str(tiny_llama), **asked)
        assert failed.failures["0.0"] == "invalid"
        fake_llm.misbehave = same
        assert pipeline.stability(catalogue, str(tiny_llama), **asked).failures == failed.failures, "kept"
        before = len(fake_llm.calls)
        result = pipeline.stability(catalogue, str(tiny_llama), **asked, retry_failed=True)
        calls = fake_llm.calls[before:]
        assert sorted(call.prompt for call in calls) == sorted(plan.prompts), "to the letter"
        assert pipeline.plan_stability(catalogue, str(tiny_llama), **asked).calls == 0
        towns, mixed = (stable for _, stable in result.heads)
        assert towns.own == pytest.approx((0.6, 0.6, 0.2)), "two are the same to the letter, of which nobody is asked"
        assert towns.representative in towns.descriptions[:2]
        assert mixed.own == (0.5, 0.5, 0.0), "nor of abstentions"
        for stable in (towns, mixed):
            assert stable.wrong is not None
            assert stable.wrong <= 0.2
        assert 2 <= len(calls) <= 2 + 3 + 3
        assert all("Unclear" not in call.prompt.split("How probable")[0] for call in calls)
        again = pipeline.stability(catalogue, str(tiny_llama), **asked)
        assert (again.heads, len(fake_llm.calls)) == (result.heads, before + len(calls))
        told = scores(catalogue, tiny_llama, HeadId(0, 0))[2]["openai:judge"]
        assert (told["value"], told["found"]["own"]) == (pytest.approx(1.4 / 3), pytest.approx(0.2))


def test_statistics_say_how_many_words_are_shared(tmp_path: Path, tiny_llama: Path) -> None:
    """Weighted by rarity; no signs, figures or asides; quoted tokens whole. Other heads' words as placebo."""
    texts = [
        'Plural nouns (30 of 30; "(" too): promotes " them"',
        'plural Nouns: " them"',
        "verbs: promotes 17",
        'Plural nouns (30 of 30; "(" too): promotes " them"',
    ]
    weight = {word: math.log(5 / 3) for word in ("plural", "nouns", '" them"', "promotes")}
    every = sum(weight.values())
    found = shared_words(texts)
    assert found[0, 3] == pytest.approx(1)
    assert found[0, 1] == pytest.approx((every - weight["promotes"]) / every)
    assert found[0, 2] == pytest.approx(weight["promotes"] / (every + math.log(5)))
    assert found[1, 2] == 0
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        described(catalogue, tiny_llama)
        result = pipeline.stability(catalogue, str(tiny_llama), judge=parse_llm("statistics"))
        towns, mixed = (stable for _, stable in result.heads)
        assert towns.own[0] > towns.own[2]
        assert mixed.value == pytest.approx(1 / 3)
        assert scores(catalogue, tiny_llama, HeadId(0, 1))[2]["statistics"]["found"]["own"] == 0
        for both in (None, "demo"):
            judge = parse_llm("statistics") if both else None
            with pytest.raises(InputError, match="name what compares"):
                pipeline.stability(catalogue, str(tiny_llama), judge=judge, embedding=both)


def test_agreements_are_cosines_about_the_mean() -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 4)) + 5
    unclear = [False, False, True, False, True, False]
    found = agreements(vectors, unclear)
    said = [i for i in range(6) if not unclear[i]]
    mean = vectors[said].mean(0)
    for i in range(6):
        for j in range(6):
            a, b = vectors[i] - mean, vectors[j] - mean
            literal = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            expected = literal if not (unclear[i] or unclear[j]) else float(unclear[i] and unclear[j])
            assert found[i, j] == pytest.approx(expected)


def test_a_sentence_is_the_mean_of_its_hidden_states(tiny_llama: Path) -> None:
    """Whatever stands beside it in the batch."""
    sentences = ["a", "a longer sentence than that", "the"]
    found = embed(str(tiny_llama), sentences)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    network = AutoModel.from_pretrained(tiny_llama, dtype=torch.float32).eval()
    for sentence, vector in zip(sentences, found, strict=True):
        with torch.no_grad():
            states = network(**tokenizer(sentence, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(vector, states.mean(0).numpy(), atol=1e-4)


def test_bad_input_is_one_line(tmp_path: Path, tiny_llama: Path, headscribe: Callable[..., Any]) -> None:
    with Catalogue(str(tmp_path / "catalogue.db"), create=True) as catalogue:
        extraction = pipeline.extract(catalogue, str(tiny_llama), heads="0", device="cpu").extraction_id
        labeller = catalogue.register_labeller("openai:x", "p-1", "text", {})
        catalogue.save_description(extraction, HeadId(0, 0), labeller, Description("a", "b"), {})
        with pytest.raises(InputError, match="another --seed"):
            pipeline.stability(catalogue, str(tiny_llama), embedding=str(tiny_llama))
        described(catalogue, tiny_llama)
        with pytest.raises(CheckpointError):
            pipeline.stability(catalogue, str(tiny_llama), embedding=str(tmp_path / "nowhere"))
    shown = headscribe("stability", tiny_llama, "--embedding", tiny_llama)
    assert shown.returncode == 0, shown.stderr
    assert "2 heads or roles" not in shown.stdout
    assert "0.0" in shown.stdout
    assert "mean" in shown.stdout
    dry = headscribe("stability", tiny_llama, "--judge", "openai:gpt-5-mini", "--dry-run", OPENAI_API_KEY="none")
    assert dry.returncode == 0, dry.stderr
    assert "2 heads or roles" in dry.stdout
    assert "No LLM was asked, nothing was changed." in dry.stdout
    free = headscribe("stability", tiny_llama, "--judge", "statistics", "--dry-run")
    assert (free.returncode, free.stderr.count("\n")) == (2, 1)
