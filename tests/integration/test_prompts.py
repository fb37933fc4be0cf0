"""The several prompts, sent over real HTTP: what is shown is what is sent, and each has descriptions of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from describe import pipeline
from describe.catalog import Catalogue
from describe.llm import Request, parse_llm
from describe.records import HeadId
from describe.text import quoted
from tests.fake_llm import Action, FakeLLM
from tests.heads import head_record

HEAD = HeadId(1, 2)
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def catalogue(tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in fake_llm.environment.items():
        monkeypatch.setenv(name, value)
    with Catalogue(str(tmp_path / "c.db"), create=True) as opened:
        pipeline.extract(opened, str(tiny_llama), reading="paper", device="cpu")
        yield opened


def describe(catalogue: Catalogue, model: Path, **options: Any) -> Any:
    options = {"request": Request(timeout=2.0, attempts=2), "heads": "1.2"} | options
    return pipeline.describe(catalogue, str(model), parse_llm("openai:fake-1"), **options)


def the_head(catalogue: Catalogue, model: Path) -> dict[str, Any]:
    return head_record(catalogue, str(model), HEAD)


@pytest.mark.parametrize("prompt", ["salient-1", "salient-evidence-1", "suppression-1", "completion-1"])
def test_what_is_shown_is_what_is_sent(prompt: str, catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    head = the_head(catalogue, tiny_llama)
    shown = pipeline.prompt_of(catalogue, str(tiny_llama), HEAD, prompt)
    result = describe(catalogue, tiny_llama, prompt=prompt)
    assert (result.new, result.failures) == (1, {})
    (call,) = fake_llm.calls
    assert call.prompt == shown["text"]
    assert ("messages" in call.request) == (shown["mode"] == "chat")
    assert ("response_format" in call.request) == (shown["schema"] is not None)
    assert (call.request.get("stop") == ["\n\n"]) == (shown["mode"] == "completion")
    targets = head["salient"][0]["suppressed" if prompt == "suppression-1" else "targets"]
    arrow = "-|" if prompt == "suppression-1" else "->"
    row = f"{quoted(head['salient'][0]['token'])} {arrow} {quoted(targets[0]['token'])}"
    assert row in call.prompt
    (found,) = the_head(catalogue, tiny_llama)["descriptions"]
    assert found["prompt"] == prompt
    assert found["inputs"] == " ".join(f"tokens like {call.first_source}".split())


def test_descriptions_by_several_prompts_and_seeds_live_side_by_side(
    catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.jinja"
    mine.write_text("My own words.\n{% for row in rows %}{{ row.source }} -> {{ row.targets[0] }}\n{% endfor %}")
    for options in ({}, {"prompt": "suppression-1"}, {"prompt": str(mine)}, {"request": Request(seed=7, timeout=2.0)}):
        assert describe(catalogue, tiny_llama, **options).new == 1
    found = the_head(catalogue, tiny_llama)["descriptions"]
    assert [one["prompt"] for one in found] == ["salient-2", "suppression-1", "mine", "salient-2"]
    assert [one["provenance"]["settings"].get("shows") for one in found] == [None, "suppressed", None, None]
    assert len(fake_llm.calls) == 4
    assert fake_llm.calls[2].prompt.startswith("My own words.")
    mine.write_text(mine.read_text() + "Another text is another prompt.")
    assert describe(catalogue, tiny_llama, prompt=str(mine)).new == 1


def test_evidence_is_kept_when_a_prompt_asked_for_it(catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    pipeline.prompt_of(catalogue, str(tiny_llama), HEAD, "salient-evidence-1")
    extraction = pipeline.find(catalogue, str(tiny_llama))[1]
    describe(catalogue, tiny_llama, prompt="salient-evidence-1")
    (found,) = the_head(catalogue, tiny_llama)["descriptions"]
    settings = found["provenance"]["settings"]["evidence"]
    assert settings["heads"] == 12, "all heads are tested together"
    assert len(catalogue.evidence.of_extraction(extraction, settings)) == 12


def test_an_echoed_example_is_a_failure_and_not_asked_again(
    catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM
) -> None:
    said = {"text": " musical instruments\npattern: promotes the word for who plays it", "finish_reason": "stop"}
    body = {"id": "x", "object": "text_completion", "created": 0, "model": "m", "choices": [said | {"index": 0}]}
    fake_llm.misbehave = lambda call: Action(body=body)
    result = describe(catalogue, tiny_llama, prompt="completion-1")
    assert list(result.failures.values()) == ["echo"]
    assert describe(catalogue, tiny_llama, prompt="completion-1").new == 0
    assert len(fake_llm.calls) == 1


def test_prompts_on_the_command_line(tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, headscribe: Run) -> None:
    assert headscribe("extract", tiny_llama, "--no-figures", "--quiet").returncode == 0
    shown = headscribe("describe", tiny_llama, "--show-prompt", "1.2", "--prompt", "suppression-1")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "pushes down" in shown.stdout
    as_json = headscribe("describe", tiny_llama, "--show-prompt", "1.2", "--prompt", "completion-1", "--json")
    assert json.loads(as_json.stdout)["mode"] == "completion"
    for arguments, complaint in (
        (["--show-prompt", "9.9"], "head 9.9 is not in the model"),
        (["--show-prompt", "1.2", "--prompt", "nope"], "there are: attention-1, completion-1, salient-1, salient-2"),
        (["--show-prompt", "1.2", "--prompt", tmp_path], "cannot be read: Is a directory"),
        (["--llm", "openai:x", "--prompt", "completion-1", "--batch"], "--batch asks chats only"),
    ):
        done = headscribe("describe", tiny_llama, *arguments, **fake_llm.environment)
        assert done.returncode == 2, arguments
        assert complaint in done.stderr
        assert done.stderr.count("\n") == 1
    assert fake_llm.calls == []
